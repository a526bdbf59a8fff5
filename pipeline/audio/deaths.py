"""What it means that a decoder dies or hangs: the recording's own fault only where others are decoded."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipeline.errors import AudioUnavailable, AudioUnreadable, NoDecoder
from pipeline.workers import WorkerDied

MOST_IN_VAIN = 10
"""Recordings that a decoder died of, where none ever came to an end."""
KEPT = 1_000
"""Recordings that are remembered, for the other rows that are spans of them."""


class Deaths:
    """Who works and who worked among the recordings of a run."""

    def __init__(self) -> None:
        self._worked: set[str] = set()
        """Two recordings, at most, of which a decoder came to an end, whatever it found."""
        self._at_work: Counter[str] = Counter()
        self._ended = asyncio.Event()
        self._given_up: dict[str, str] = {}
        """How the last decoder ended."""

    @contextmanager
    def at_work(self, path: str) -> Iterator[None]:
        """While a decoder has the recording, or it waits for one. What raises is no end of its work."""
        self._at_work[path] += 1
        try:
            yield
            if len(self._worked) < 2:
                self._worked.add(path)
        finally:
            self._at_work[path] -= 1
            self._at_work += Counter()  # without those at nought
            self._ended.set()
            self._ended = asyncio.Event()

    async def another_ended(self, path: str) -> None:
        """Waits until a decoder has come to an end of another recording, where one is at work."""
        while not self._worked - {path} and any(other != path for other in self._at_work):
            await self._ended.wait()

    def refuse_given_up(self, path: str) -> None:
        """Raises AudioUnavailable for a recording that was tried in this run, and NoDecoder where nothing survives."""
        if path in self._given_up:
            raise self._passing(path)
        if not self._worked and len(self._given_up) >= MOST_IN_VAIN:
            raise NoDecoder(
                f"the decoders died of each of the first {MOST_IN_VAIN} recordings, so it is no recording's fault (the "
                f"last one {[*self._given_up.values()][-1]}); mend the installation and run again"
            )

    def given_up(
        self, path: str, died: Sequence[WorkerDied], *, decodes_others: bool
    ) -> AudioUnreadable | AudioUnavailable:
        """The error of a recording that decoders died of; `decodes_others`: they do not of one that they had before."""
        own = [death for death in died if not death.by_others]
        if len(own) > 1 and decodes_others:
            return AudioUnreadable(f"its decoder {own[-1]}, as the one before it did, while others are decoded")
        self._given_up[path] = str(died[-1])
        if len(self._given_up) > KEPT:
            del self._given_up[next(iter(self._given_up))]
        return self._passing(path)

    def _passing(self, path: str) -> AudioUnavailable:
        how = self._given_up[path]
        return AudioUnavailable(f"its decoder {how}, which may not be the file's fault; the next run tries again")
