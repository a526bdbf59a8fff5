"""The decoder's delay in the times of an output: whether it is taken off, what answers say about it, what is told.

Answers keep their times with the delay taken off, and what was subtracted, until their transcript is published: what
holds then is in the file, and in the checkpoint's record of it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from pipeline.checkpoint import Checkpoint, Store
from pipeline.checkpoint.events import Event, Heard
from pipeline.checkpoint.subtracted import Timed
from pipeline.checkpoint.verdict import DelayVerdict
from pipeline.exchange import Answer
from pipeline.model import Transcript
from pipeline.run.join import with_word_error_rate, word_errors
from pipeline.times import retimed

log = logging.getLogger(__name__)
Setting = Literal["auto", "on", "off"]
STATES = {True: "on", False: "off"}


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """How times are published: with the delay taken off or not, and whether that follows the verdict."""

    applied: bool
    is_open: bool = False

    def published(self, rows: Sequence[tuple[int, Transcript]]) -> tuple[list[Transcript], list[Timed]]:
        """The transcripts, given with the numbers of their rows, as they are written, and what the checkpoint keeps."""
        published, timed = [], []
        for n, before in rows:
            row, counts = retimed(before, applied=self.applied), None
            if row.text != before.text and row.reference is not None:
                row, errors = with_word_error_rate(row), word_errors(row)
                counts = errors["ref_words"], errors["ref_errors"]
            timed.append(Timed.of(n, row, applied=self.applied, is_open=self.is_open, word_errors=counts))
            if row.clip_times is not msgspec.UNSET:
                row = msgspec.structs.replace(row, clip_times=msgspec.UNSET)
            published.append(row)
        return published, timed


class DelayCorrection:
    """The correction in one run."""

    def __init__(self, setting: Setting, out: Path) -> None:
        self._setting = setting
        self._rebuild = f"gradium-batch rebuild {out} --delay-correction"
        self._verdict = DelayVerdict()
        self._told = False

    @property
    def clock(self) -> Clock:
        """How times are published now."""
        if self._setting != "auto":
            return Clock(applied=self._setting == "on")
        return Clock(applied=self._verdict.applied, is_open=self._verdict.decided is None)

    @property
    def retimes(self) -> bool:
        """Whether rows that follow the verdict are rewritten with it."""
        return self._setting == "auto"

    async def begin(self, store: Store) -> None:
        """Reads the verdict so far, and tells where rows have other times than new ones get."""
        self._verdict = await store.blocking(Checkpoint.verdict)
        now = self.clock.applied
        others = await store.blocking(Checkpoint.with_other_times, now)
        if self._setting != "auto":
            others += await store.blocking(Checkpoint.with_other_times, now, is_open=True)
            if self._verdict.by == "earlier transcripts" and self._verdict.decided != now:
                others += await store.blocking(Checkpoint.without_record)
        if others:
            log.warning(
                "%s transcripts of this output have the times of delay_correction %s, new ones get those of %s; to "
                "change them: %s %s",
                f"{others:,}",
                STATES[not now],
                STATES[now],
                self._rebuild,
                STATES[now],
            )

    def heard(self, answer: Answer) -> list[Event]:
        """What an answer says; the events go into the same commit as the answer."""
        found = None if answer.times is None else answer.times.contains
        if found is None:
            return []
        before, self._verdict = self._verdict, self._verdict.heard(found)
        if before.decided is None and self._verdict.decided is not None:
            is_followed = self.clock.applied == self._verdict.applied
            log.log(logging.INFO if is_followed else logging.WARNING, "%s", found_out(self._verdict, self.clock))
        if (
            self._verdict.is_doubted and not self._told and self.clock.applied == self._verdict.applied
        ):  # also where an earlier run has told it
            self._told = True
            now, other = STATES[self.clock.applied], STATES[not self.clock.applied]
            log.warning(
                "the newest answers speak against delay_correction %s: their times seem to %s the decoder's delay, and "
                "the times in this output may be wrong by it; nothing changes by itself: %s%s %s changes all of them",
                now,
                "be without" if self.clock.applied else "contain",
                "" if self._setting == "auto" else f'set service.delay_correction = "{other}"; ',
                self._rebuild,
                other,
            )
        return [Heard(verdict=self._verdict)] if self._verdict != before else []


def found_out(verdict: DelayVerdict, clock: Clock) -> str:
    """The verdict as a sentence, and what is done in this run."""
    done = "it is taken off them" if clock.applied else "nothing is taken off them"
    if clock.applied != verdict.applied:
        done += ", as service.delay_correction says"
    if verdict.applied:
        found, count = "the times of the service contain the decoder's delay", verdict.on
    else:
        found, count = "the times of the service are those of the audio already", verdict.off
    return f"{found} ({count} of {verdict.on + verdict.off} answers); {done}"
