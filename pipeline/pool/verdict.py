"""What may become of a clip at the end of a request."""

from __future__ import annotations

import msgspec

from pipeline.errors import AttemptError, GradiumBatchError
from pipeline.model import Answer


class Done(msgspec.Struct, frozen=True):
    """The clip has its answer."""

    answer: Answer


class Again(msgspec.Struct, frozen=True):
    """The clip is sent again after a pause."""

    error: AttemptError
    pause_s: float


class GiveUp(msgspec.Struct, frozen=True):
    """The clip has no answer in this run."""

    error: AttemptError


class Deferred(msgspec.Struct, frozen=True):
    """What is done with the clip depends on what becomes of others: it is told later."""


class EndRun(msgspec.Struct, frozen=True):
    """Nothing more is sent; the clip stays as it was."""

    error: GradiumBatchError


Verdict = Done | Again | GiveUp | Deferred | EndRun
