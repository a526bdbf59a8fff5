"""How many requests may be in flight: finds the plan's own limit by itself, and follows it when it changes.

The picture is a bridge whose load limit is not posted. Traffic grows while nothing gives way: by one for each that got
across; and twofold when nobody comes off a full bridge for a while, because crossing takes as long as the audio is, and
a refusal comes at once. A refused request never was on the bridge, so what is still on it is what it carries: that
becomes the capacity, however many of one burst are refused. From then on one more is tried now and then; when it is
carried, traffic grows on. A refusal on a bridge that is not full is chance, until they add up.
"""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST = 4
"""Where growth starts when nothing was learned on an earlier night."""
UNREFUSED_S = 0.5
"""Who was not refused for so long is being carried."""
PROBE_FIRST_S = 10.0
PROBE_LONGEST_S = 30.0
PROBE_AFTER_ANSWERS = 20
"""A refused trial is at most one request in twenty, however slow the answers are."""
STRAIN_RELIEF = 1 / PROBE_AFTER_ANSWERS
"""How much an answer takes off the strain that a refusal adds: one refusal in twenty is borne."""
STRAIN_BORNE = 2.0


class Capacity:
    """Told about answers and refusals; tells how many requests may be in flight now."""

    def __init__(
        self,
        highest: int,
        *,
        learned: int | None = None,
        adaptive: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`highest` is never exceeded; `learned` is where the last run settled."""
        self._highest = highest
        self._adaptive = adaptive
        self._clock = clock
        self._growing = learned is None
        self._met_limit = learned is not None
        self._capacity = min(highest, learned or FIRST) if adaptive else highest
        self._answers = 0
        """Answers since the last refusal or change."""
        self._trial_of: int | None = None
        """The capacity that was safe, while one more than that is tried."""
        self._probe_pause_s = PROBE_FIRST_S
        self._settled_at = clock()
        self._strain = 0.0
        """Refusals that were taken for chance, less what answers have made good."""
        self._carried_none = False
        """It settled where refusals left nobody on the bridge: that is a limit of requests in a time, not of requests
        at a time, and says nothing of the plan."""

    @property
    def now(self) -> int:
        return self._capacity

    @property
    def learned(self) -> int | None:
        """What to start the next run with; None where no limit was met."""
        if not self._adaptive or self._growing or self._carried_none or self._capacity >= self._highest:
            return None
        return self._capacity if self._trial_of is None else self._trial_of

    def answered(self, *, was_full: bool) -> None:
        """A request was carried; `was_full` when last traffic was let on. Only a full bridge says anything about its
        limit, and several may get across before the next ones go."""
        self._answers += 1
        self._strain = max(0.0, self._strain - STRAIN_RELIEF)
        if not self._adaptive or self._capacity >= self._highest or not was_full:
            return
        if self._growing:
            self._capacity += 1
        elif self._trial_of is not None:
            if self._answers > 2 * self._capacity:
                self._trial_of, self._growing, self._probe_pause_s = None, True, PROBE_FIRST_S
        elif self._answers >= PROBE_AFTER_ANSWERS and self._clock() - self._settled_at >= self._probe_pause_s:
            self._trial_of = self._capacity
            self._capacity += 1
            self._answers = 0

    @property
    def grows_unrefused(self) -> bool:
        """Whether a full bridge from which nobody comes is worth another look after UNREFUSED_S."""
        return self._adaptive and not self._met_limit and self._capacity < self._highest

    def unrefused(self, in_flight: int, for_s: float) -> None:
        """The last one went onto the bridge `for_s` ago, and none of the `in_flight` was refused since."""
        if self.grows_unrefused and in_flight >= self._capacity and for_s >= UNREFUSED_S:
            self._capacity = min(self._highest, 2 * self._capacity)

    def refused(self, others: int) -> None:
        """A request was refused for the limit; `others` are still in flight."""
        if not self._adaptive:
            return
        in_a_burst = self._met_limit and not self._answers
        self._answers = 0
        full = others + 1 >= self._capacity
        if full and self._trial_of is not None:
            self._settle(self._trial_of)
            self._probe_pause_s = min(self._probe_pause_s * 2, PROBE_LONGEST_S)
        elif full and (self._growing or in_a_burst):
            self._settle(others)  # those of a burst that are refused leave one after the other
        else:
            self._strain += 1
            if self._strain > STRAIN_BORNE:
                self._settle(min(self._capacity, others))

    def _settle(self, capacity: int) -> None:
        self._capacity = max(1, capacity)
        self._carried_none = capacity < 1
        self._trial_of = None
        self._growing = False
        self._met_limit = True
        self._strain = 0.0
        self._settled_at = self._clock()
