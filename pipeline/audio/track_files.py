"""Writes blocks of all channels to the requested tracks: mixed, split or selected, and resampled.

A track is a file of raw signed 16-bit little-endian samples at SAMPLE_RATE.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import soxr

from pipeline.audio.channels import CopyDetector, Samples, mix
from pipeline.audio.tracks import MIX, SAMPLE_RATE, Channels, OutOfSpace, Track, channel_name, discard
from pipeline.errors import AudioUnsupported, OutputError

_SILENT = 1
"""Of 32,768: the peak of an unconnected input, noise in the last bit."""
_FULL_SCALE = 32_768.0


class TrackFile:
    """A track that is being written. Methods raise OutputError where that fails, and what `reserve` raises."""

    def __init__(self, path: str, channel: int, reserve: Callable[[int], None]) -> None:
        self._reserve = reserve
        self.path = path
        self.channel = channel
        self.name = channel_name(channel)
        self.samples = 0
        self.peak = 0
        self._rate = 0
        self._resampler: soxr.ResampleStream | None = None
        try:
            self._file = Path(self.path).open("wb")  # noqa: SIM115  closed by finish or remove
        except OSError as error:
            raise self._not_written(error) from None

    def write(self, rate: int, samples: Samples) -> None:
        """Appends samples of shape (samples,) at any rate."""
        if rate != self._rate:
            self._flush()
            self._rate = rate
            if rate != SAMPLE_RATE:
                self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        self._put(self._resampler.resample_chunk(np.ascontiguousarray(samples)) if self._resampler else samples)

    def finish(self) -> Track:
        """Writes the rest of the resampler's output and closes the file."""
        self._flush()
        try:
            self._file.close()
        except OSError as error:
            raise self._not_written(error) from None
        return Track(path=self.path, channel=self.channel, samples=self.samples, name=self.name)

    def remove(self) -> None:
        """Closes and deletes the file, finished or not."""
        with suppress(OSError):  # a full disk, which no longer matters
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
        np.clip(np.rint(scaled, out=scaled), -_FULL_SCALE, _FULL_SCALE - 1, out=scaled)
        numbers = scaled.astype("<i2")
        self.peak = max(self.peak, int(numbers.max()), -int(numbers.min()))
        self.samples += numbers.size
        self._reserve(numbers.nbytes)
        try:
            self._file.write(numbers.data)
        except OSError as error:
            raise self._not_written(error) from None

    def _not_written(self, error: OSError) -> OutputError:
        return OutputError(f"decoded audio cannot be written to {Path(self.path).parent}: {error.strerror or error}")


class TrackWriter:
    """Writes blocks to tracks: one for a mix or a selected channel, for a split one for each channel that is neither
    silent nor a copy of another.

    Raises what `TrackFile` raises, and OutOfSpace where the tracks together take more than `max_bytes`.
    """

    def __init__(self, target: str, channels: Channels, max_bytes: float) -> None:
        self._target = target
        self._channels = channels
        self._bytes_left = max_bytes
        self._files: list[TrackFile] = []
        self._copies = CopyDetector()

    def add(self, rate: int, samples: Samples) -> None:
        """Writes a block of shape (channels, samples). Raises AudioUnsupported if the selected channel is missing."""
        if self._channels == "split":
            self._copies.add(samples)
            while len(self._files) < len(samples):
                self._open(len(self._files))
            silence = np.zeros(samples.shape[1], dtype=np.float32)
            for file in self._files:
                file.write(rate, samples[file.channel] if file.channel < len(samples) else silence)
            return
        wanted = 0 if self._channels == "mix" else self._channels
        if not self._files:
            if wanted >= (count := len(samples)):
                raise AudioUnsupported(f"channel {wanted} is asked for, counted from 0, and the file has {count}")
            self._open(wanted)
        [file] = self._files
        if self._channels == "mix":
            if len(samples) > 1:  # of a single channel the mix is that channel
                file.name = MIX
            file.write(rate, mix(samples))
            return
        # a broadcast may fall back to mono for a while, which then stands for all channels
        chosen = wanted if wanted < len(samples) else 0
        if chosen != wanted:
            file.name = f"{channel_name(wanted)}_or_{channel_name(chosen)}"
        file.write(rate, samples[chosen])

    def finish(self) -> tuple[Track, ...]:
        """Closes the files of the tracks that are kept and deletes the others."""
        finished = {file: file.finish() for file in self._files}
        copies = self._copies.copies()
        kept = [file for file in finished if file.channel not in copies and file.peak > _SILENT] or self._files[:1]
        for file in self._files:
            if file not in kept:
                file.remove()
        return tuple(finished[file] for file in kept)

    def remove(self) -> None:
        """Deletes everything written."""
        for file in self._files:
            file.remove()

    def _open(self, channel: int) -> None:
        """Adds a track, which is silent up to now."""
        file = TrackFile(f"{self._target}.{channel}.pcm", channel, self._reserve)
        missing = self._files[0].samples if self._files else 0
        self._files.append(file)
        for place in range(0, missing, SAMPLE_RATE):
            file.write(SAMPLE_RATE, np.zeros(min(SAMPLE_RATE, missing - place), dtype=np.float32))

    def _reserve(self, count: int) -> None:
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise OutOfSpace("the tracks take more bytes than allowed")
