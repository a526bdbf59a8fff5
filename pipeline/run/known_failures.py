"""Which of what is to be sent has failed before, under whatever id: that is paid for again only when it is due, or when
the user asks for what failed."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.checkpoint import Identity, Journal
from pipeline.run.joining import Leader

ASKS = {"failed", "suspect", "all"}
"""Values of --only that ask for what failed, or was answered."""


def asks(only: Sequence[str]) -> bool:
    """Whether a run sends what has failed at once."""
    return not ASKS.isdisjoint(only)


class KnownFailures:
    """Those of one run."""

    def __init__(self, journal: Journal, *, asked: bool) -> None:
        self._journal = journal
        self.asked = asked

    async def tell(self, leaders: Sequence[tuple[Leader, Sequence[Identity]]]) -> None:
        """Tells each leader how its audio failed before, by the names that outputs have for it; and whether it is to
        take that failure over."""
        if not leaders:
            return
        names = [name for _, of_one in leaders for name in of_one]
        failing = self._journal.failed(names)
        known, run = await self._journal.call(self._journal.checkpoint.known_failures, names)
        for leader, of_one in leaders:
            found = [known[name] for name in of_one if name in known]
            just_now = [failing[name] for name in of_one if name in failing]  # and is not in the checkpoint yet
            holding = [*just_now, *(one for one in found if one.holds(run))]
            if before := next(iter((*holding, *found)), None):
                leader.failed_before(before, takes_over=bool(holding) and not self.asked)
