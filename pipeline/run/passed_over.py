"""What does not fit the budget: what is said of it at the end, and which recordings need not be looked at any more.

Pure arithmetic: no I/O. The recorder tells what was prepared and what was passed over.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from pipeline.config import Settings
from pipeline.pool import Budget
from pipeline.profile import GRADIUM
from pipeline.report.figures import NAMED, above_budget
from pipeline.run.month import Month

MOST_IN_VAIN = 100
MOST_IN_VAIN_S = 3600.0
"""So many recordings, or so much audio, are read for nothing; from then on only those that may fit by their estimate
are looked at, so that a budget that is used up ends a run soon however much is left to do."""
RATIOS_KEPT = 1_000


class PassedOver:
    """The budget of one run, and the recordings that were passed over for it."""

    def __init__(self, settings: Settings) -> None:
        self.budget = Budget(settings.budget.limit)
        self.budget_told = f"the budget of {settings.budget.limit or 0.0:,.10g} credits"
        """Which budget it is."""
        self._settings = settings.budget
        self.unsent = 0
        """Rows that were passed over without a request: they take no place of --limit."""
        self.any_within = False
        """Whether some would have fit the whole budget, and not what was left of it."""
        self._max_clip_s = settings.audio.max_clip_s
        self._in_vain, self._in_vain_s = 0, 0.0
        self._ratios: deque[float] = deque(maxlen=RATIOS_KEPT)
        """What requests cost, for each credit that their recordings' estimates said."""
        self._above = 0
        self._above_ids: list[str] = []
        self._least, self._most = math.inf, 0.0
        """What the recordings above the whole budget need."""

    def keep_to(self, month: Month) -> None:
        """Has the run spend no more than is left of its month."""
        run, left = self._settings.limit, month.left
        if left is not None and (run is None or left < run):
            self.budget = Budget(left, self._settings.most)
            self.budget_told = (
                f"the budget of {month.budget:,.10g} credits for the month {month.name} (budget.credits_per_month), of "
                f"which {round(left, 3):,.10g} were left"
            )

    def prepared(self, expected_s: float, prices: Sequence[float]) -> None:
        """A recording was made into requests of these prices."""
        estimate = min(expected_s, self._max_clip_s) * GRADIUM.credits_per_s
        cheapest = min(prices, default=0.0)
        if estimate and cheapest:
            self._ratios.append(cheapest / estimate)

    def add(self, needs: float, ids: Sequence[str], *, sent: bool = False, audio_s: float = 0.0) -> None:
        """The recording of the rows of these `ids` was passed over: the dearest of its requests that are left needs so
        many credits. `sent`: for the first of the rows others were sent."""
        self.unsent += len(ids) - sent
        if not sent:
            self._in_vain += 1
            self._in_vain_s += audio_s
        if not self.budget.is_above(needs):
            self.any_within = True
            return
        self._above += len(ids)
        self._above_ids = [*self._above_ids, *ids][:NAMED]
        self._least, self._most = min(self._least, needs), max(self._most, needs)

    @property
    def longest_s(self) -> float:
        """How long a recording may be by its estimate for one of its requests to fit perhaps."""
        if not self._ratios or (self._in_vain < MOST_IN_VAIN and self._in_vain_s < MOST_IN_VAIN_S):
            return math.inf
        longest_s = self.budget.left / (GRADIUM.credits_per_s * min(self._ratios))
        return math.inf if longest_s >= self._max_clip_s else longest_s

    @property
    def above_sentence(self) -> str | None:
        """What to say of the recordings that need more than the whole budget; None where there is none."""
        if not self._above:
            return None
        at_least = not math.isinf(self.longest_s)
        month = self._settings.most != self._settings.limit
        return above_budget(self._above, self._least, self._most, self._above_ids, at_least=at_least, month=month)
