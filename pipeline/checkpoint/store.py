"""Reads and writes the checkpoint. Blocking, and for one thread at a time; the journal is that thread.

Events say what happened; `apply` writes any number of them in one durable transaction.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import msgspec

from pipeline.checkpoint import adopting, clips, known_failures, plan, rewriting, spending
from pipeline.checkpoint.events import Event, Sent, apply
from pipeline.checkpoint.identity import PARTIAL, TRANSCRIBED, Identity
from pipeline.checkpoint.known_failures import KnownFailure
from pipeline.checkpoint.one import One, find, ids_near, path_of
from pipeline.checkpoint.replaced import (
    Stored,
    adopt_replaced,
    find_replaced,
    forget_replaced_in,
    has_replaced_in,
    replaced_in,
    take_over,
    trim_replaced,
    trim_taken_over,
)
from pipeline.checkpoint.results import list_fresh
from pipeline.checkpoint.rewriting import Replacement, Retold
from pipeline.checkpoint.salvage import Known
from pipeline.checkpoint.scan import WHOLE, Repeated, ScannedRow, Scope, scan_manifest
from pipeline.checkpoint.schema import Seen, State, connect, connect_to_read, transaction, translated, unusable
from pipeline.checkpoint.setbacks import postponed
from pipeline.checkpoint.tables import ORDER
from pipeline.checkpoint.untried import untried
from pipeline.model import Attempt, ClipResult, Failure, KeptClip, Transcript, Utterance

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", str, int, float)
JSONL_BYTES = "jsonl_bytes"
"""The fact that says how far transcripts.jsonl is committed."""
CLOSED_JSONL = -1
"""Its value while transcripts.jsonl is being replaced as a whole: then there is no torn tail to cut."""
LEARNED = "concurrency"
"""The fact that holds how many requests the plan carried, for the next night; 0 where no limit was met."""
FORMATS = "formats"
"""The fact that says in which formats the output was begun."""
MANIFEST = "manifest"
"""The fact that says which manifest a default output serves."""
CREDITS = spending.CREDITS
LONGER_THAN_ANY_S = 1e18
Place = tuple[int, str, int, int]
"""Where a row stands in the order of work: its values of `tables.ORDER`."""
FIRST: Place = (-1, "", 0, 0)


class Selected(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance this run is to do."""

    n: int
    place: Place
    utterance: Utterance
    state: State
    config_hash: str
    expected_s: float
    done: Identity | None
    """What the transcript it already has answers to; None where that has gaps."""
    attempts: int
    """Requests sent for it in earlier runs since it last had a transcript."""
    marks: bytes | None = None
    """By which a beginning of the audio of its transcript is known."""
    other_path: bool = False
    """The transcript that it has is one of a recording under another path."""
    by_path: bool = False
    """Its id is the path of its recording."""

    @property
    def tries(self) -> int:
        """Runs that have tried it since it last had a transcript."""
        return self.place[0]


class Placed(Stored, frozen=True, kw_only=True):
    """An utterance that has a transcript, and where that is."""

    n: int
    utterance: Utterance


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The output folder in figures, over the rows that the manifest of the last run, or each manifest, still has."""

    done: int
    failed: int
    left: int
    suspect: int
    vanished: int
    gone: int
    """Done ones whose recording is not there."""
    kept: int
    """Failed ones that have a transcript of an earlier content, or of earlier settings."""
    partial: int
    """Those of them whose transcript has gaps."""
    postponed: int
    """Failed ones that the next run leaves out, because they failed run after run, and …"""
    postponed_runs: int
    """… how many runs leave out the first of them."""
    audio_s: float
    ref_words: int
    ref_errors: int
    credits: float
    """Spent in all runs, counting what may have been billed."""
    credits_maybe: float | None
    """What of it only may have been; None where an older version has not summed that."""


SELECTED_BYTES = 4 << 20
"""Of rows that are handed out at a time; one more may go beyond it."""
Unpublished = tuple[int, bytes]
"""(n, the transcript as stored)."""
_SELECTED = f"""SELECT tries, turn, longest, n, row, state, config_hash, expected_s, done_audio, done_config, attempts,
        marks, other_path, manifest FROM utterances WHERE selected AND {{}} AND expected_s <= ?
        ORDER BY {ORDER} LIMIT ?"""  # noqa: S608 fixed texts
_RENAMED = """SELECT u.n, u.id, u.row, u.part, r.row FROM utterances u LEFT JOIN results r USING (n)
    WHERE u.done_audio = ? AND u.done_config = ? AND u.vanished = ?
        AND u.manifest = (SELECT manifest FROM utterances WHERE n = ? AND part IS NULL)
        AND (u.part IS NOT NULL OR r.row IS NOT NULL) AND u.n > ? ORDER BY u.n LIMIT 200"""


class Checkpoint:
    """The open checkpoint of an output folder. Methods raise CheckpointError when SQLite cannot do its work."""

    def __init__(self, path: Path, *, only_read: bool = False) -> None:
        """Opens it for the one run that owns the folder, or for anybody to read beside a run."""
        self.path = path
        self._db = connect_to_read(path) if only_read else connect(path)
        if not only_read:
            try:
                with self._translated():
                    list_fresh(self._db)
            except BaseException:
                self._db.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    # -- planning ---------------------------------------------------------------------------------------------------

    def scan(self, rows: Iterable[ScannedRow], *manifests: str, scope: Scope = WHOLE) -> list[Repeated]:
        """Takes manifests in, outside of the checkpoint's own tables; returns ids that several rows claim."""
        with self._translated():
            return scan_manifest(self._db, rows, *manifests, scope=scope)

    def beside_scan(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        """What a function finds that reads the checkpoint, or compares the scan with it."""
        with self._translated():
            return function(self._db, *args, **kw)

    def merge(self, only: Sequence[str]) -> plan.Plan:
        """Makes the scan the truth, selects what this run does and says what was found."""
        with self._translated():
            counts = plan.plan_counts(self._db, only)
            plan.merge_scan(self._db, only)
            return counts

    def selected(self, after: Place | None, limit: int, *, longest_s: float = LONGER_THAN_ANY_S) -> list[Selected]:
        """The next utterances to do, in the order of `tables.ORDER`.

        `after` is the place of the last one that was handed out; those that are longer than `longest_s` by their
        estimate are left out.
        """
        *group, n = after or FIRST
        with self._translated():
            # in two questions, because SQLite does not look for a rowid behind other columns of an index
            first = self._db.execute(
                _SELECTED.format("tries = ? AND turn = ? AND longest = ? AND n > ?"), (*group, n, longest_s, limit)
            )
            found = _up_to(first, SELECTED_BYTES, 4)
            if len(found) < limit and sum(len(row[4]) for row in found) < SELECTED_BYTES:
                more = self._db.execute(
                    _SELECTED.format("(tries, turn, longest) > (?, ?, ?)"), (*group, longest_s, limit - len(found))
                )
                found += _up_to(more, SELECTED_BYTES, 4)
            return self._as_selected(found)

    def selected_of(self, numbers: Sequence[int]) -> list[Selected]:
        """Those of the rows of these numbers that have no outcome in this run yet."""
        with self._translated():
            places = ",".join("?" * len(numbers))
            query = _SELECTED.format(f"n IN ({places})")
            found = self._db.execute(query, (*numbers, LONGER_THAN_ANY_S, len(numbers)))
            return self._as_selected(found.fetchall())

    def _as_selected(self, found: list[tuple[Any, ...]]) -> list[Selected]:
        by_path = {n for (n,) in self._db.execute("SELECT n FROM manifests WHERE by_path")}
        return [
            Selected(
                n=place[-1],
                place=(*place,),
                utterance=msgspec.msgpack.decode(row, type=Utterance),
                state=State(state),
                config_hash=config_hash,
                expected_s=expected_s,
                done=None if audio is None or config == PARTIAL else Identity(audio_hash=audio, config_hash=config),
                attempts=attempts,
                marks=marks,
                other_path=bool(other),
                by_path=manifest in by_path,
            )
            for *place, row, state, config_hash, expected_s, audio, config, attempts, marks, other, manifest in found
        ]

    def has_selected(self) -> bool:
        """Whether something that this run selected has no outcome yet."""
        with self._translated():
            [found] = self._db.execute("SELECT EXISTS (SELECT 1 FROM utterances WHERE selected)").fetchone()
        return bool(found)

    def expected_s(self, at_most: int | None, *, surely: bool = False) -> float:
        """Expected seconds of audio of what is selected, or of the first `at_most` of it.

        `surely` leaves out files that have a transcript under the settings of now: they may only look changed.
        """
        first = "" if at_most is None else f"ORDER BY {ORDER} LIMIT {at_most:d}"
        with self._translated():
            [total] = self._db.execute(
                f"""SELECT coalesce(sum(CASE WHEN ?1 AND known THEN 0 ELSE expected_s END), 0) FROM
                    (SELECT expected_s, state = ?2 AND done_config IS config_hash AS known
                     FROM utterances WHERE selected {first})""",  # noqa: S608 fixed texts
                (surely, State.CHANGED),
            ).fetchone()
        return float(total)

    def twins(self, identities: Iterable[Identity]) -> dict[Identity, Stored]:
        """For those identities that have one, where a transcript is that answers to this very audio and these settings:
        that of any utterance, or one that was replaced."""
        found: dict[Identity, Stored] = {}
        with self._translated():
            for identity in identities:
                row = self._db.execute(
                    f"SELECT coalesce(r.was, u.id), u.part, r.row FROM {TRANSCRIBED}",  # noqa: S608 fixed texts
                    (identity.audio_hash, identity.config_hash),
                ).fetchone()
                stored = find_replaced(self._db, identity) if row is None else _stored(*row)
                if stored is not None:
                    found[identity] = stored
        return found

    def known_failures(self, identities: Iterable[Identity]) -> tuple[dict[Identity, KnownFailure], int]:
        """How those of the identities failed that did, and the number of the run that is going on."""
        with self._translated():
            found = (known_failures.find(self._db, identity) for identity in identities)
            [run] = self._db.execute("SELECT count(*) FROM runs").fetchone()
            return {known.identity: known for known in found if known is not None}, int(run)

    def settings_of_vanished(self) -> frozenset[str]:
        """The config_hash of each transcript of a row that its manifest no longer has."""
        with self._translated():
            found = self._db.execute(
                "SELECT DISTINCT done_config FROM utterances WHERE vanished = ? AND done_config IS NOT NULL",
                (Seen.VANISHED,),
            )
            return frozenset(config_hash for (config_hash,) in found)

    def renamed(
        self, new: Mapping[int, Sequence[Identity]], after: Mapping[Identity, int]
    ) -> dict[int, list[tuple[Identity, Placed]]]:
        """For rows whose id is their path, with what transcripts of them answer to: the first rows that their
        recordings may have had under another name, which have such a transcript and were seen last by the same
        manifest, which no longer has them. `after`: those up to this number are known to be none."""
        with self._translated():
            return {
                n: [
                    (identity, _placed(row))
                    for identity in identities
                    for row in self._db.execute(
                        _RENAMED, (identity.audio_hash, identity.config_hash, Seen.VANISHED, n, after.get(identity, 0))
                    ).fetchall()
                ]
                for n, identities in new.items()
            }

    def knows_rows(self) -> bool:
        """Whether rows of the manifest of the last scan are known."""
        with self._translated():
            return plan.knows_rows(self._db)

    def path_of(self, id_: str) -> tuple[str, bool] | None:
        """The path that the row of an id has, and whether a run has ever found a recording there."""
        with self._translated():
            return path_of(self._db, id_)

    def holds_answers(self) -> bool:
        """Whether there is a transcript, or an answered clip of one."""
        with self._translated():
            found = self._db.execute(
                """SELECT EXISTS (SELECT 1 FROM utterances WHERE done_audio IS NOT NULL)
                       OR EXISTS (SELECT 1 FROM clips)"""
            ).fetchone()
        return bool(found[0])

    def any_transcript(self) -> Placed | None:
        """One utterance that has a transcript, where there is any."""
        with self._translated():
            found = self._db.execute(
                """SELECT u.n, u.id, u.row, u.part, r.row FROM utterances u LEFT JOIN results r USING (n)
                   WHERE u.done_audio IS NOT NULL AND (u.part IS NOT NULL OR r.row IS NOT NULL) LIMIT 1"""
            ).fetchone()
        return None if found is None else _placed(found)

    def answered_keys(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that have an answered clip."""
        with self._translated():
            return clips.answered_keys(self._db, keys)

    def answered_clips(self, keys: Iterable[str], config_hash: str | None) -> list[ClipResult]:
        """The answered clips of the keys, whichever utterance they were sent for; with a `config_hash` only what was
        sent for rows of these very settings."""
        with self._translated():
            return clips.answered(self._db, keys, config_hash)

    def waiting_clips(self) -> tuple[int, float]:
        """Answered clips whose recordings have no transcript yet, and what they cost."""
        with self._translated():
            return clips.waiting(self._db)

    def kept_clips(self) -> Iterator[KeptClip]:
        """Every answered clip there is."""
        with self._translated():
            yield from clips.kept(self._db)

    # -- what happened ----------------------------------------------------------------------------------------------

    def apply(self, events: Sequence[Event]) -> None:
        """Writes the events in one transaction; when this returns they survive a power cut."""
        with self._transaction():
            for event in events:
                apply(self._db, event)

    def end_open_attempts(self) -> list[Attempt]:
        """Makes attempts of the requests whose end no run has seen, all in one transaction; returns them."""
        decode = msgspec.msgpack.Decoder(Attempt).decode
        with self._transaction():
            attempts = [
                decode(row) for (row,) in self._db.execute("SELECT row FROM open_attempts ORDER BY rowid").fetchall()
            ]
            for attempt in attempts:
                apply(self._db, Sent(attempt=attempt))
        return attempts

    def trim_clips(self) -> None:
        """Bounds the answered clips that no utterance waits for."""
        with self._transaction():
            clips.trim(self._db)

    # -- figures ----------------------------------------------------------------------------------------------------

    def failures(self) -> Iterator[Failure]:
        """Why utterances that a manifest still has get no transcript, or none for their newest content, in the order of
        ids."""
        decode, replace = msgspec.msgpack.Decoder(Failure).decode, msgspec.structs.replace
        with self._translated():
            found = self._db.execute(
                """SELECT f.row, u.done_audio IS NOT NULL FROM failures f CROSS JOIN utterances u USING (n)
                   WHERE u.state IN (3, 4) AND u.vanished <> ? AND NOT u.gone ORDER BY u.id""",
                (Seen.VANISHED,),
            )
            for row, kept in found:
                yield replace(decode(row), kept=bool(kept))

    def failing(self, *, whole: bool = False) -> list[tuple[Failure, int]]:
        """Each class of failure with the number of utterances that it keeps from a transcript, the most first; as an
        example the one that has failed for longest. `whole`: of all manifests, not of the last run's only."""
        with self._translated():
            counts = Counter(dict(self._db.execute("SELECT error, rows FROM failing WHERE rows").fetchall()))
            if whole:
                elsewhere = """SELECT f.error, count(*) FROM failures f CROSS JOIN utterances u USING (n)
                    WHERE u.state IN (3, 4) AND u.vanished = ? AND NOT u.gone GROUP BY f.error"""
                counts.update(dict(self._db.execute(elsewhere, (Seen.ELSEWHERE,)).fetchall()))
            classes = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
            examples = [self._oldest(error, whole=whole) for error, _ in classes]
        return [(example, count) for example, (_, count) in zip(examples, classes, strict=True) if example is not None]

    def _oldest(self, error: str, *, whole: bool) -> Failure | None:
        found = self._db.execute(
            f"""SELECT f.row FROM failures f INDEXED BY oldest CROSS JOIN utterances u USING (n)
               WHERE f.error = ? AND u.state IN (3, 4) AND u.vanished IN {_seen(whole=whole)} AND NOT u.gone
               ORDER BY f.first_seen LIMIT 1""",  # noqa: S608 fixed texts
            (error,),
        ).fetchone()
        return None if found is None else msgspec.msgpack.decode(found[0], type=Failure)

    def totals(self, *, whole: bool = False) -> Totals:
        """`whole`: over the rows of all manifests, not of the last run's only."""
        seen = _seen(whole=whole)
        with self._translated():
            figures = self._db.execute(
                f"""SELECT sum(rows * done), sum(rows * (state IN (3, 4) AND NOT done)),
                          sum(rows * (state IN (0, 1) AND NOT done)), sum(rows * (done AND suspect)), sum(rows * gone),
                          sum(audio_us * done), sum(ref_words * done), sum(ref_errors * done)
                   FROM (SELECT *, state = 2 OR gone AS done FROM tally WHERE vanished IN {seen})"""  # noqa: S608 fixed texts
            ).fetchone()
            [vanished] = self._db.execute("SELECT sum(rows) FROM tally WHERE vanished = ?", (Seen.VANISHED,)).fetchone()
            kept, partial = self._db.execute(
                f"""SELECT count(*), coalesce(sum(u.done_config = ?), 0) FROM failures CROSS JOIN utterances u
                        USING (n)
                   WHERE u.state IN (3, 4) AND u.vanished IN {seen} AND NOT u.gone AND u.done_audio IS NOT NULL""",  # noqa: S608 fixed texts
                (PARTIAL,),
            ).fetchone()
            waiting, waiting_runs = postponed(self._db, seen)
            maybe = spending.maybe_billed(self._db)
            [in_flight] = self._db.execute("SELECT coalesce(sum(credits), 0) FROM open_attempts").fetchone()
        done, failed, left, suspect, gone, audio_us, ref_words, ref_errors = figures
        return Totals(
            done=done,
            failed=failed,
            left=left,
            suspect=suspect,
            vanished=vanished,
            gone=gone,
            kept=kept,
            partial=partial,
            postponed=waiting,
            postponed_runs=waiting_runs,
            audio_s=audio_us / 1e6,
            ref_words=ref_words,
            ref_errors=ref_errors,
            credits=(self.fact(CREDITS, float) or 0.0) + in_flight,
            credits_maybe=maybe,
        )

    def untried(self, run_id: str | None = None, *, whole: bool = False) -> dict[str, int]:
        """Counts of failed rows by why a run at its end has not tried them, or why the next one will not."""
        with self._translated():
            return untried(self._db, _seen(whole=whole), run_id)

    def credits_of_month(self, month: str) -> float | None:
        """What was spent in a month (`2026-11`, UTC), requests in flight included; None where that was not summed."""
        with self._translated():
            return spending.of_month(self._db, month)

    def unpublished_credits(self) -> tuple[dict[str, float], float]:
        """What the attempts that are in no part of the ledger cost, by month, and what of it may have been billed."""
        with self._translated():
            return spending.unpublished(self._db)

    def set_credits(self, months: Mapping[str, float], maybe: float) -> None:
        """Has these be what was spent, by month and in all; `maybe` of it only may have been billed."""
        with self._transaction():
            spending.replace(self._db, months, maybe)

    def last_runs(self, limit: int) -> list[tuple[str, str, bytes | None]]:
        """The latest runs: (run_id, when it started, its figures as JSON; None for one that did not reach its end)."""
        with self._translated():
            return self._db.execute(
                "SELECT run_id, started_at, figures FROM runs ORDER BY started_at DESC LIMIT ?", (limit,)
            ).fetchall()

    def runs_since(self, first: datetime) -> int:
        """Runs that began since then."""
        with self._translated():
            [count] = self._db.execute(
                "SELECT count(*) FROM runs WHERE started_at >= ?", (first.isoformat(),)
            ).fetchone()
        return int(count)

    def save_run(self, run_id: str, started_at: str, figures: bytes | None) -> None:
        """Notes a run, at its start without and at its end with its figures."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", (run_id, started_at, figures))

    def fact(self, key: str, kind: type[F]) -> F | None:
        """A fact, which is of this kind."""
        with self._translated():
            found = self._db.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        if found is None:
            return None
        [value] = found
        if isinstance(value, str) != (kind is str) or not isinstance(value, str | int | float):
            raise unusable(self.path, TypeError(f"its fact {key} is a {type(value).__name__}"))
        return kind(value)

    def set_fact(self, key: str, value: str | float) -> None:
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))

    # -- publishing -------------------------------------------------------------------------------------------------

    def pending_results(self) -> int:
        """Results that no part holds a row of."""
        with self._translated():
            return int(self._db.execute("SELECT count(*) FROM temp.fresh").fetchone()[0])

    def never_published(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids whose results wait for their first publishing."""
        query = "SELECT EXISTS (SELECT 1 FROM temp.fresh JOIN utterances USING (n) WHERE id = ?)"
        with self._translated():
            return {id_ for id_ in ids if self._db.execute(query, (id_,)).fetchone()[0]}

    def pending_attempts(self) -> int:
        with self._translated():
            return int(self._db.execute("SELECT count(*) FROM attempts").fetchone()[0])

    def new_results(self, limit: int, most_bytes: int) -> list[Unpublished]:
        """Results that no part holds a row of: at most `limit`, and no more once they come to `most_bytes`."""
        with self._translated():
            found = self._db.execute(
                """SELECT n, r.row FROM temp.fresh JOIN results r USING (n) JOIN utterances u USING (n)
                   ORDER BY n LIMIT ?""",
                (limit,),
            )
            return _up_to(found, most_bytes, 1)

    def has_moved(self) -> bool:
        """Whether a result waits whose old row stands under an id that another row may get."""
        with self._translated():
            query = "SELECT EXISTS (SELECT 1 FROM results JOIN utterances USING (n) WHERE was IS NOT NULL)"
            return bool(self._db.execute(query).fetchone()[0])

    def list_replacing(self) -> dict[int, bool]:
        """Lists the results of now that take the place of published rows. Returns the parts whose rows are to be
        written anew (0: the JSONL), and whether one of them has a listed result."""
        with self._translated():
            rewriting.list_replacing(self._db)
            return rewriting.parts_to_rewrite(self._db)

    def replacing(self, part: int, after: int, limit: int, most_bytes: int) -> list[Replacement]:
        """The next of the listed results of a part, behind the one of the number `after`: at most `limit`, and no more
        once they come to `most_bytes`."""
        found: list[Replacement] = []
        with self._translated():
            for one, size in rewriting.replacing(self._db, part, after, limit):
                found.append(one)
                most_bytes -= size
                if most_bytes <= 0:
                    break
        return found

    def leaving(self, part: int, ids: Iterable[str], *, refresh: bool) -> set[str]:
        """Those of the ids whose rows in a part do not stay as they are: they are replaced, or to be refreshed."""
        with self._translated():
            return rewriting.leaving(self._db, part, ids, refresh=refresh)

    def refreshing(self, part: int, ids: Iterable[str]) -> dict[str, tuple[int, Utterance]]:
        """Those of the ids whose transcript in a part stands while their row has another reference or other metadata
        by now: their number and their row. Not those that are about to get another one, and not with what is said of a
        recording under another path."""
        with self._translated():
            return rewriting.refreshing(self._db, part, ids)

    def note_retold(self, rows: Sequence[Retold]) -> None:
        """Notes transcripts that are being written anew, for `rewritten`."""
        with self._translated():
            rewriting.note_retold(self._db, rows)

    def forget_retold(self) -> None:
        """Begins with the rewriting of a part."""
        with self._translated():
            rewriting.forget_retold(self._db)

    def unretold(self, part: int) -> str | None:
        """The id of a row of a part that was to be written anew, and was not found there."""
        with self._translated():
            return rewriting.unretold(self._db, part)

    def rewritten(self, part: int, rows: int, jsonl: int) -> None:
        """Notes that a part was written anew and has so many rows (0: none but those of the JSONL), and the JSONL's
        bytes."""
        with self._transaction():
            rewriting.rewritten(self._db, part)
            self._save_parts("transcripts", {part: rows} if part else {})
            self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (JSONL_BYTES, jsonl))

    def replaced_in(self, part: int, ids: Iterable[str]) -> set[str]:
        """Those of the ids under which a part holds transcripts that no row has any more."""
        with self._translated():
            return replaced_in(self._db, part, ids)

    def has_replaced_in(self, part: int) -> bool:
        """Whether there are transcripts that no row has any more and that are nowhere but in a part."""
        with self._translated():
            return has_replaced_in(self._db, part)

    def take_over(self, part: int, rows: Sequence[Transcript]) -> int:
        """Stores rows of a part, which is about to be rewritten, that no utterance has any more; returns the bytes."""
        with self._transaction():
            return take_over(self._db, part, rows)

    def forget_replaced_in(self, part: int) -> None:
        """Forgets what was to be taken over from a part and was not found there."""
        with self._transaction():
            forget_replaced_in(self._db, part)

    def trim_taken_over(self) -> None:
        """Forgets the oldest replaced transcripts of other settings, where there are many."""
        with self._transaction():
            trim_taken_over(self._db)

    def trim_replaced(self) -> None:
        """Forgets the oldest replaced transcripts, where there are many and no row is left that might want one."""
        with self._transaction():
            trim_replaced(self._db)

    def attempts(self, limit: int) -> list[tuple[int, Attempt]]:
        """Up to `limit` attempts that are in no part yet."""
        decode = msgspec.msgpack.Decoder(Attempt).decode
        with self._translated():
            found = self._db.execute("SELECT n, row FROM attempts ORDER BY n LIMIT ?", (limit,)).fetchall()
        return [(n, decode(row)) for n, row in found]

    def parts(self, kind: str) -> dict[int, int]:
        """Published parts of a kind ("transcripts", "attempts") and their rows."""
        with self._translated():
            return dict(self._db.execute("SELECT part, rows FROM parts WHERE kind = ?", (kind,)))

    def results_published(self, placed: Sequence[tuple[int, int]], parts: dict[int, int], jsonl: int) -> None:
        """Marks results as published: (n, its part), the parts' rows, the JSONL's bytes."""
        with self._transaction():
            self._db.executemany("UPDATE utterances SET part = ?2 WHERE n = ?1", placed)
            for table in ("results", "temp.fresh"):
                self._db.executemany(f"DELETE FROM {table} WHERE n = ?", [(n,) for n, _ in placed])  # noqa: S608 fixed texts
            self._save_parts("transcripts", parts)
            self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (JSONL_BYTES, jsonl))

    def attempts_published(self, last_n: int, part: int, rows: int) -> None:
        with self._transaction():
            self._db.execute("DELETE FROM attempts WHERE n <= ?", (last_n,))
            self._save_parts("attempts", {part: rows})

    def _save_parts(self, kind: str, parts: dict[int, int]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", [(kind, part, rows) for part, rows in parts.items()]
        )

    # -- rebuilding -------------------------------------------------------------------------------------------------

    def adopt_manifests(self, manifests: Iterable[tuple[int, str, bool]]) -> None:
        """Takes in the manifests that an old checkpoint knew, by their numbers."""
        with self._transaction():
            adopting.adopt_manifests(self._db, manifests)

    def adopt_known(self, rows: Iterable[Known]) -> None:
        """Takes in the utterances that an old checkpoint knew, none of them as done."""
        with self._transaction():
            adopting.adopt_known(self._db, rows)

    def adopt_transcribed(self, rows: Sequence[Transcript]) -> list[tuple[int, bool]]:
        """Takes in utterances that a transcript was found for: (n, whether it had one already)."""
        with self._transaction():
            return adopting.adopt_transcribed(self._db, rows)

    def adopt_move(self, was: str, now: str) -> None:
        """Takes in that the row of `now` still stands under the id `was`."""
        with self._transaction():
            adopting.adopt_move(self._db, was, now)

    def bound_waits(self) -> None:
        """Has nobody wait for longer than those who failed just now, whatever became of the runs that were counted."""
        with self._transaction():
            adopting.bound_waits(self._db)

    def adopt_failures(self, failures: Iterable[Failure]) -> None:
        """Takes in why utterances have no transcript; the first that is told of an utterance stands."""
        with self._transaction():
            adopting.adopt_failures(self._db, failures)

    def adopt_failed(self, rows: Iterable[Known]) -> None:
        """Has those fail as before that kept a transcript of an earlier content, or of earlier settings."""
        with self._transaction():
            adopting.adopt_failed(self._db, rows)

    def adopt_replaced(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Takes in replaced transcripts as another checkpoint stored them."""
        with self._transaction():
            adopt_replaced(self._db, rows)

    def forget_unexplained(self) -> None:
        """Has utterances done anew that failed, and nobody can say why."""
        with self._transaction():
            adopting.forget_unexplained(self._db)

    def adopt_known_failures(self, rows: Iterable[tuple[KnownFailure, bytes | None]]) -> None:
        """Takes in how audio failed that was sent, as another checkpoint knew it: with the marks of the audio."""
        with self._transaction():
            for known, marks in rows:
                known_failures.note(
                    self._db, known.identity, known.failure, marks, setbacks=known.setbacks, due=known.due
                )

    def number_of(self, id_: str) -> int | None:
        """The number of an utterance that is known."""
        with self._translated():
            found = self._db.execute("SELECT n FROM utterances WHERE id = ?", (id_,)).fetchone()
        return None if found is None else int(found[0])

    def find(self, id_: str) -> One | None:
        """All that is known of one utterance."""
        with self._translated():
            return find(self._db, id_)

    def ids_near(self, id_: str) -> list[str]:
        """Ids among which one may be that was meant by one that is not known."""
        with self._translated():
            return ids_near(self._db, id_)

    def check_integrity(self) -> None:
        """Raises DamagedCheckpoint where SQLite finds anything wrong with the file."""
        with self._translated():
            [found] = self._db.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise unusable(self.path, sqlite3.DatabaseError(found))

    # -- transactions -----------------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._translated(), transaction(self._db):
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with translated(self.path):
            yield


def _seen(*, whole: bool) -> str:
    """Which rows count, by their column `vanished`: those of the last run's manifest, or of the `whole` output."""
    return f"({Seen.THERE:d}, {Seen.ELSEWHERE:d})" if whole else f"({Seen.THERE:d})"


def _up_to(rows: sqlite3.Cursor, most_bytes: int, *columns: int) -> list[Any]:
    """The first of the rows, until these columns of them come to so many bytes."""
    found = []
    size = 0
    for row in rows:
        found.append(row)
        size += sum(len(row[column] or b"") for column in columns)
        if size >= most_bytes:
            break
    return found


def _stored(id_: str, part: int | None, result: bytes | None) -> Stored:
    transcript = None if result is None else msgspec.msgpack.decode(result, type=Transcript)
    return Stored(id=id_, part=part, transcript=transcript)


def _placed(found: tuple[int, str, bytes, int | None, bytes | None]) -> Placed:
    n, id_, row, part, result = found
    transcript = _stored(id_, part, result).transcript
    utterance = msgspec.msgpack.decode(row, type=Utterance)
    return Placed(n=n, utterance=utterance, id=id_, part=part, transcript=transcript)
