"""All that a checkpoint holds of one utterance, found by its id. Only reads."""

from __future__ import annotations

import sqlite3

import msgspec

from pipeline.checkpoint.replaced import Stored
from pipeline.checkpoint.schema import Seen, State, transaction
from pipeline.model import Attempt, Failure, Transcript, Utterance

FEW, NEIGHBOURS = 10_000, 100
"""Of so few ids each is compared with one that is not known, of more so many on either side of it."""


class One(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance with what is known of it."""

    utterance: Utterance
    state: State
    gone: bool
    """It has a transcript, and its recording is not there."""
    vanished: bool
    """Its manifest no longer has it."""
    stored: Stored | None
    """Where its transcript is."""
    failure: Failure | None
    answered_clips: int
    attempts: list[Attempt]
    """Those that are in no part of the ledger yet."""
    in_flight: list[Attempt]
    """What becomes of the requests whose end nobody has seen so far."""
    ledger: list[int]
    """The parts of the ledger."""


def find(db: sqlite3.Connection, id_: str) -> One | None:
    """The utterance of this id, all as it is at one moment."""
    with transaction(db, "DEFERRED"):
        found = db.execute(
            """SELECT u.n, u.row, u.state, u.gone, u.vanished, u.part, r.row, r.was, f.row FROM utterances u
               LEFT JOIN results r USING (n) LEFT JOIN failures f USING (n) WHERE u.id = ?""",
            (id_,),
        ).fetchone()
        if found is None:
            return None
        n, row, state, gone, vanished, part, result, was, failure = found
        decode = msgspec.msgpack.Decoder(Attempt).decode
        [clips] = db.execute("SELECT count(*) FROM clips WHERE n = ?", (n,)).fetchone()
        waiting = (decode(row) for (row,) in db.execute("SELECT row FROM attempts ORDER BY n"))
        attempts = [attempt for attempt in waiting if attempt.id == id_]
        in_flight = [decode(row) for (row,) in db.execute("SELECT row FROM open_attempts WHERE id = ?", (id_,))]
        ledger = [part for (part,) in db.execute("SELECT part FROM parts WHERE kind = 'attempts' ORDER BY part")]
    transcript = None if result is None else msgspec.msgpack.decode(result, type=Transcript)
    stored = None
    if transcript is not None or part is not None:
        stored = Stored(id=was or id_, part=part, transcript=transcript)
    return One(
        utterance=msgspec.msgpack.decode(row, type=Utterance),
        state=State(state),
        gone=bool(gone),
        vanished=vanished == Seen.VANISHED,
        stored=stored,
        failure=None if failure is None else msgspec.msgpack.decode(failure, type=Failure),
        answered_clips=clips,
        attempts=attempts,
        in_flight=in_flight,
        ledger=ledger,
    )


def path_of(db: sqlite3.Connection, id_: str) -> tuple[str, bool] | None:
    """The path that the row of an id has, and whether a run has ever found a recording there."""
    found = db.execute(
        "SELECT row, size IS NOT NULL OR done_audio IS NOT NULL FROM utterances WHERE id = ?", (id_,)
    ).fetchone()
    return None if found is None else (msgspec.msgpack.decode(found[0], type=Utterance).audio, bool(found[1]))


def ids_near(db: sqlite3.Connection, id_: str, *tables: str) -> list[str]:
    """Ids of the tables among which one may be that was meant: all of few, else its neighbours in their order."""
    near: dict[str, None] = {}
    for table in tables or ("utterances",):
        found = [other for (other,) in db.execute(f"SELECT id FROM {table} LIMIT ?", (FEW + 1,))]  # noqa: S608
        if len(found) > FEW:
            found = [
                other
                for told in (id_, id_.rpartition("/")[2])
                for side in ("< ? ORDER BY id DESC", ">= ? ORDER BY id")
                for (other,) in db.execute(f"SELECT id FROM {table} WHERE id {side} LIMIT {NEIGHBOURS}", (told,))  # noqa: S608
            ]
        near |= dict.fromkeys(found)
    return list(near)
