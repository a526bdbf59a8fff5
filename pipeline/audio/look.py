"""The first look at a recording: what it is and what its content hashes to. Blocking: call it in a thread.

Reads the file once; decodes nothing.
"""

from __future__ import annotations

import hashlib
import os
import threading
from functools import lru_cache
from io import FileIO

import msgspec

from pipeline.audio.probe import Probe, probe_open
from pipeline.errors import AttemptError, AudioTruncated, AudioUnavailable, Stopped
from pipeline.model import FileVersion
from pipeline.source import source_of
from pipeline.source.local import fault, file_version_at, open_recording, same_file

CHUNK_BYTES = 1 << 18
"""As fast as any larger one, and a stop is heard between two of them."""
FIRST_MARK = 64
NEVER = threading.Event()


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    path: str
    probe: Probe
    audio_hash: str
    """Hash of the file's content, as 32 hex digits."""
    marks: bytes
    """What tells a beginning of this content: its length in 8 bytes, then 8 bytes of hash for each of its beginnings
    of 64, 128, 256 … bytes."""


def look(path: str, stopped: threading.Event = NEVER) -> Look:
    """Raises a subclass of ItemError where there is no audio to be had, AudioUnavailable, or Stopped.

    `stopped` is the same one for all recordings of a run, or looks are not remembered.
    """
    path = source_of(path).fetch(path)
    return _look(path, file_version_at(path), stopped)


@lru_cache(maxsize=1024)
def _look(path: str, version: FileVersion, stopped: threading.Event) -> Look:
    """Remembered, because many rows may be spans of one recording."""
    del version  # it says whether it is still the file that was looked at
    with open_recording(path) as file:
        found = probe_open(path, file)
        audio_hash, marks = _hash(path, file, stopped)
        if not same_file(file, found.version):
            raise AudioUnavailable("the file is being written; the next run does it")
    return Look(path=path, probe=found, audio_hash=audio_hash, marks=marks)


def refuse_beginning(found: Look, known: bytes | None) -> None:
    """Raises AudioTruncated where the content is only a beginning of the one that `known` are the marks of: more likely
    a copy that broke off than a new recording. Compared is the longest beginning that both have a hash of."""
    if known is not None:
        _refuse_beginning(found.marks, known)


def _refuse_beginning(found: bytes, known: bytes) -> None:
    length, whole = length_of(found), length_of(known)
    if length < whole and len(found) > 8 and known.startswith(found[8:], 8):
        raise AudioTruncated(
            f"the file begins as the {whole:,} bytes that were transcribed and ends after {length:,}; their transcript "
            "is kept, so restore the file (audio.allow_truncated = true would replace it by one of what is left)"
        )


def broken_off(path: str, known: bytes | None, stopped: threading.Event = NEVER) -> AudioTruncated | None:
    """For a file that is no audio: whether it is only a beginning of the content that `known` are the marks of."""
    try:
        with open_recording(path) as file:
            if known is not None and may_be_beginning(os.fstat(file.fileno()).st_size, known):
                _refuse_beginning(_hash(path, file, stopped)[1], known)
    except AudioTruncated as error:
        return error
    except AttemptError:
        pass  # it cannot be read at all, which is told already
    return None


def may_be_beginning(size_bytes: int, known: bytes) -> bool:
    """Whether a file is shorter than the content that `known` are the marks of, so that it may be a beginning of it."""
    return size_bytes < length_of(known)


def length_of(marks: bytes) -> int:
    """Bytes of the content that these are the marks of."""
    return int.from_bytes(marks[:8], "big")


def _hash(path: str, file: FileIO, stopped: threading.Event) -> tuple[str, bytes]:
    """(hash of the content, its marks)."""
    digest, marks, length, mark_at = hashlib.sha256(), bytearray(), 0, FIRST_MARK
    buffer = memoryview(bytearray(CHUNK_BYTES))
    try:
        file.seek(0)
        while size := file.readinto(buffer):
            begin = 0
            while length + size - begin >= mark_at:
                end = begin + mark_at - length
                digest.update(buffer[begin:end])
                marks += digest.digest()[:8]
                begin, length, mark_at = end, mark_at, 2 * mark_at
            digest.update(buffer[begin:size])
            length += size - begin
            if stopped.is_set():
                raise Stopped
    except OSError as error:
        raise fault(path, error) from None
    return digest.hexdigest()[:32], length.to_bytes(8, "big") + bytes(marks)
