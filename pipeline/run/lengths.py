"""How much audio the service takes in one request: what earlier runs learned, and what this one learns.

Kept in the checkpoint. A limit is forgotten after a while, and where `audio.max_clip_s` is changed: it may grow.
"""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from pipeline.audio.prepare import Preparation
from pipeline.built import built
from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.events import Event, Noted
from pipeline.checkpoint.schema import CLIP_LENGTHS
from pipeline.config import Settings
from pipeline.pool import Lengths
from pipeline.profile import GRADIUM
from pipeline.run.budget import RunBudget

KEPT = timedelta(days=30)


@built
class KnownLengths(msgspec.Struct, frozen=True, kw_only=True):
    """What was learned, as the checkpoint keeps it."""

    max_clip_s: float
    """The setting."""
    answered_s: float = 0.0
    """The longest audio of one request that was answered, where that is more than the usual length."""
    limit_s: float | None = None
    """What the service takes, where it refused more, …"""
    learned_at: datetime | None = None
    """… and when it did."""

    @classmethod
    def of(cls, checkpoint: Checkpoint, max_clip_s: float, now: datetime) -> KnownLengths:
        """What holds now under this setting."""
        known = cls(max_clip_s=max_clip_s)
        with suppress(msgspec.DecodeError):
            known = msgspec.json.decode(checkpoint.fact(CLIP_LENGTHS, str) or "", type=KnownLengths)
        is_new = known.learned_at is not None and now - known.learned_at < KEPT
        if known.max_clip_s != max_clip_s or not is_new:
            known = cls(max_clip_s=max_clip_s, answered_s=known.answered_s)
        return known

    @property
    def longest_s(self) -> float:
        """The most audio of one request, in seconds."""
        return self.max_clip_s if self.limit_s is None else min(self.max_clip_s, self.limit_s)

    def applied(self, settings: Settings) -> Settings:
        """The settings with the clips that the service takes."""
        if self.longest_s == settings.audio.max_clip_s:
            return settings
        audio = settings.audio.model_copy(update={"max_clip_s": self.longest_s})
        return settings.model_copy(update={"audio": audio})

    @property
    def sentence(self) -> str | None:
        """What to say of a limit that makes clips shorter than the setting; None where there is none."""
        if self.learned_at is None or self.limit_s is None or self.longest_s == self.max_clip_s:
            return None
        return (
            f"clips of at most {self.limit_s:,g} s: the service took no longer ones on {self.learned_at:%Y-%m-%d}; "
            f"audio.max_clip_s ({self.max_clip_s:,g}) is tried again from {self.learned_at + KEPT:%Y-%m-%d}, or when "
            "it is changed"
        )

    def for_pool(self) -> Lengths:
        """What the pool begins with."""
        return Lengths(longest_s=math.inf if self.limit_s is None else self.limit_s, answered_s=self.answered_s)


class ClipLengths:
    """What one run learns, and its preparation and budget follow."""

    def __init__(self, known: KnownLengths, preparation: Preparation, budget: RunBudget) -> None:
        self._known = known
        self._preparation = preparation
        self._budget = budget

    def too_long(self, limit_s: float, now: datetime) -> list[Event]:
        """The service takes no more than this in one request; returns the event that keeps it, where it is news."""
        if self._known.limit_s is not None and self._known.limit_s <= limit_s:
            return []
        self._preparation.keep_to(limit_s)
        self._budget.keep_to_clips(limit_s)
        return self._learned(limit_s=limit_s, learned_at=now, answered_s=0.0)

    def answered(self, sent_s: float) -> list[Event]:
        """A request with so much audio was answered; returns the event that keeps it, where it is news."""
        if sent_s <= max(self._known.answered_s, GRADIUM.usual_clip_s):
            return []
        return self._learned(answered_s=sent_s)

    def _learned(self, **news: float | datetime) -> list[Event]:
        self._known = msgspec.structs.replace(self._known, **news)
        return [Noted(fact=CLIP_LENGTHS, value=msgspec.json.encode(self._known).decode())]
