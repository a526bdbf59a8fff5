"""Decides which lengths of audio may be sent: how much the service takes in one request is found out by one clip.

A clip of more than the usual length may be refused as too long. Until one of about its length was answered, only one
such clip is in flight; then all may be. A refusal sets the limit to what it names, or to the usual length; clips above
it come again as shorter ones. A clip that fails until it is given up counts as refused: some servers say no more of the
length than that they close the connection. Pure: no I/O.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pipeline.errors import AttemptError, ClipTooLong
from pipeline.profile import GRADIUM

if TYPE_CHECKING:
    from pipeline.pool.job import Job


FALLS = 0.8
"""After the first limit that is named another is believed if it is at most this part of it: the limit may fall again
in a run, but a service that refuses any length may name ever a little less."""


class Lengths:
    """The lengths that one run may send. The limit only ever falls."""

    def __init__(
        self, *, longest_s: float = math.inf, answered_s: float = 0.0, usual_s: float = GRADIUM.usual_clip_s
    ) -> None:
        """`longest_s`, a limit, and `answered_s`, the longest audio that was answered, are of earlier runs."""
        self.longest_s = longest_s
        self._usual_s = self._accepted_s = usual_s
        """Clips of at most this length do not wait for each other."""
        self._trial: Job | None = None
        """The longer clip that is in flight."""
        self._was_named = False
        self._accept(answered_s)

    def is_long(self, job: Job) -> bool:
        """Whether the clip is of more than the usual length."""
        return job.request.sent_s > self._usual_s

    def more_s(self, job: Job) -> float:
        """How much longer than usual the clip is."""
        return max(0.0, job.request.sent_s - self._usual_s)

    def takes(self, job: Job) -> bool:
        """Whether the clip is within the limit; else it is not sent."""
        return job.request.sent_s <= self.longest_s

    def must_wait(self, job: Job) -> bool:
        """Whether another clip in flight shows first whether the service takes this length."""
        return self._trial is not None and self._accepted_s < job.request.sent_s <= self.longest_s

    def sent(self, job: Job) -> None:
        """The clip is in flight."""
        if job.request.sent_s > self._accepted_s:
            self._trial = job

    def ended(self, job: Job) -> None:
        """The clip is no longer in flight."""
        if job is self._trial:
            self._trial = None

    def answered(self, job: Job) -> None:
        """The clip was answered."""
        self._accept(job.request.sent_s)

    def refused(self, job: Job, error: AttemptError) -> float | None:
        """The clip was refused as too long: returns the limit. None: there is none, the refusal is the clip's own."""
        sent_s = job.request.sent_s
        if sent_s > self.longest_s:  # another one was refused meanwhile
            return self.longest_s
        named_s = error.limit_s if isinstance(error, ClipTooLong) else None
        if named_s is not None and self._was_named and named_s > FALLS * self.longest_s:
            named_s = None
        limit_s = named_s or (self._usual_s if sent_s > self._usual_s else None)
        if limit_s is not None:
            self._was_named |= named_s is not None
            self.longest_s = limit_s
            self._accepted_s = self._usual_s
        return limit_s

    def given_up(self, job: Job, error: AttemptError) -> float | None:
        """The clip failed as often as it may: returns the limit where its length may be why. None: that was answered
        before, or is no more than usual."""
        return self.refused(job, error) if job.request.sent_s > self._accepted_s else None

    def _accept(self, answered_s: float) -> None:
        # limits are round: what took 2,750 s takes 3,000, and clips of one recording differ by less
        self._accepted_s = max(self._accepted_s, math.ceil(answered_s / self._usual_s) * self._usual_s)
