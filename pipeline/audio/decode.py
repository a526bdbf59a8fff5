"""A recording of any format decoded to tracks. Blocking, for a worker process; a second of it is in memory.

decode(path, target, "mix", allow_truncated=False) writes target.0.pcm. libsndfile decodes plain WAV, which is read
where its chunks say that the samples are, and FLAC: its decoder is the codec's own and checks every frame, while PyAV's
parser takes the short frames of digital silence apart wrongly and loses some of a sound file. PyAV decodes all else.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from io import FileIO

import msgspec
import numpy as np
import soundfile

from pipeline.audio.channels import Block, Samples, TrackWriter, cleaned
from pipeline.audio.tracks import DAMAGED, ON_CLOCK, Bounds, Channels, Decoded, DecodeProgress
from pipeline.audio.wav import FLOAT, WavFile, check_samples, check_shape, is_wav, read_wav
from pipeline.errors import AudioEmpty, AudioUnavailable, AudioUnreadable
from pipeline.model import FileVersion
from pipeline.source.local import fault, file_version, open_recording, same_file

FLAC = b"fLaC"
UNBOUNDED = Bounds()
_UNKNOWN_LENGTH = 1 << 40
"""Samples from which on a length is that of a writer that did not know it."""


def decode(
    path: str,
    target: str,
    channels: Channels,
    *,
    allow_truncated: bool,
    looked_at: FileVersion | None = None,
    bounds: Bounds = UNBOUNDED,
) -> Decoded:
    """Decodes the recording to `{target}.{channel}.pcm`, a file for each track; on an error none is left.

    `looked_at` is what the file was when it was hashed: a transcript must not answer to other bytes. Raises a subclass
    of ItemError, AudioUnavailable, or OutputError where the tracks cannot be written. What goes beyond `bounds` ends as
    soon as it does: RecordingTooLong, or OutOfRoom for bytes.
    """
    progress = DecodeProgress(allow_truncated=allow_truncated, longest_s=bounds.longest_s)
    writer = TrackWriter(target, channels, bounds.most_bytes)
    try:
        with open_recording(path) as file:
            try:
                for rate, samples in _blocks(path, file, progress):
                    writer.add(rate, samples)
            finally:
                # also where it seemed broken: what was read may be half of the old and half of the new
                if looked_at is not None and not _is_still(path, file, looked_at):
                    raise AudioUnavailable("the file changed during the run; the next run transcribes it")
        tracks = writer.finish()
    except BaseException:
        writer.remove()
        raise
    if progress.has_gaps:
        tracks = tuple(msgspec.structs.replace(track, name=track.name + ON_CLOCK) for track in tracks)
    flags = ("truncated",) if progress.is_truncated else ()
    return Decoded(tracks=tracks, duration_s=progress.seconds, flags=flags)


def _is_still(path: str, file: FileIO, looked_at: FileVersion) -> bool:
    """Whether the open file, and what the path names now, are what was looked at."""
    try:
        now = os.stat(path)  # noqa: PTH116 a Path object buys nothing here
    except OSError:
        return same_file(file, looked_at)  # taken away, but its bytes were read to the end
    return same_file(file, looked_at) and file_version(now) == looked_at


def _blocks(path: str, file: FileIO, progress: DecodeProgress) -> Iterator[Block]:
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
        raise fault(path, error) from None
    if head.startswith(FLAC):
        yield from _flac_blocks(path, file, size, progress)
        return
    from pipeline.audio.packets import packet_blocks  # loads PyAV, which plain WAV and FLAC need not

    yield from packet_blocks(path, file, size, progress)


def _wav_blocks(file: FileIO, wav: WavFile) -> Iterator[Block]:
    check_samples(wav)
    file.seek(wav.start)
    left = wav.size - wav.size % wav.block
    while left:
        found = file.read(min(left, wav.rate * wav.block)) or b""
        found = found[: len(found) - len(found) % wav.block]
        if not found:
            return
        left -= len(found)
        yield Block(wav.rate, _floats(found, wav).T)


def _floats(found: bytes, wav: WavFile) -> Samples:
    """Shape (samples, channels)."""
    samples: Samples
    if wav.subtype == "PCM_16":  # the usual case; libsndfile takes twice as long, because it reads 8 KB at a time
        numbers = np.frombuffer(found, dtype=wav.order + "i2").reshape(-1, wav.channels)
        samples = np.multiply(numbers, np.float32(2.0**-15), dtype=np.float32)
        return samples
    samples, _ = soundfile.read(
        io.BytesIO(found),
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
            # a file that ends before its last frame does, or whose length is not told, looks damaged to the library
            if is_damaged and file.tell() < size_bytes:
                if progress.seconds:
                    progress.truncate(DAMAGED)
                progress.is_damaged = True
                declared_s = None
            progress.finish(declared_s, size_bytes)
    except OSError as error:
        raise fault(path, error) from None
    except soundfile.SoundFileError as error:
        problem = getattr(error, "error_string", error)  # libsndfile's own words, without our file object's
        raise AudioUnreadable(f"the file is no audio that can be read ({problem})") from None


def _second(sound: soundfile.SoundFile) -> tuple[Samples, bool]:
    """The next second, shape (channels, samples), and whether it ends in damage; empty at the end."""
    # the library says of a read that met damage only that it did: what it wrote before tells how far it came
    samples = np.full((sound.samplerate, sound.channels), np.nan, np.float32)
    try:
        return sound.read(out=samples).T, False
    except soundfile.LibsndfileError:
        missing = np.isnan(samples[:, 0])
        return samples[: int(missing.argmax()) if missing.any() else len(samples)].T, True
