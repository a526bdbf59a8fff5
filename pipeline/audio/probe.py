"""Inspects a recording without decoding it: format, length, whether it can be sent as it is, and the content's hashes.

`probe` reads the header only, `read_recording` the whole file, once. Both block, so call them in a thread, and raise
errors of the recording, never of a library.
"""

from __future__ import annotations

import hashlib
import os
import threading
from functools import lru_cache
from io import FileIO, RawIOBase

import msgspec

from pipeline.audio.ogg import OPUS_RATE, read_ogg_opus
from pipeline.audio.wav import PCM, WavFile, check_samples, is_wav, read_wav
from pipeline.errors import AttemptError, AudioEmpty, AudioTruncated, AudioUnavailable, Stopped
from pipeline.model import FileVersion
from pipeline.profile import GRADIUM
from pipeline.source.local import file_version, file_version_at, open_recording, read_error, same_file

WAV_TYPE, OGG_TYPE = GRADIUM.content_types
CHUNK_BYTES = 1 << 18
"""As fast as any larger one, and a stop is noticed between two of them."""
_HEADER_BYTES = 8 * 1024
"""Read at a time of a header."""
_FIRST_PREFIX_BYTES = 64
_LENGTH_BYTES, _PREFIX_HASH_BYTES = 8, 8
NEVER = threading.Event()


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What the header of a file says."""

    content_type: str | None
    """Of a file that the service accepts as it is; None where it must be decoded."""
    duration_s: float
    """By the header, as far as the file's size is plausible for it; exact where content_type is set. 0 if unknown."""
    is_counted: bool
    """The length is a count of samples, packets or bytes, not an estimate by bit rate or size."""
    declared_s: float | None = None
    """The header's length of uncompressed samples, of which the file may hold fewer."""
    sample_rate: int
    """Samples a second and channel at the start; 48,000 for any Opus, which is decoded at that rate."""
    channels: int
    is_mono: bool
    """It has one channel throughout; most headers only give the channels at the start."""
    version: FileVersion


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A local file with the hashes of its content."""

    path: str
    probe: Probe
    audio_hash: str
    """Hash of the file's content, as 32 hex digits."""
    prefix_hashes: bytes
    """Identify a truncated copy of this content: its length in 8 bytes, then 8 bytes of hash for each of its prefixes
    of 64, 128, 256 … bytes."""


def probe(path: str) -> Probe:
    """Reads the header of a local file.

    Raises AudioMissing, AudioEmpty, AudioUnreadable (no audio, no right to read it), AudioUnsupported (no audio track,
    encrypted, no decoder) or AudioUnavailable.
    """
    with open_recording(path) as file:
        return probe_file(path, file, file_version(os.fstat(file.fileno())))


def probe_file(path: str, file: RawIOBase, version: FileVersion, analyzed_s: float = 0.0) -> Probe:
    """Reads the header of an open file, whose size is in `version`, and up to `analyzed_s` of its audio, 0: a few
    seconds, where the header does not tell everything. Raises as `probe`, and what reading the file does."""
    size = version.size_bytes
    if not size:
        raise AudioEmpty("the file is empty")
    try:
        file.seek(0)
        head = file.read(12) or b""
        wav = read_wav(file, size) if is_wav(head) else None
        opus = read_ogg_opus(file, size) if head.startswith(b"OggS") else None
    except OSError as error:
        raise read_error(path, error) from None
    if wav and wav.is_plain:
        if wav.size < wav.block:
            raise AudioEmpty("the file holds no samples")
        check_samples(wav)
        return Probe(
            content_type=WAV_TYPE if _is_sendable(wav) else None,
            duration_s=wav.duration_s,
            is_counted=True,
            declared_s=wav.declared_s,
            sample_rate=wav.rate,
            channels=wav.channels,
            is_mono=wav.channels == 1,
            version=version,
        )
    if opus:
        return Probe(
            content_type=OGG_TYPE if opus.is_consistent and opus.channels == GRADIUM.channels else None,
            duration_s=opus.duration_s,
            is_counted=opus.is_whole,
            sample_rate=OPUS_RATE,
            channels=opus.channels,
            is_mono=opus.is_whole and opus.channels == 1,
            version=version,
        )
    # takes 50 ms to load, which WAV files do without
    from pipeline.audio.containers import header_length, open_container, refuse_encrypted, translated

    with open_container(path, file, _HEADER_BYTES, analyzed_s) as (container, stream), translated(path):
        if container.format.name.startswith("mov"):
            refuse_encrypted(next(container.demux(stream)))
        length, context = header_length(container, stream, file, size), stream.codec_context
        sample_rate, channels = context.rate, context.channels
    return Probe(
        content_type=None,
        duration_s=length.seconds,
        is_counted=length.is_counted,
        declared_s=length.declared_s,
        sample_rate=sample_rate,
        channels=channels,
        is_mono=channels == 1 and head.startswith(b"fLaC"),  # libsndfile decodes as many channels as at the start
        version=version,
    )


def _is_sendable(wav: WavFile) -> bool:
    # the service documents integer PCM as format 1 only, which an extensible header is not
    is_pcm = wav.tag == PCM and not wav.is_extensible and wav.bits in GRADIUM.wav_bits
    return is_pcm and wav.is_consistent and wav.channels == GRADIUM.channels


def read_recording(path: str, stopped: threading.Event = NEVER) -> Recording:
    """Reads the header of a local recording and hashes its content.

    Raises a subclass of ItemError where the file has no audio, AudioUnavailable, or Stopped. Results are cached per
    `stopped`, so a run passes the same one for all recordings.
    """
    return _read_recording(path, file_version_at(path), stopped)


@lru_cache(maxsize=1024)
def _read_recording(path: str, version: FileVersion, stopped: threading.Event) -> Recording:
    """Cached, because many rows may be spans of one recording; `version` is only a part of the cache's key."""
    del version
    with open_recording(path) as file:
        found = probe_file(path, file, file_version(os.fstat(file.fileno())))
        audio_hash, prefix_hashes = _hash(path, file, stopped)
        if not same_file(file, found.version):
            raise AudioUnavailable("the file is being written; the next run tries again")
    return Recording(path=path, probe=found, audio_hash=audio_hash, prefix_hashes=prefix_hashes)


def refuse_truncated_copy(prefix_hashes: bytes, known: bytes | None) -> None:
    """Raises AudioTruncated where the content is only the beginning of that with the prefix hashes `known`.

    That is more likely an interrupted copy than a new recording. The longest prefix that both have a hash of counts.
    """
    if known is None or len(prefix_hashes) <= _LENGTH_BYTES:
        return
    length, whole = length_of(prefix_hashes), length_of(known)
    if length < whole and known.startswith(prefix_hashes[_LENGTH_BYTES:], _LENGTH_BYTES):
        raise AudioTruncated(
            f"the file begins as the {whole:,} bytes that were transcribed and ends after {length:,}; their transcript "
            "is kept, so restore the file (audio.allow_truncated = true would replace it by one of what is left)"
        )


def truncated_copy(path: str, known: bytes | None, stopped: threading.Event = NEVER) -> AudioTruncated | None:
    """The error of an unreadable file that is only the beginning of the content with the prefix hashes `known`."""
    try:
        with open_recording(path) as file:
            if known is not None and os.fstat(file.fileno()).st_size < length_of(known):
                refuse_truncated_copy(_hash(path, file, stopped)[1], known)
    except AudioTruncated as error:
        return error
    except AttemptError:
        pass  # the caller has this error already
    return None


def length_of(prefix_hashes: bytes) -> int:
    """Bytes of the content that has these prefix hashes."""
    return int.from_bytes(prefix_hashes[:_LENGTH_BYTES], "big")


def _hash(path: str, file: FileIO, stopped: threading.Event) -> tuple[str, bytes]:
    """(hash of the content, its prefix hashes)."""
    digest, hashes, length, prefix = hashlib.sha256(), bytearray(), 0, _FIRST_PREFIX_BYTES
    buffer = memoryview(bytearray(CHUNK_BYTES))
    try:
        file.seek(0)
        while size := file.readinto(buffer):
            begin = 0
            while length + size - begin >= prefix:
                end = begin + prefix - length
                digest.update(buffer[begin:end])
                hashes += digest.digest()[:_PREFIX_HASH_BYTES]
                begin, length, prefix = end, prefix, 2 * prefix
            digest.update(buffer[begin:size])
            length += size - begin
            if stopped.is_set():
                raise Stopped
    except OSError as error:
        raise read_error(path, error) from None
    return digest.hexdigest()[:32], length.to_bytes(_LENGTH_BYTES, "big") + bytes(hashes)
