"""Progress of a run on stderr: a bar on a terminal, a plain line now and then elsewhere.

Moves by audio seconds. Lengths are guessed until a file was opened, so the total follows what is measured.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Literal

from pipeline.report.logs import is_json, say

Mode = Literal["auto", "bar", "plain", "off"]
PLAIN_EVERY_S = 10.0


def progress(mode: Mode) -> Progress:
    """What `--progress` asks for; "auto" is a bar where stderr is a terminal. None is drawn between lines of JSON."""
    if mode == "auto":
        mode = "bar" if sys.stderr is not None and sys.stderr.isatty() else "plain"
    if mode == "off":
        return Progress()
    return Bar() if mode == "bar" and not is_json() else Plain()  # a bar is no JSON


class Progress:
    """Counts, and shows nothing; called for each utterance as it ends."""

    def __init__(self) -> None:
        self.audio_s = 0.0
        self._expected_s = self._expected_ended_s = 0.0
        self.ok = self.failed = self.retries = 0
        self._started = time.monotonic()

    def start(self, expected_s: float) -> None:
        """The work begins: this much audio is expected."""
        self._expected_s = expected_s
        self._started = time.monotonic()

    def ended(self, *, expected_s: float, audio_s: float, ok: bool) -> None:
        """An utterance got its transcript, or was given up."""
        self.ok += ok
        self.failed += not ok
        if not ok:
            self._expected_s -= expected_s
            expected_s = 0.0
        self.answered(expected_s=expected_s, audio_s=audio_s)

    def answered(self, *, expected_s: float, audio_s: float) -> None:
        """A part of an utterance that is sent in several was answered; `ended` adds the rest."""
        self._expected_ended_s += expected_s
        self.audio_s += audio_s
        self._show(audio_s)

    def retried(self) -> None:
        """A request is sent once more."""
        self.retries += 1

    def close(self) -> None:
        """The work is over."""

    @property
    def total_s(self) -> float:
        """Audio in all: the rest is taken to be guessed as wrongly as what is done."""
        left_s = max(0.0, self._expected_s - self._expected_ended_s)
        return self.audio_s + left_s * (self.audio_s / self._expected_ended_s if self._expected_ended_s else 1.0)

    @property
    def rtfx(self) -> float:
        """Audio seconds per wall second."""
        return self.audio_s / max(time.monotonic() - self._started, 1e-3)

    def _words(self) -> str:
        return f"ok {self.ok:,}, failed {self.failed:,}, retries {self.retries:,}, RTFx {self.rtfx:.1f}"

    def _show(self, audio_s: float) -> None:
        """So much audio has come since the last time."""


class Bar(Progress):
    """A tqdm bar."""

    _bar: Any = None

    def start(self, expected_s: float) -> None:
        from tqdm import tqdm

        super().start(expected_s)
        self._bar = tqdm(
            total=expected_s,
            unit="s",
            file=sys.stderr,
            dynamic_ncols=True,
            bar_format="{percentage:3.0f}%|{bar}| {n:,.0f}/{total:,.0f} s of audio{postfix}, ETA {remaining}",
            postfix=self._words(),
        )

    def _show(self, audio_s: float) -> None:
        self._bar.total = self.total_s
        self._bar.set_postfix_str(self._words(), refresh=False)
        self._bar.update(audio_s)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class Plain(Progress):
    """A line at most every PLAIN_EVERY_S seconds, for logs."""

    _next = 0.0

    def start(self, expected_s: float) -> None:
        super().start(expected_s)
        self._next = time.monotonic() + PLAIN_EVERY_S

    def _show(self, audio_s: float) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_EVERY_S
            left_s = (self.total_s - self.audio_s) / max(self.rtfx, 1e-3)
            say(f"{self.audio_s:,.0f} of about {self.total_s:,.0f} s of audio, {self._words()}, ETA {left_s:,.0f} s")
