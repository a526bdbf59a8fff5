"""Recordings that were renamed: a row of a new path takes over the row that its recording had under the old one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby

from pipeline.checkpoint import Identity, Placed, Selected, Store
from pipeline.run.outcomes import Outcomes
from pipeline.run.stored import StoredTranscripts
from pipeline.source import Sources


class Renames:
    """The renames of one run."""

    def __init__(self, store: Store, transcripts: StoredTranscripts, outcomes: Outcomes, sources: Sources) -> None:
        self._store = store
        self._sources = sources
        self._stored = transcripts
        self._outcomes = outcomes
        self._taken: set[int] = set()
        """Rows of names that are missing now, which renamed recordings have taken over in this run."""
        self._passed: dict[Identity, int] = {}
        """Of contents that several such rows have, the row up to which they are taken over, or unusable."""

    async def move(self, new: Mapping[int, tuple[Selected, Sequence[Identity]]]) -> set[int]:
        """Lets rows of new paths, given with their identities, take over the rows of their former
        names, whose files are missing. Returns the numbers of those that did."""
        if not new:
            return set()
        before = await self._store.renamed({n: identities for n, (_, identities) in new.items()}, self._passed)
        if not any(before.values()):  # as on every first night
            return set()
        rows = {row.n: row for found in before.values() for _, row in found if row.n not in self._taken}
        missing = await asyncio.to_thread(self._missing, [*rows.values()])
        read = await self._stored.read(missing)
        transcripts = {
            row.n: transcript for row, transcript in zip(missing, read, strict=True) if transcript is not None
        }
        moved = set()
        for n, (selected, _) in new.items():
            for _, row in before.get(n, ()):
                if row.n in transcripts and row.n not in self._taken:
                    self._taken.add(row.n)
                    moved.add(n)
                    self._outcomes.takes_over_row(selected, row.n, transcripts[row.n])
                    break
        for several in before.values():
            self._pass_over(several, transcripts.keys() - self._taken)
        return moved

    def _missing(self, rows: Sequence[Placed]) -> list[Placed]:
        """Rows whose recording is not there."""
        return [row for row in rows if self._sources.is_missing(row.utterance.audio)]

    def _pass_over(self, found: Sequence[tuple[Identity, Placed]], usable: Collection[int]) -> None:
        """Of many rows of one content, unusable ones are not asked for again."""
        for identity, several in groupby(found, key=lambda one: one[0]):
            for number, (_, row) in enumerate(several):
                if row.n in usable:
                    break
                if number:  # else there may be no other, as for most
                    self._passed[identity] = row.n
