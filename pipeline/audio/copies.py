"""Copies of recordings, whole or in part, as files that soundfile reads, in worker processes. One second of audio is in
memory.

A copy has the recording's own sample rate and channels. It is lossless up to 24 bits; floating-point samples, as all
lossy formats decode to, are rounded to 16 bits, as they are where they are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import soundfile

from pipeline.audio.channels import Samples
from pipeline.audio.decode import blocks, is_unchanged
from pipeline.audio.tracks import DecodeProgress, OutOfSpace, discard
from pipeline.errors import AttemptError, AudioUnavailable, AudioUnsupported, OutputError, SpanOutside
from pipeline.model import FileVersion
from pipeline.source.local import open_recording

AS_IT_IS = ("WAV", "WAVEX", "FLAC", "OGG", "MP3")
"""Formats, as libsndfile names them, that browsers and libraries of machine learning read as well."""
SAME_S = 0.1
"""How far libsndfile and our decoders may be apart about a length: of MP3 some cut the encoder's delay off."""
FLAC_CHANNELS, FLAC_RATE = 8, 655_350
"""The most that FLAC holds; what has more becomes WAV."""

Numbers = npt.NDArray[np.int32]


class LengthTask(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a recording can be used as it is: libsndfile finds the same length in it as `duration_s`."""

    path: str
    duration_s: float


class WholeTask(msgspec.Struct, frozen=True, kw_only=True):
    """Decode a recording into the file `target`, which gets its ending."""

    path: str
    target: str
    version: FileVersion
    """Of the file when it was hashed."""
    most_bytes: int


class PartTask(msgspec.Struct, frozen=True, kw_only=True):
    """Copy a part of a whole copy into the file `target`, which gets its ending."""

    path: str
    """Of the whole copy."""
    target: str
    begin_s: float
    end_s: float | None
    """None: to its end. What lies beyond that is left out."""
    channel: int | None
    """The only one that is copied, from 0; None: all."""
    most_bytes: int


CopyTask = LengthTask | WholeTask | PartTask
CopyResult = bool | str | AttemptError | OutputError | OutOfSpace
"""Whether it can be used as it is; or the copy's path."""


def make_copier() -> Callable[[CopyTask], CopyResult]:
    """Returns the function that a worker calls for each task. Loads all codec libraries first."""
    import pipeline.audio.packets  # noqa: F401

    return perform


def perform(task: CopyTask) -> CopyResult:
    """Performs one task. Returns errors of the recording or the disk; raises only errors of the worker.

    A whole copy holds all that decodes, with silence for what is damaged: its recording was transcribed, so that this
    was allowed, or nothing is damaged.
    """
    try:
        if isinstance(task, LengthTask):
            return _is_usable(task)
        return _whole(task) if isinstance(task, WholeTask) else _part(task)
    except (AttemptError, OutputError, OutOfSpace) as error:
        return error


def _is_usable(task: LengthTask) -> bool:
    with open_recording(task.path) as file, suppress(soundfile.SoundFileError), soundfile.SoundFile(file) as sound:
        return sound.format in AS_IT_IS and abs(sound.frames / sound.samplerate - task.duration_s) <= SAME_S
    return False


def _whole(task: WholeTask) -> str:
    progress = DecodeProgress(allow_truncated=True)
    with open_recording(task.path) as file:
        try:
            pieces = ((block.rate, _numbers(block.samples)) for block in blocks(task.path, file, progress))
            return _write(task.target, pieces, task.most_bytes)
        finally:
            if not is_unchanged(task.path, file, task.version):
                raise AudioUnavailable("the file changed while it was read")


def _part(task: PartTask) -> str:
    with soundfile.SoundFile(task.path) as sound:
        rate, channel = sound.samplerate, task.channel
        if channel is not None and channel >= sound.channels:
            raise SpanOutside(f"the row asks for channel {channel}, counted from 0; the recording has {sound.channels}")
        first = round(task.begin_s * rate)
        if first >= sound.frames:
            raise SpanOutside(
                f"the row begins at {first / rate:.2f} s, the recording ends at {sound.frames / rate:.2f} s"
            )
        end = sound.frames if task.end_s is None else min(sound.frames, max(first + 1, round(task.end_s * rate)))
        sound.seek(first)
        return _write(task.target, ((rate, piece) for piece in _read(sound, end - first, channel)), task.most_bytes)


def _read(sound: soundfile.SoundFile, frames: int, channel: int | None) -> Iterator[Numbers]:
    while frames > 0:
        piece = sound.read(min(frames, sound.samplerate), dtype="int32", always_2d=True)
        frames -= len(piece)
        yield piece if channel is None else piece[:, channel : channel + 1]


def _numbers(samples: Samples) -> Numbers:
    """Floating-point samples of shape (channels, samples) as 24-bit numbers of shape (samples, channels), in the upper
    bits of 32."""
    scaled = samples.T * np.float32(1 << 23)  # exact, as a power of two
    if np.array_equal(np.rint(scaled), scaled):
        numbers = np.minimum(scaled, (1 << 23) - 1)
    else:
        numbers = np.clip(np.rint(samples.T * np.float32(1 << 15)), -(1 << 15), (1 << 15) - 1) * 256
    numbers24: Numbers = numbers.astype(np.int32) << 8
    return numbers24


def _write(target: str, pieces: Iterable[tuple[int, Numbers]], most_bytes: int) -> str:
    """Writes FLAC, or WAV. Raises AudioUnsupported, OutOfSpace or OutputError; then no file is left."""
    left = iter(pieces)
    first = next(left)
    rate, channels = first[0], first[1].shape[1]
    is_flac = channels <= FLAC_CHANNELS and rate <= FLAC_RATE
    path = Path(f"{target}{'.flac' if is_flac else '.wav'}")
    try:
        with soundfile.SoundFile(path, "w", rate, channels, "PCM_24", format="FLAC" if is_flac else "WAV") as sound:
            for now, piece in chain([first], left):
                if (now, piece.shape[1]) != (rate, channels):
                    raise AudioUnsupported("its sample rate or its number of channels changes, which no copy can hold")
                sound.write(piece)
                if path.stat().st_size > most_bytes:
                    raise OutOfSpace(f"a lossless copy of it takes more than {most_bytes >> 20} MiB")
    except BaseException as error:
        discard(str(path))
        if isinstance(error, soundfile.SoundFileError | OSError | AssertionError):  # the latter if it wrote a part only
            raise OutputError(f"a copy of audio cannot be written to {path.parent}: {error}") from None
        raise
    return str(path)
