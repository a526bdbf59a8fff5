"""A night and what it left, as the checks look at it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.nights.model import Memory, standing
from tests.nights.night import Ended, Night
from tests.nights.outputs import Output, Problem
from tests.nights.world import Wanted

OK, BROKE_OFF, USAGE, SOME_FAILED, LIMIT = 0, 1, 2, 3, 4


@dataclass(frozen=True)
class Case:
    """A night and what it left, beside what was before."""

    night: Night
    ended: Ended
    wanted: list[Wanted]
    over_folder: bool
    """Whether the manifest is a folder, so that a recording that goes takes its row with it."""
    there: set[str]
    """Paths of files that are there: by that name a recording is not gone, whether or not a manifest lists it."""
    before: Memory
    now: Output

    @property
    def run_id(self) -> str:
        return self.ended.figures["run_id"] if self.ended.figures else ""

    @property
    def whole(self) -> bool:
        """Everything that was to be done has its outcome."""
        return self.night.everything and self.ended.exit in (OK, SOME_FAILED)

    @property
    def asked_again(self) -> bool:
        return bool({"all", "suspect"} & set(self.night.only))

    def failed_now(self) -> list[Problem]:
        return [problem for problem in self.now.errors.values() if problem.run_id == self.run_id]

    def standings(self) -> Counter[str]:
        return Counter(standing(one, self.now) for one in self.wanted)
