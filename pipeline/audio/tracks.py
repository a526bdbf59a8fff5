"""Tracks: what is decoded, one channel each, written as raw signed 16-bit little-endian samples at 24 kHz."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import soxr

from pipeline.audio.blocks import Samples
from pipeline.audio.decoded import RATE, OutOfRoom, Track, channel_name
from pipeline.errors import OutputError

_FULL_SCALE = 32_768.0


class Room:
    """The bytes that the tracks of one recording may take together."""

    def __init__(self, most_bytes: float) -> None:
        self._left = most_bytes

    def take(self, count: int) -> None:
        """Raises OutOfRoom where there are no more."""
        self._left -= count
        if self._left < 0:
            raise OutOfRoom("the recording takes more disk than it was given")


class TrackFile:
    """A track that is being written. Raises OutputError where the disk takes no more, OutOfRoom where the recording may
    not have more of it."""

    def __init__(self, path: str, channel: int, room: Room) -> None:
        self._room = room
        self.path = path
        self.channel = channel
        self.name = channel_name(channel)
        self.samples = 0
        self.loudest = 0
        self._rate = 0
        self._resampler: soxr.ResampleStream | None = None
        try:
            self._file = Path(path).open("wb")  # noqa: SIM115  closed by finish or remove
        except OSError as error:
            raise _full(path, error) from None

    def write(self, rate: int, samples: Samples) -> None:
        """Adds samples of shape (samples,) and of any rate."""
        if rate != self._rate:
            self._flush()
            self._rate = rate
            self._resampler = (
                None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")
            )
        self._put(self._resampler.resample_chunk(samples) if self._resampler else samples)

    def finish(self) -> Track:
        """Writes what the resampler still holds and closes the file."""
        self._flush()
        try:
            self._file.close()
        except OSError as error:
            raise _full(self.path, error) from None
        return Track(path=self.path, channel=self.channel, samples=self.samples, name=self.name)

    def remove(self) -> None:
        """Closes and deletes the file, finished or not."""
        with contextlib.suppress(OSError):  # of a full disk: what could not be written is not wanted any more
            self._file.close()
        discard(self.path)

    def _flush(self) -> None:
        if self._resampler:
            self._put(self._resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True))
            self._resampler = None

    def _put(self, samples: Samples) -> None:
        if not samples.size:
            return
        scaled = samples * np.float32(_FULL_SCALE)
        np.rint(scaled, out=scaled)
        np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1, out=scaled)
        numbers = scaled.astype("<i2")
        self.loudest = max(self.loudest, int(numbers.max()), -int(numbers.min()))
        self.samples += numbers.size
        self._room.take(numbers.nbytes)
        try:
            self._file.write(numbers.data)
        except OSError as error:
            raise _full(self.path, error) from None


def discard(path: str) -> None:
    """Deletes what was written in vain; never a device, to which a path may lead on an odd machine."""
    with contextlib.suppress(OSError):
        if Path(path).is_symlink() or Path(path).is_file():
            Path(path).unlink()


def _full(path: str, error: OSError) -> OutputError:
    return OutputError(f"decoded audio cannot be written to {Path(path).parent}: {error.strerror or error}")
