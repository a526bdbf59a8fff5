"""What is selected, handed out a few at a time; and again those whose leader's file failed."""

from __future__ import annotations

import asyncio
from collections import deque

from pipeline.checkpoint import Journal, Selected
from pipeline.checkpoint.store import Place
from pipeline.run.duplicates import Duplicates

BATCH = 200
LOOKED_AT = 16
LOOKED_AT_S = 120.0
"""Recordings that are read and hashed in one go, and their audio."""


class Selection:
    """Hands out what one run has selected, to whoever asks."""

    def __init__(self, journal: Journal, duplicates: Duplicates, limit: int | None) -> None:
        self.limit_reached = False
        self._journal = journal
        self._duplicates = duplicates
        self._limit = limit
        self._handed_out = 0
        self._batch: deque[Selected] = deque()
        self._after: Place | None = None
        self._reading = asyncio.Lock()

    async def next(self) -> list[Selected]:
        """The next few, no more audio than LOOKED_AT_S unless one is longer; none when no more are to be done."""
        async with self._reading:
            return await self._selected() or self._duplicates.again()

    async def _selected(self) -> list[Selected]:
        if not self._batch:
            checkpoint = self._journal.checkpoint
            self._batch.extend(await self._journal.call(checkpoint.selected, self._after, BATCH))
        taken: list[Selected] = []
        seconds = 0.0
        while self._batch and len(taken) < LOOKED_AT and seconds < LOOKED_AT_S:
            if self._limit is not None and self._handed_out >= self._limit:
                self.limit_reached = True
                break
            taken.append(self._batch.popleft())
            seconds += taken[-1].expected_s
            self._handed_out += 1
        if taken:
            self._after = taken[-1].place
        return taken
