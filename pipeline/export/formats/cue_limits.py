"""The limits of subtitles: how much text is shown at once, and for how long."""

from __future__ import annotations

import math

import msgspec

from pipeline.errors import UsageError


class CueLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of cues, the pieces of subtitles. UsageError where one makes no sense."""

    line_chars: int = 42
    """Characters of a line at most."""
    cjk_line_chars: int = 16
    """Characters of a line at most where they are wide: Chinese, Japanese, Korean."""
    lines: int = 2
    """Lines of a cue at most."""
    min_s: float = 5 / 6
    """Seconds a cue is shown at least."""
    max_s: float = 7.0
    """Seconds a cue is shown at most."""
    chars_per_s: float = 20.0
    """Characters a second at most, spaces included."""
    gap_frames: int = 2
    """Frames between two cues at least."""
    fps: float = 25.0
    """Frames a second of the video, which say how long the gap between two cues is."""

    def __post_init__(self) -> None:
        for name, least, most in _WHOLE:
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise UsageError(f"{_option(name)}: give a whole number from {least} to {most}, not {value!r}")
        for name, low, high in _NUMBERS:
            value = getattr(self, name)
            if type(value) not in (int, float) or not low <= value <= high:  # not of NaN either
                raise UsageError(f"{_option(name)}: give a number from {low:g} to {high:g}, not {value!r}")
        if self.min_s > self.max_s:
            raise UsageError(
                f"--min-s {self.min_s:g} is more than --max-s {self.max_s:g}: no cue could keep both limits"
            )

    @property
    def min_ms(self) -> int:
        return math.ceil(round(self.min_s * 1000, 6))

    @property
    def max_ms(self) -> int:
        return math.floor(round(self.max_s * 1000, 6))

    @property
    def gap_ms(self) -> int:
        return math.ceil(round(self.gap_frames * 1000 / self.fps, 6))

    @property
    def frame_ms(self) -> int:
        return min(math.ceil(1000 / self.fps), self.max_ms)

    def reading_ms(self, chars: int) -> int:
        """How long it takes at least to read so many characters."""
        return math.ceil(round(chars * 1000 / self.chars_per_s, 6))


_WHOLE = (("line_chars", 1, 1000), ("cjk_line_chars", 1, 1000), ("lines", 1, 10), ("gap_frames", 0, 100))
_NUMBERS = (("min_s", 0.0, 60.0), ("max_s", 0.1, 600.0), ("chars_per_s", 0.1, 1000.0), ("fps", 1.0, 1000.0))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
