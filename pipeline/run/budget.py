"""The budget of one run: counts recordings that do not fit it, and bounds the length of those that are still read.

Pure arithmetic: no I/O.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Sequence

from pipeline.config import Settings
from pipeline.pool import Budget
from pipeline.report.figures import NAMED, above_budget
from pipeline.run.month import Month

READ_UNSENT = 100
READ_UNSENT_S = 3600.0
"""Recordings, or seconds of audio, that are read and do not fit; from then on only those that may fit by their estimate
are read, so that a run with a used-up budget ends soon however much is left."""
RATIOS_KEPT = 1_000
log = logging.getLogger(__name__)


class RunBudget:
    """The budget of one run, and the recordings that did not fit it."""

    def __init__(self, settings: Settings) -> None:
        self.credits = Budget(settings.budget.limit)
        self.name = f"the budget of {settings.budget.limit or 0.0:,.10g} credits"
        """What the budget is called in sentences."""
        self.price = settings.request_price
        self._settings = settings.budget
        self.unsent = 0
        """Rows that did not fit, and nothing was sent for: they take no place of --limit."""
        self.any_would_fit = False
        """Whether some would have fit the whole budget, and not what was left of it."""
        self._max_clip_s = settings.audio.max_clip_s
        self._read_unsent, self._read_unsent_s = 0, 0.0
        self._ratios: deque[float] = deque(maxlen=RATIOS_KEPT)
        """How long the shortest requests of recordings are, per second of their estimates."""
        self._above = 0
        self._above_ids: list[str] = []
        self._least, self._most = math.inf, 0.0
        """What the recordings above the whole budget need."""

    def keep_to(self, month: Month) -> None:
        """Has the run spend no more than is left of its month."""
        run, left = self._settings.limit, month.left
        if left is not None and (run is None or left < run):
            self.credits = Budget(left, self._settings.most)
            self.name = (
                f"the budget of {month.budget:,.10g} credits for the month {month.name} (budget.credits_per_month), of "
                f"which {round(left, 3):,.10g} were left"
            )

    def keep_to_clips(self, max_clip_s: float) -> None:
        """A request carries no more than so much audio from now on."""
        self._max_clip_s = max_clip_s

    def prepared(self, expected_s: float, lengths: Sequence[float]) -> None:
        """A recording was made into requests that carry so many seconds each."""
        # not of credits: in units that are rounded up, a short recording looks as long as its estimate
        estimate_s = min(expected_s, self._max_clip_s)
        shortest_s = min(lengths, default=0.0)
        if estimate_s and shortest_s:
            self._ratios.append(shortest_s / estimate_s)

    def did_not_fit(self, needs: float, ids: Sequence[str], *, was_sent: bool = False, audio_s: float = 0.0) -> None:
        """The recording of the rows of these `ids` did not fit: the dearest of its requests that are left needs so many
        credits. `was_sent`: for the first of the rows other requests were sent."""
        self.unsent += len(ids) - was_sent
        if not was_sent:
            self._read_unsent += 1
            self._read_unsent_s += audio_s
        if not self.credits.is_above(needs):
            self.any_would_fit = True
            return
        self._above += len(ids)
        self._above_ids = [*self._above_ids, *ids][:NAMED]
        self._least, self._most = min(self._least, needs), max(self._most, needs)

    @property
    def longest_s(self) -> float:
        """How long a recording may be by its estimate for one of its requests to fit perhaps."""
        if not self._ratios or (self._read_unsent < READ_UNSENT and self._read_unsent_s < READ_UNSENT_S):
            return math.inf
        longest_s = self.price.longest_s(self.credits.left) / min(self._ratios)
        return math.inf if longest_s >= self._max_clip_s else longest_s

    def reasons(self, others: Sequence[str] = ()) -> list[str]:
        """For which limits something is left, `others` included; warns of what needs more than the whole budget."""
        reasons = [self.name] if self.any_would_fit else []
        reasons += others
        if (above := self.above_sentence) is not None:
            log.warning("%s", above)
            reasons.append(above)
        return reasons

    @property
    def above_sentence(self) -> str | None:
        """What to say of the recordings that need more than the whole budget; None where there is none."""
        if not self._above:
            return None
        at_least = not math.isinf(self.longest_s)
        month = self._settings.most != self._settings.limit
        return above_budget(self._above, self._least, self._most, self._above_ids, at_least=at_least, month=month)
