"""Totals of the output, failures by class, rows that were not tried, and the details of one utterance. Only reads.

`whole`: over the rows of all manifests that share the output, not only of the last run's.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from pipeline.checkpoint.codec import decode_attempt, decode_failure, decode_transcript, decode_utterance
from pipeline.checkpoint.connection import named, reads, transaction
from pipeline.checkpoint.facts import Facts, maybe_billed
from pipeline.checkpoint.failing import NEXT_RUN, POSTPONED, POSTPONED_NOW
from pipeline.checkpoint.identity import PARTIAL
from pipeline.checkpoint.replaced import Stored
from pipeline.checkpoint.schema import BAD_ROW, CREDITS, IS_DONE, IS_FAILED, IS_LEFT, Seen, State
from pipeline.checkpoint.sqlite_errors import translated
from pipeline.errors import AudioMissing
from pipeline.model import Attempt, Failure, Utterance

FEW, NEIGHBOURS = 10_000, 100
"""Up to so many ids, all are compared with an unknown one; of more, so many neighbours on either side."""
_FAILED_ROWS = f"failures f CROSS JOIN utterances u USING (n) WHERE {IS_FAILED} AND NOT gone AND vanished"


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Totals over the rows that the manifest of the last run, or each manifest, still has."""

    done: int
    failed: int
    left: int
    suspect: int
    vanished: int
    """Rows that were removed from their manifest."""
    gone: int
    """Done ones whose recording is missing."""
    kept: int
    """Failed ones with a transcript of earlier content or settings."""
    partial: int
    """Those of them whose transcript has gaps."""
    postponed: int
    """Failed ones that the next run postpones (see `failing`), and …"""
    postponed_runs: int
    """… for how many runs the first of them is postponed."""
    audio_s: float
    ref_words: int
    ref_errors: int
    credits: float
    """Spent in all runs, including what may have been billed."""
    credits_maybe: float | None
    """Those that only may have been billed; None where an older version did not sum them."""


class One(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance in detail."""

    utterance: Utterance
    state: State
    gone: bool
    """It has a transcript, and its recording is missing."""
    vanished: bool
    """It was removed from its manifest."""
    stored: Stored | None
    """Where its transcript is."""
    failure: Failure | None
    answered_clips: int
    attempts: list[Attempt]
    """Those not in the ledger's parts yet."""
    in_flight: list[Attempt]
    """What the ledger gets for requests whose end is never seen."""
    ledger: list[int]
    """The numbers of the ledger's parts."""


class FiguresOf(Facts):
    """Queries for reports."""

    @reads
    def totals(self, *, whole: bool = False) -> Totals:
        """The totals of the output."""
        seen = _seen(whole=whole)
        counts = named(
            self._db.execute(
                f"""SELECT sum(rows * done) AS done, sum(rows * ({IS_FAILED} AND NOT done)) AS failed,
                      sum(rows * ({IS_LEFT} AND NOT done)) AS left, sum(rows * (done AND suspect)) AS suspect,
                      sum(rows * gone) AS gone, sum(audio_us * done) / 1e6 AS audio_s,
                      sum(ref_words * done) AS ref_words, sum(ref_errors * done) AS ref_errors
                    FROM (SELECT *, {IS_DONE} OR gone AS done FROM tally WHERE vanished IN {seen})"""  # noqa: S608 fixed texts
            )
        )
        counts |= named(
            self._db.execute(
                f"""SELECT count(done_audio) AS kept, count(nullif(done_config = ?, 0)) AS partial,
                      coalesce(sum({POSTPONED}), 0) AS postponed,
                      coalesce(min(due) FILTER (WHERE {POSTPONED}) - {NEXT_RUN}, 0) AS postponed_runs
                    FROM {_FAILED_ROWS} IN {seen}""",  # noqa: S608 fixed texts
                (PARTIAL,),
            )
        )
        [removed] = self._db.execute("SELECT sum(rows) FROM tally WHERE vanished = ?", (Seen.REMOVED,)).fetchone()
        [in_flight] = self._db.execute("SELECT coalesce(sum(credits), 0) FROM open_attempts").fetchone()
        credits_ = (self.fact(CREDITS, float) or 0.0) + in_flight
        return Totals(**counts, vanished=removed, credits=credits_, credits_maybe=maybe_billed(self._db))

    def failures(self) -> Iterator[Failure]:
        """The failures of utterances that a manifest still has, ordered by id."""
        with translated(self.path):
            seen = _seen(whole=True)
            query = f"SELECT f.row, done_audio IS NOT NULL FROM {_FAILED_ROWS} IN {seen} ORDER BY id"  # noqa: S608 fixed texts
            for row, kept in self._db.execute(query):
                yield msgspec.structs.replace(decode_failure(row), kept=bool(kept))

    @reads
    def failing(self, *, whole: bool = False) -> list[tuple[Failure, int]]:
        """Each class of failure by its oldest example, with its number of utterances, the most frequent first."""
        rows = f"{_FAILED_ROWS} IN {_seen(whole=whole)}"
        classes = self._db.execute(
            f"SELECT f.error, count(*) AS rows FROM {rows} GROUP BY f.error ORDER BY rows DESC, f.error"  # noqa: S608 fixed texts
        ).fetchall()
        oldest = f"""SELECT f.row FROM {rows.replace("failures f", "failures f INDEXED BY oldest")} AND f.error = ?
            ORDER BY first_seen LIMIT 1"""  # noqa: S608 fixed texts
        examples = [(self._db.execute(oldest, (error,)).fetchone(), count) for error, count in classes]
        return [
            (decode_failure(row[0]), count) for row, count in examples if row is not None
        ]  # a run may go on meanwhile

    @reads
    def untried(self, run_id: str | None = None, *, whole: bool = False) -> dict[str, int]:
        """Counts of failed utterances that a run, at its end, did not try, by reason; without a `run_id`, of those that
        the next one will not try.

        `missing`: without a file; `own_fault`: final until they change; `postponed`: after several failed runs; and of
        a run `unreached`: selected, and `unasked`: not selected. `left_unasked`: new or changed and not selected.
        """
        seen, final = _seen(whole=whole), f"NOT selected AND state = {State.FAILED_ITEM:d}"
        missing = f"f.error = '{AudioMissing.__name__}'"
        postponed = POSTPONED_NOW if run_id else POSTPONED
        *counted, unreached, total = self._db.execute(
            f"""SELECT coalesce(sum({final} AND {missing}), 0), coalesce(sum({final} AND NOT {missing}), 0),
                       coalesce(sum(NOT selected AND {postponed}), 0), coalesce(sum(selected), 0), count(*)
                FROM {_FAILED_ROWS} IN {seen} AND config_hash <> '{BAD_ROW}' AND tried IS NOT ?""",  # noqa: S608 fixed texts
            (run_id,),
        ).fetchone()
        counts = dict(zip(("missing", "own_fault", "postponed"), counted, strict=True))
        if run_id is None:
            return counts
        left = f"{IS_LEFT} AND vanished IN {seen} AND NOT gone"
        [selected] = self._db.execute(f"SELECT count(*) FROM utterances WHERE selected AND {left}").fetchone()  # noqa: S608
        [rows] = self._db.execute(f"SELECT coalesce(sum(rows), 0) FROM tally WHERE {left}").fetchone()  # noqa: S608
        unasked = total - unreached - sum(counts.values())
        return counts | {"unreached": unreached, "unasked": unasked, "left_unasked": rows - selected}

    @reads
    def last_runs(self, limit: int) -> list[tuple[str, str, bytes | None]]:
        """The latest runs: (run_id, started_at, its figures as JSON or None if it did not finish)."""
        query = "SELECT run_id, started_at, figures FROM runs ORDER BY started_at DESC LIMIT ?"
        return self._db.execute(query, (limit,)).fetchall()

    @reads
    def runs_since(self, first: datetime) -> int:
        """The number of runs that began since then."""
        found = self._db.execute("SELECT count(*) FROM runs WHERE started_at >= ?", (first.isoformat(),))
        return int(found.fetchone()[0])

    @reads
    def find(self, id_: str) -> One | None:
        """One utterance in detail, read in one transaction."""
        with transaction(self._db, "DEFERRED"):
            found = self._db.execute(
                """SELECT u.n, u.row, u.state, u.gone, u.vanished, u.part, r.row, r.was, f.row FROM utterances u
                   LEFT JOIN results r USING (n) LEFT JOIN failures f USING (n) WHERE u.id = ?""",
                (id_,),
            ).fetchone()
            if found is None:
                return None
            n, row, state, gone, vanished, part, result, was, failure = found
            [clips] = self._db.execute("SELECT count(*) FROM clips WHERE n = ?", (n,)).fetchone()
            waiting = (decode_attempt(row) for (row,) in self._db.execute("SELECT row FROM attempts ORDER BY n"))
            attempts = [attempt for attempt in waiting if attempt.id == id_]
            flying = self._db.execute("SELECT row FROM open_attempts WHERE id = ?", (id_,)).fetchall()
            ledger = self._db.execute("SELECT part FROM parts WHERE kind = 'attempts' ORDER BY part").fetchall()
        transcript = None if result is None else decode_transcript(result)
        stored = None
        if transcript is not None or part is not None:
            stored = Stored(id=was or id_, part=part, transcript=transcript)
        return One(
            utterance=decode_utterance(row),
            state=State(state),
            gone=bool(gone),
            vanished=vanished == Seen.REMOVED,
            stored=stored,
            failure=None if failure is None else decode_failure(failure),
            answered_clips=clips,
            attempts=attempts,
            in_flight=[decode_attempt(row) for (row,) in flying],
            ledger=[part for (part,) in ledger],
        )

    @reads
    def path_of(self, id_: str) -> tuple[str, bool] | None:
        """The path in the row of an id, and whether a run has ever found a recording there."""
        found = self._db.execute(
            "SELECT row, version IS NOT NULL OR done_audio IS NOT NULL FROM utterances WHERE id = ?", (id_,)
        ).fetchone()
        return None if found is None else (decode_utterance(found[0]).audio, bool(found[1]))

    @reads
    def ids_near(self, id_: str, *tables: str) -> list[str]:
        """Candidates for a mistyped id: all ids where they are few, else its neighbours in sorted order."""
        near: dict[str, None] = {}
        for table in tables or ("utterances",):
            found = self._db.execute(f"SELECT id FROM {table} LIMIT ?", (FEW + 1,)).fetchall()  # noqa: S608
            if len(found) > FEW:
                found = [
                    other
                    for start in (id_, id_.rpartition("/")[2])
                    for side in ("< ? ORDER BY id DESC", ">= ? ORDER BY id")
                    for other in self._db.execute(
                        f"SELECT id FROM {table} WHERE id {side} LIMIT {NEIGHBOURS}",  # noqa: S608
                        (start,),
                    )
                ]
            near |= dict.fromkeys(other for (other,) in found)
        return list(near)


def _seen(*, whole: bool) -> str:
    """The values of `vanished` of the rows to count: of the last run's manifest, or of the `whole` output."""
    return f"({Seen.THERE:d}, {Seen.ELSEWHERE:d})" if whole else f"({Seen.THERE:d})"
