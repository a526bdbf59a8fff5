"""The selected rows of a run: hands them out in batches, and sums their audio."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from pipeline.checkpoint.codec import decode_utterance
from pipeline.checkpoint.connection import Database, reads
from pipeline.checkpoint.identity import PARTIAL, Identity
from pipeline.checkpoint.schema import ORDER, State
from pipeline.model import Utterance

LONGER_THAN_ANY_S = 1e18
Turn = tuple[int, str, int, int]
"""A place in the order of work: the values of `schema.ORDER`."""
FIRST: Turn = (-1, "", 0, 0)
GOLDEN = 2_654_435_769
"""2**32 divided by the golden ratio."""
SELECTED_BYTES = 4 << 20
"""The bytes of rows handed out at a time; the last row may exceed it."""
_SELECTED = f"""SELECT tries, turn, step, n, row, state, config_hash, expected_s, done_audio, done_config, attempts,
        marks, other_path, manifest, size FROM utterances WHERE selected AND {{}} AND expected_s <= ?
        ORDER BY {ORDER} LIMIT ?"""  # noqa: S608 fixed texts


class Selected(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance that this run is to process."""

    n: int
    place: Turn
    utterance: Utterance
    state: State
    config_hash: str
    expected_s: float
    done: Identity | None
    """The identity of its transcript; None without one, or where it has gaps."""
    attempts: int
    """Requests sent for it in earlier runs since it last had a transcript."""
    size_bytes: int | None = None
    """Of its recording, where that is known."""
    prefix_hashes: bytes | None = None
    """Of the transcribed content."""
    other_path: bool = False
    """Its transcript is of a recording under another path."""
    by_path: bool = False
    """Its id is the path of its recording."""

    @property
    def tries(self) -> int:
        """Runs that have tried it since it last had a transcript."""
        return self.place[0]


class Sampled(msgspec.Struct, frozen=True):
    """One of many selected rows."""

    utterance: Utterance
    expected_s: float


class Selection(Database):
    """The order of work."""

    @reads
    def next_rows(self, after: Turn | None, limit: int, *, longest_s: float = LONGER_THAN_ANY_S) -> list[Selected]:
        """The next selected rows after the place `after`, without those estimated longer than `longest_s`."""
        *group, n = after or FIRST
        # two queries, because SQLite does not search for a rowid after other columns of an index
        first = self._db.execute(
            _SELECTED.format("tries = ? AND turn = ? AND step = ? AND n > ?"), (*group, n, longest_s, limit)
        )
        found = up_to(first, SELECTED_BYTES, 4)
        if len(found) < limit and sum(len(row[4]) for row in found) < SELECTED_BYTES:
            more = self._db.execute(
                _SELECTED.format("(tries, turn, step) > (?, ?, ?)"), (*group, longest_s, limit - len(found))
            )
            found += up_to(more, SELECTED_BYTES, 4)
        return self._as_selected(found)

    @reads
    def rows_left(self, numbers: Sequence[int]) -> list[Selected]:
        """The rows of these numbers that have no outcome in this run yet."""
        query = _SELECTED.format(f"n IN ({','.join('?' * len(numbers))})")
        return self._as_selected(self._db.execute(query, (*numbers, LONGER_THAN_ANY_S, len(numbers))).fetchall())

    def _as_selected(self, found: list[tuple[Any, ...]]) -> list[Selected]:
        by_path = {n for (n,) in self._db.execute("SELECT n FROM manifests WHERE by_path")}
        return [
            Selected(
                n=place[-1],
                place=(*place,),
                utterance=decode_utterance(row),
                state=State(state),
                config_hash=config_hash,
                expected_s=expected_s,
                done=None if audio is None or config == PARTIAL else Identity(audio_hash=audio, config_hash=config),
                attempts=attempts,
                size_bytes=size,
                prefix_hashes=hashes,
                other_path=bool(other),
                by_path=manifest in by_path,
            )
            for (
                *place, row, state, config_hash, expected_s, audio, config, attempts, hashes, other, manifest, size
            ) in found
        ]  # fmt: skip

    @reads
    def has_selected(self) -> bool:
        """Whether a selected row has no outcome yet."""
        return bool(self._db.execute("SELECT EXISTS (SELECT 1 FROM utterances WHERE selected)").fetchone()[0])

    @reads
    def expected_s(self, at_most: int | None, *, surely: bool = False) -> float:
        """Estimated seconds of audio of the selected rows, or of the first `at_most`.

        `surely` leaves out changed files with a transcript under current settings: their content may be the same.
        """
        first = "" if at_most is None else f"ORDER BY {ORDER} LIMIT {at_most:d}"
        [total] = self._db.execute(
            f"""SELECT coalesce(sum(CASE WHEN ?1 AND known THEN 0 ELSE expected_s END), 0) FROM
                (SELECT expected_s, state = ?2 AND done_config IS config_hash AS known
                 FROM utterances WHERE selected {first})""",  # noqa: S608 fixed texts
            (surely, State.CHANGED),
        ).fetchone()
        return float(total)

    @reads
    def sample(self, at_most: int | None, count: int, rows: int) -> list[Sampled]:
        """About `count` of the selected rows, or of the first `at_most`, spread evenly over these `rows`."""
        first = "" if at_most is None else f"ORDER BY {ORDER} LIMIT {at_most:d}"
        # multiples of the golden ratio are spread evenly, whatever comes regularly in the numbers of rows
        found = self._db.execute(
            f"""SELECT row, expected_s FROM utterances WHERE n IN (SELECT n FROM
                (SELECT n FROM utterances WHERE selected {first}) WHERE n * {GOLDEN} % {1 << 32} * ? < ? LIMIT ?)""",  # noqa: S608 fixed texts
            (rows, count << 32, 2 * count),
        )
        return [Sampled(decode_utterance(row), expected_s) for row, expected_s in found]


def up_to(rows: sqlite3.Cursor, most_bytes: int, *columns: int) -> list[Any]:
    """The first rows, until these columns add up to so many bytes."""
    found, size = [], 0
    for row in rows:
        found.append(row)
        size += sum(len(row[column] or b"") for column in columns)
        if size >= most_bytes:
            break
    return found
