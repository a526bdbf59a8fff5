"""Decodes a recording of any format to tracks, in a worker process, with one second of it in memory.

decode(path, target, "mix", allow_truncated=False) writes target.0.pcm. libsndfile decodes plain WAV and FLAC: its FLAC
decoder checks every frame, while PyAV's parser loses some short frames of digital silence. PyAV decodes all else.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from io import FileIO

import msgspec
import numpy as np
import soundfile

from pipeline.audio.channels import Block, Samples, cleaned
from pipeline.audio.track_files import TrackWriter
from pipeline.audio.tracks import DAMAGED, ON_CLOCK, Channels, Decoded, DecodeLimits, DecodeProgress
from pipeline.audio.wav import FLOAT, WavFile, check_samples, check_shape, is_wav, read_wav
from pipeline.errors import AudioEmpty, AudioUnavailable, AudioUnreadable
from pipeline.model import FileVersion
from pipeline.source.local import file_version, open_recording, read_error, same_file

FLAC = b"fLaC"
NO_LIMITS = DecodeLimits()
_UNKNOWN_LENGTH = 1 << 40
"""Samples from which on a length is a placeholder."""


def decode(
    path: str,
    target: str,
    channels: Channels,
    *,
    allow_truncated: bool,
    version: FileVersion | None = None,
    limits: DecodeLimits = NO_LIMITS,
) -> Decoded:
    """Decodes the recording to `{target}.{channel}.pcm`, a file for each track; none is left after an error.

    Raises a subclass of ItemError, AudioUnavailable (also where the file is not of this `version` any more, of which
    it was hashed), OutputError where the tracks cannot be written, and at the `limits` RecordingTooLong or OutOfSpace.
    """
    progress = DecodeProgress(allow_truncated=allow_truncated, max_s=limits.max_s)
    writer = TrackWriter(target, channels, limits.max_bytes)
    try:
        with open_recording(path) as file:
            try:
                for rate, samples in blocks(path, file, progress):
                    writer.add(rate, samples)
            finally:
                # also after an error: what was read may be half of the old file and half of the new one
                if version is not None and not is_unchanged(path, file, version):
                    raise AudioUnavailable("the file changed during the run; the next run transcribes it")
        tracks = writer.finish()
    except BaseException:
        writer.remove()
        raise
    if progress.has_gaps:
        tracks = tuple(msgspec.structs.replace(track, name=track.name + ON_CLOCK) for track in tracks)
    issues = ("truncated",) if progress.is_truncated else ()
    return Decoded(tracks=tracks, duration_s=progress.seconds, issues=issues)


def is_unchanged(path: str, file: FileIO, version: FileVersion) -> bool:
    """Whether the open file, and the one that the path names now, are of this version."""
    try:
        now = os.stat(path)  # noqa: PTH116 a Path object buys nothing here
    except OSError:
        return same_file(file, version)  # deleted, but its bytes were read to the end
    return same_file(file, version) and file_version(now) == version


def blocks(path: str, file: FileIO, progress: DecodeProgress) -> Iterator[Block]:
    """The samples of an open recording, block by block. Raises as `decode`."""
    size = os.fstat(file.fileno()).st_size
    if not size:
        raise AudioEmpty("the file is empty")
    try:
        head = file.read(12) or b""
        wav = read_wav(file, size) if is_wav(head) else None
        if wav and wav.is_plain:
            for block in _wav_blocks(file, wav):
                progress.add(block.duration_s)
                yield block
            progress.finish(wav.declared_s, max(wav.size, 1))
            return
    except OSError as error:
        raise read_error(path, error) from None
    if head.startswith(FLAC):
        yield from _flac_blocks(path, file, size, progress)
        return
    from pipeline.audio.packets import packet_blocks  # PyAV, without which plain WAV and FLAC decode

    yield from packet_blocks(path, file, size, progress)


def _wav_blocks(file: FileIO, wav: WavFile) -> Iterator[Block]:
    check_samples(wav)
    file.seek(wav.start)
    left = wav.size - wav.size % wav.block
    while left:
        data = file.read(min(left, wav.rate * wav.block)) or b""
        data = data[: len(data) - len(data) % wav.block]
        if not data:
            return
        left -= len(data)
        yield Block(wav.rate, _floats(data, wav).T)


def _floats(data: bytes, wav: WavFile) -> Samples:
    """Shape (samples, channels)."""
    samples: Samples
    if wav.subtype == "PCM_16":  # the usual case; libsndfile takes twice as long, because it reads 8 KB at a time
        numbers = np.frombuffer(data, dtype=wav.order + "i2").reshape(-1, wav.channels)
        samples = np.multiply(numbers, np.float32(2.0**-15), dtype=np.float32)
        return samples
    samples, _ = soundfile.read(
        io.BytesIO(data),
        dtype="float32",
        always_2d=True,
        format="RAW",
        subtype=wav.subtype,
        endian="BIG" if wav.order == ">" else "LITTLE",
        samplerate=wav.rate,
        channels=wav.channels,
    )
    return cleaned(samples) if wav.tag == FLOAT else samples


def _flac_blocks(path: str, file: FileIO, size_bytes: int, progress: DecodeProgress) -> Iterator[Block]:
    """Raises AudioUnreadable, AudioUnavailable, and what `progress` raises where audio is missing."""
    file.seek(0)
    try:
        with soundfile.SoundFile(file) as sound:
            check_shape(sound.channels, sound.samplerate)
            declared_s = sound.frames / sound.samplerate if 0 < sound.frames < _UNKNOWN_LENGTH else None
            samples, is_damaged = _second(sound)
            while samples.shape[1]:
                progress.add(samples.shape[1] / sound.samplerate)
                yield Block(sound.samplerate, samples)
                samples, is_damaged = (samples[:, :0], True) if is_damaged else _second(sound)
            # to libsndfile a file without a length, or one that ends within a frame, is damaged
            if is_damaged and file.tell() < size_bytes:
                if progress.seconds:
                    progress.truncate(DAMAGED)
                progress.is_damaged = True
                declared_s = None
            progress.finish(declared_s, size_bytes)
    except OSError as error:
        raise read_error(path, error) from None
    except soundfile.SoundFileError as error:
        problem = getattr(error, "error_string", error)  # libsndfile's text, without our file object
        raise AudioUnreadable(f"the file is no audio that can be read ({problem})") from None


def _second(sound: soundfile.SoundFile) -> tuple[Samples, bool]:
    """The next second, shape (channels, samples), and whether it ends in damage; empty at the end."""
    # a read that fails does not return how many samples it wrote: the NaNs that remain show it
    samples = np.full((sound.samplerate, sound.channels), np.nan, np.float32)
    try:
        return sound.read(out=samples).T, False
    except soundfile.LibsndfileError:
        missing = np.isnan(samples[:, 0])
        return samples[: int(missing.argmax()) if missing.any() else len(samples)].T, True
