"""Turns blocks of all channels into the requested tracks: mixed, split or selected, and resampled.

A track is a file of raw signed 16-bit little-endian samples at SAMPLE_RATE.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soxr

from pipeline.audio.tracks import MIX, SAMPLE_RATE, Channels, OutOfSpace, Track, channel_name, discard
from pipeline.errors import AudioUnsupported, OutputError

_CANCELLED = 0.05
"""Of the channels' mean energy: a mix with less has cancelled out. One voice on one of six channels keeps a sixth."""
_AS_LOUD = 0.8
"""Of the loudest channel's energy."""
_FLOOR = 1e-7
"""Mean square below which a block counts as silence (-70 dB of full scale)."""
_RESIDUE = 1e-3
"""Of a block's energy: the difference of two equal channels after a lossy codec (-30 dB)."""
_GAIN_SPREAD = 0.05
"""How much the gain between two equal channels may vary; between channels with crosstalk it varies more."""
_SILENT = 1
"""Of 32,768: the peak of an unconnected input, noise in the last bit."""
_FULL_SCALE = 32_768.0

Samples = npt.NDArray[np.float32]


class Block(NamedTuple):
    """One second of all channels; shorter only at the end, or where rate or channels change."""

    rate: int
    samples: Samples
    """Shape (channels, samples), -1 to 1."""

    @property
    def duration_s(self) -> float:
        return float(self.samples.shape[1] / self.rate)


def cleaned(samples: Samples) -> Samples:
    """Floating-point audio clipped to full scale, with NaN as 0: resampling would spread other values widely."""
    if samples.size and not (samples.min() >= -1.0 and samples.max() <= 1.0):  # NaN is neither
        samples = np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
    return samples


def mix(samples: Samples) -> Samples:
    """The mean of the channels; where they cancel out, the first channel that is about as loud as the loudest."""
    # one by one: numpy's sum over the short axis of interleaved samples takes thirty times as long
    mixed: Samples = samples[0].copy()
    for channel in samples[1:]:
        mixed += channel
    mixed *= np.float32(1 / len(samples))
    together = (samples if samples.flags.c_contiguous else samples.T).ravel()
    if _energy(mixed) * len(samples) < _CANCELLED * _energy(together):
        # not the loudest itself: alternating between two similar channels would click
        energies = np.array([_energy(channel) for channel in samples])
        chosen: Samples = samples[int(np.argmax(energies >= _AS_LOUD * energies.max()))]
        return chosen
    return mixed


def _energy(samples: Samples) -> float:
    return float(np.dot(samples, samples))


class CopyDetector:
    """Finds channels with the same signal, also if inverted, louder or lossily coded."""

    def __init__(self) -> None:
        self._gains: dict[tuple[int, int], tuple[float, float]] = {}
        """The lowest and the highest gain so far of each pair of channels that was never found to differ."""
        self._channels = 0

    def add(self, samples: Samples) -> None:
        """One block of shape (channels, samples)."""
        if not self._channels:
            self._channels = len(samples)
            self._gains = {(a, b): (np.inf, -np.inf) for b in range(self._channels) for a in range(b)}
        elif len(samples) != self._channels:
            self._gains.clear()
        for pair, gains in [*self._gains.items()]:
            compared = _compare(samples[pair[0]], samples[pair[1]], gains)
            if compared is None:
                del self._gains[pair]
            else:
                self._gains[pair] = compared

    def copies(self) -> set[int]:
        """Channels with the signal of an earlier channel."""
        return {copy for (_, copy), (low, high) in self._gains.items() if low <= high}


def _compare(first: Samples, second: Samples, gains: tuple[float, float]) -> tuple[float, float] | None:
    """The lowest and the highest gain from the first channel to the second; None where they differ."""
    size = max(1, first.size)
    energy, other = _energy(first) / size, _energy(second) / size
    if max(energy, other) < _FLOOR:
        return gains
    if min(energy, other) < _FLOOR * 1e-2:
        return None
    shared = float(np.dot(first, second)) / size
    if other - shared * shared / energy > _RESIDUE * other + _FLOOR:
        return None
    low, high = min(gains[0], shared / energy), max(gains[1], shared / energy)
    is_steady = high - low <= _GAIN_SPREAD * abs(high + low) / 2 + np.sqrt(_FLOOR / energy)
    return (low, high) if is_steady else None


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
