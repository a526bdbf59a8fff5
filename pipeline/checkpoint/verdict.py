"""Whether the times of an output contain the decoder's delay: what its answers said so far, and what follows.

Pure: no I/O. The verdict is kept as a fact of the checkpoint.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from pipeline.built import built

DECIDES = 20
"""Answers with evidence that decide. Later ones, so many more against it than for it, are told."""


@built
class DelayVerdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The verdict of one output folder."""

    on: int = 0
    """Answers before it was decided whose times contain the delay, …"""
    off: int = 0
    """… and those whose times do not."""
    decided: bool | None = None
    """Whether the correction is on; None while answers are counted."""
    by: Literal["answers", "earlier transcripts", "rebuild"] | None = None
    """What decided it."""
    against: int = 0
    """How many more of the later answers were against it than for it, from 0 to DECIDES."""

    @staticmethod
    def read(fact: object) -> DelayVerdict | None:
        """From the fact; None where there is none, or it cannot be read."""
        try:
            return msgspec.json.decode(fact, type=DelayVerdict) if isinstance(fact, str) else None
        except msgspec.DecodeError:
            return None

    def written(self) -> str:
        """As the fact has it."""
        return msgspec.json.encode(self).decode()

    @property
    def applied(self) -> bool:
        """Whether the correction is on: as decided, or by the answers so far."""
        return self.on >= self.off if self.decided is None else self.decided

    @property
    def is_doubted(self) -> bool:
        """Whether later answers are against it."""
        return self.against >= DECIDES

    def heard(self, contain: bool) -> DelayVerdict:
        """The verdict after another answer with evidence, whose times `contain` the delay or do not."""
        if self.decided is not None:
            against = max(0, min(DECIDES, self.against + (1 if contain != self.decided else -1)))
            return msgspec.structs.replace(self, against=against)
        on, off = self.on + contain, self.off + (not contain)
        if on + off < DECIDES:
            return DelayVerdict(on=on, off=off)
        return DelayVerdict(on=on, off=off, decided=on >= off, by="answers")


EARLIER = DelayVerdict(decided=True, by="earlier transcripts")
"""Of an output that has transcripts of a version which always took the delay off. Where a checkpoint is lost, its
verdict is what the last run told, by the same name."""
