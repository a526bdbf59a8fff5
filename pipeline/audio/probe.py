"""The first look at a recording: its format and length by its header, whether it can be sent as it is, and the hash of
its content. Blocking: call it in a thread. Nothing is decoded; raises the recording's own fault, never a library error.

`probe` reads the header only, `look` the whole file, once.
"""

from __future__ import annotations

import hashlib
import os
import threading
from functools import lru_cache
from io import FileIO

import msgspec

from pipeline.audio.ogg import read_ogg_opus
from pipeline.audio.wav import PCM, WavFile, check_samples, is_wav, read_wav
from pipeline.errors import AttemptError, AudioEmpty, AudioTruncated, AudioUnavailable, Stopped
from pipeline.model import FileVersion
from pipeline.source import source_of
from pipeline.source.local import fault, file_version, file_version_at, open_recording, same_file

WAV_TYPE, OGG_TYPE = "audio/wav", "audio/ogg"
"""What the service takes: WAV of one channel, in plain integer PCM of these bits, and Ogg-Opus of one channel."""
SENDABLE_BITS = (16, 24, 32)
CHUNK_BYTES = 1 << 18
"""As fast as any larger one, and a stop is noticed between two of them."""
FIRST_PREFIX = 64
NEVER = threading.Event()


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What the header of a file says."""

    content_type: str | None
    """What the service is told where it takes the very bytes; None: the file must be decoded."""
    duration_s: float
    """By the header, as far as the file's size bears it out; exact where content_type is set. 0 where only decoding can
    tell."""
    is_counted: bool
    """The length is a count of samples, of packets or of what is there: no estimate by bit rate or by size."""
    declared_s: float | None = None
    """What the header counts, where the file holds uncompressed samples: less may be there."""
    channels: int
    is_mono: bool
    """It has one channel from its beginning to its end: of other formats the header only tells how it begins."""
    version: FileVersion


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """A recording with the hash of its content."""

    path: str
    probe: Probe
    audio_hash: str
    """Hash of the file's content, as 32 hex digits."""
    marks: bytes
    """By which a truncated copy of this content is known: its length in 8 bytes, then 8 bytes of hash for each of its
    prefixes of 64, 128, 256 … bytes."""


def probe(path: str) -> Probe:
    """What the header of a file says.

    Raises AudioMissing, AudioEmpty, AudioUnreadable (no audio, no right to read it), AudioUnsupported (no audio track,
    encrypted, no decoder) or AudioUnavailable.
    """
    with source_of(path).open(path) as file:
        return _probe(path, file)


def _probe(path: str, file: FileIO) -> Probe:
    found = os.fstat(file.fileno())
    if not found.st_size:
        raise AudioEmpty("the file is empty")
    version = file_version(found)
    try:
        file.seek(0)
        head = file.read(12) or b""
        wav = read_wav(file, found.st_size) if is_wav(head) else None
        opus = read_ogg_opus(file, found.st_size) if head.startswith(b"OggS") else None
    except OSError as error:
        raise fault(path, error) from None
    if wav and wav.is_plain:
        if wav.size < wav.block:
            raise AudioEmpty("the file holds no samples")
        check_samples(wav)
        return Probe(
            content_type=WAV_TYPE if _is_sendable(wav) else None,
            duration_s=wav.duration_s,
            is_counted=True,
            declared_s=wav.declared_s,
            channels=wav.channels,
            is_mono=wav.channels == 1,
            version=version,
        )
    if opus:
        return Probe(
            content_type=OGG_TYPE if opus.is_truthful and opus.channels == 1 else None,
            duration_s=opus.duration_s,
            is_counted=opus.is_whole,
            channels=opus.channels,
            is_mono=opus.is_whole and opus.channels == 1,
            version=version,
        )
    # 50 ms to load, and WAV needs none of it
    from pipeline.audio.containers import header_length, open_container, refuse_encrypted, translated

    with open_container(path, file) as (container, stream), translated(path):
        if container.format.name.startswith("mov"):
            refuse_encrypted(next(container.demux(stream)))
        channels, length = stream.codec_context.channels, header_length(container, stream, file)
    return Probe(
        content_type=None,
        duration_s=length.seconds,
        is_counted=length.is_counted,
        declared_s=length.declared_s,
        channels=channels,
        is_mono=channels == 1 and head.startswith(b"fLaC"),  # libsndfile decodes it: as many as it begins with
        version=version,
    )


def _is_sendable(wav: WavFile) -> bool:
    # the service documents plain integer PCM, format 1, of one channel; an extensible header is another format
    is_pcm = wav.tag == PCM and not wav.is_extensible and wav.bits in SENDABLE_BITS
    return is_pcm and wav.is_truthful and wav.channels == 1


def look(path: str, stopped: threading.Event = NEVER) -> Look:
    """Raises a subclass of ItemError where the file has no audio, AudioUnavailable, or Stopped.

    `stopped` is the same one for all recordings of a run, or looks are not remembered.
    """
    path = source_of(path).fetch(path)
    return _look(path, file_version_at(path), stopped)


@lru_cache(maxsize=1024)
def _look(path: str, version: FileVersion, stopped: threading.Event) -> Look:
    """Remembered, because many rows may be spans of one recording; `version` says whether it is still the same file."""
    del version
    with open_recording(path) as file:
        found = _probe(path, file)
        audio_hash, marks = _hash(path, file, stopped)
        if not same_file(file, found.version):
            raise AudioUnavailable("the file is being written; the next run does it")
    return Look(path=path, probe=found, audio_hash=audio_hash, marks=marks)


def refuse_truncated_copy(marks: bytes, known: bytes | None) -> None:
    """Raises AudioTruncated where the content of these marks is only the beginning of the content that `known` are the
    marks of: more likely a copy that broke off than a new recording. Compared is the longest prefix that both have a
    hash of."""
    if known is None or len(marks) <= 8:
        return
    length, whole = length_of(marks), length_of(known)
    if length < whole and known.startswith(marks[8:], 8):
        raise AudioTruncated(
            f"the file begins as the {whole:,} bytes that were transcribed and ends after {length:,}; their transcript "
            "is kept, so restore the file (audio.allow_truncated = true would replace it by one of what is left)"
        )


def truncated_copy(path: str, known: bytes | None, stopped: threading.Event = NEVER) -> AudioTruncated | None:
    """The error of a file that is no audio because it is only the beginning of the content of the marks `known`."""
    try:
        with open_recording(path) as file:
            if known is not None and may_be_truncated_copy(os.fstat(file.fileno()).st_size, known):
                refuse_truncated_copy(_hash(path, file, stopped)[1], known)
    except AudioTruncated as error:
        return error
    except AttemptError:
        pass  # it cannot be read at all, which is told already
    return None


def may_be_truncated_copy(size_bytes: int, known: bytes) -> bool:
    """Whether a file is shorter than the content that `known` are the marks of: then it may be the beginning of it."""
    return size_bytes < length_of(known)


def length_of(marks: bytes) -> int:
    """Bytes of the content that these are the marks of."""
    return int.from_bytes(marks[:8], "big")


def _hash(path: str, file: FileIO, stopped: threading.Event) -> tuple[str, bytes]:
    """(hash of the content, its marks)."""
    digest, marks, length, prefix = hashlib.sha256(), bytearray(), 0, FIRST_PREFIX
    buffer = memoryview(bytearray(CHUNK_BYTES))
    try:
        file.seek(0)
        while size := file.readinto(buffer):
            begin = 0
            while length + size - begin >= prefix:
                end = begin + prefix - length
                digest.update(buffer[begin:end])
                marks += digest.digest()[:8]
                begin, length, prefix = end, prefix, 2 * prefix
            digest.update(buffer[begin:size])
            length += size - begin
            if stopped.is_set():
                raise Stopped
    except OSError as error:
        raise fault(path, error) from None
    return digest.hexdigest()[:32], length.to_bytes(8, "big") + bytes(marks)
