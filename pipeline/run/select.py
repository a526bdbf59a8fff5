"""Hands out the selected rows, a few at a time; then duplicates whose first one gave them no outcome."""

from __future__ import annotations

import asyncio
from collections import deque

from pipeline.checkpoint import Selected, Store
from pipeline.checkpoint.selection import Turn
from pipeline.run.budget import RunBudget
from pipeline.run.duplicates import Duplicates

BATCH = 200
HASHED_AT_ONCE = 16
HASHED_AT_ONCE_S = 120.0
"""Recordings that are read and hashed in one go, and their audio."""


class Selection:
    """The selected rows of one run."""

    def __init__(self, store: Store, duplicates: Duplicates, budget: RunBudget, limit: int | None) -> None:
        self.limit = limit
        self.limit_reached = False
        """More is selected than the limit lets through."""
        self._store = store
        self._duplicates = duplicates
        self._budget = budget
        self._handed_out = 0
        self._batch: deque[Selected] = deque()
        self._exhausted_s = -1.0
        """No row of at most this length is left."""
        self._after: Turn | None = None
        self._reading = asyncio.Lock()

    async def next(self) -> list[Selected]:
        """The next few, no more audio than HASHED_AT_ONCE_S unless one is longer; none when no more are to be done."""
        async with self._reading:
            return await self._selected() or self._duplicates.again() or await self._later()

    @property
    def has_more(self) -> bool:
        """Whether there are duplicates to be looked up again, or rows beyond the limit that take the places of others,
        which did not fit the budget."""
        return self._duplicates.has_more or (self.limit_reached and not self._is_full)

    @property
    def _is_full(self) -> bool:
        return self.limit is not None and self._handed_out >= self.limit + self._budget.unsent

    async def _selected(self) -> list[Selected]:
        chosen: list[Selected] = []
        seconds = 0.0
        self.limit_reached = False
        while len(chosen) < HASHED_AT_ONCE and seconds < HASHED_AT_ONCE_S:
            if not self._batch and (chosen or not await self._read()):
                break
            if self._is_full:
                self.limit_reached = True
                break
            selected = self._batch.popleft()
            self._after = selected.place
            if selected.expected_s <= self._budget.longest_s:  # it may have been read before the bound was
                chosen.append(selected)
                seconds += selected.expected_s
                self._handed_out += 1
        return chosen

    async def _later(self) -> list[Selected]:
        """Duplicates whose first one has its outcome."""
        numbers = self._duplicates.later()
        return await self._store.rows_left(numbers) if numbers else []

    async def _read(self) -> bool:
        """Reads the next rows that may fit the budget; returns whether there are any."""
        longest_s = self._budget.longest_s
        if longest_s > self._exhausted_s:
            self._batch.extend(await self._store.next_rows(self._after, BATCH, longest_s=longest_s))
            if not self._batch:
                self._exhausted_s = longest_s
        return bool(self._batch)
