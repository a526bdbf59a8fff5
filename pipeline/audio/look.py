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
from pipeline.errors import AudioUnavailable, Stopped
from pipeline.recording import fault, open_recording, same_file

CHUNK_BYTES = 1 << 18
"""As fast as any larger one, and a stop is heard between two of them."""
NEVER = threading.Event()


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    path: str
    probe: Probe
    audio_hash: str
    """Hash of the file's content, as 32 hex digits."""


def look(path: str, stopped: threading.Event = NEVER) -> Look:
    """Raises a subclass of ItemError where there is no audio to be had, AudioUnavailable, or Stopped.

    `stopped` is the same one for all recordings of a run, or looks are not remembered.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 a Path object per row would cost more than the call
    except (OSError, ValueError) as error:
        raise fault(path, error) from None
    return _look(path, found.st_size, found.st_mtime_ns, stopped)


@lru_cache(maxsize=1024)
def _look(path: str, size_bytes: int, mtime_ns: int, stopped: threading.Event) -> Look:
    """Remembered, because many rows may be spans of one recording."""
    del size_bytes, mtime_ns  # they say whether it is still the file that was looked at
    with open_recording(path) as file:
        found = probe_open(path, file)
        audio_hash = _hash(path, file, stopped)
        if not same_file(file, found.size_bytes, found.mtime_ns):
            raise AudioUnavailable("the file is being written; the next run does it")
    return Look(path=path, probe=found, audio_hash=audio_hash)


def _hash(path: str, file: FileIO, stopped: threading.Event) -> str:
    digest, buffer = hashlib.sha256(), memoryview(bytearray(CHUNK_BYTES))
    try:
        file.seek(0)
        while size := file.readinto(buffer):
            digest.update(buffer[:size])
            if stopped.is_set():
                raise Stopped
        return digest.hexdigest()[:32]
    except OSError as error:
        raise fault(path, error) from None
