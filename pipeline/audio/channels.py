"""From blocks of all channels to the tracks that were asked for: mixed, split or picked, resampled to 24 kHz, written.

A track is a file of raw signed 16-bit little-endian samples.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soxr

from pipeline.audio.tracks import MIX, SAMPLE_RATE, Channels, OutOfRoom, Track, channel_name, discard
from pipeline.errors import AudioUnsupported, OutputError

_CANCELLED = 0.05
"""Of the channels' mean energy. Two voices keep a half of it, one voice on one of six channels a sixth."""
_AS_LOUD = 0.8
_FLOOR = 1e-7
"""Mean square below which a block counts as silence (-70 dB of full scale)."""
_RESIDUE = 1e-3
"""Of a block's energy, what a lossy codec may make of two equal channels (-30 dB)."""
_GAIN_SPREAD = 0.05
"""How far the ratio of two equal channels may wander; two speakers' crosstalk does not keep to one ratio."""
_SILENT = 1
"""Of 32,768: the last bit of an input that nothing is plugged into."""
_FULL_SCALE = 32_768.0

Samples = npt.NDArray[np.float32]


class Block(NamedTuple):
    """One second of all channels; shorter only at the end, or where rate or channels change."""

    rate: int
    samples: Samples
    """Shape (channels, samples), -1 to 1."""

    @property
    def duration_s(self) -> float:
        duration_s: float = self.samples.shape[1] / self.rate
        return duration_s


def cleaned(samples: Samples) -> Samples:
    """Floating-point audio without what is no number or beyond full scale: one such value would ring for long."""
    if samples.size and not (samples.min() >= -1.0 and samples.max() <= 1.0):  # NaN is neither
        samples = np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
    return samples


def mix(samples: Samples) -> Samples:
    """The mean of the channels; where they cancel out, the first channel that is about as loud as the loudest."""
    # channel by channel: numpy's sum over the short side of interleaved samples takes thirty times as long
    mixed: Samples = samples[0].copy()
    for channel in samples[1:]:
        mixed += channel
    mixed *= np.float32(1 / len(samples))
    together = (samples if samples.flags.c_contiguous else samples.T).ravel()
    if _energy(mixed) * len(samples) < _CANCELLED * _energy(together):
        # not the loudest itself: jumping between two that are alike would click
        energies = np.array([_energy(channel) for channel in samples])
        chosen: Samples = samples[int(np.argmax(energies >= _AS_LOUD * energies.max()))]
        return chosen
    return mixed


def _energy(samples: Samples) -> float:
    return float(np.dot(samples, samples))


class CopyDetector:
    """Which channels carry the same signal, be it inverted, louder or lossily coded."""

    def __init__(self) -> None:
        self._gains: dict[tuple[int, int], tuple[float, float]] = {}
        """The lowest and the highest so far; of pairs that may be equal: one found different is not compared again."""
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
        """Channels whose signal a channel before them carries."""
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
    """A track that is being written. Raises OutputError where the disk takes no more, and what `take_bytes` raises."""

    def __init__(self, path: str, channel: int, take_bytes: Callable[[int], None]) -> None:
        self._take_bytes = take_bytes
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
        """Adds samples of shape (samples,) and of any rate."""
        if rate != self._rate:
            self._flush()
            self._rate = rate
            if rate != SAMPLE_RATE:
                self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        self._put(self._resampler.resample_chunk(np.ascontiguousarray(samples)) if self._resampler else samples)

    def finish(self) -> Track:
        """Writes what the resampler still holds and closes the file."""
        self._flush()
        try:
            self._file.close()
        except OSError as error:
            raise self._not_written(error) from None
        return Track(path=self.path, channel=self.channel, samples=self.samples, name=self.name)

    def remove(self) -> None:
        """Closes and deletes the file, finished or not."""
        with suppress(OSError):  # of a full disk: what could not be written is not wanted any more
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
        self._take_bytes(numbers.nbytes)
        try:
            self._file.write(numbers.data)
        except OSError as error:
            raise self._not_written(error) from None

    def _not_written(self, error: OSError) -> OutputError:
        folder = Path(self.path).parent
        return OutputError(f"decoded audio cannot be written to {folder}: {error.strerror or error}")


class TrackWriter:
    """Takes blocks, leaves tracks: one for a mix or a picked channel; of a split those that say something of their own.

    Raises what `TrackFile` raises; OutOfRoom where the tracks together take more than `most_bytes`.
    """

    def __init__(self, target: str, channels: Channels, most_bytes: float) -> None:
        self._target = target
        self._channels = channels
        self._bytes_left = most_bytes
        self._files: list[TrackFile] = []
        self._copies = CopyDetector()

    def add(self, rate: int, samples: Samples) -> None:
        """A block of shape (channels, samples). Raises AudioUnsupported where the picked channel is not there."""
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
        # a broadcast may fall back to mono for a while: then all channels are that one
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
        """A channel that begins late is silent until then."""
        file = TrackFile(f"{self._target}.{channel}.pcm", channel, self._take_bytes)
        missing = self._files[0].samples if self._files else 0
        self._files.append(file)
        for place in range(0, missing, SAMPLE_RATE):
            file.write(SAMPLE_RATE, np.zeros(min(SAMPLE_RATE, missing - place), dtype=np.float32))

    def _take_bytes(self, count: int) -> None:
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise OutOfRoom("the recording takes more disk than it was given")
