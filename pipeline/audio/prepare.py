"""From an utterance to the clips its requests carry. Blocking: call it in a thread.

Reads the recording once (hash and header); a file that the service takes as it is goes out untouched, from disk.
"""

from __future__ import annotations

import hashlib
from io import FileIO

import msgspec

from pipeline.audio.probe import Probe, probe_open
from pipeline.config.settings import AudioSettings
from pipeline.errors import AudioTooLong, AudioUnavailable, AudioUnsupported
from pipeline.model import Clip, Utterance
from pipeline.recording import fault, open_recording, same_file

VERSION = 1
"""Raised when preparation changes what is sent; part of every transcript's identity."""
_CONVERT = "convert it first, e.g. with sox IN -b 16 -c 1 -t wav OUT"


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance's audio, ready to go."""

    clips: tuple[Clip, ...]
    audio_hash: str
    duration_s: float
    """Measured length of what will be transcribed."""


def prepare(utterance: Utterance, settings: AudioSettings) -> Prepared:
    """The clips of an utterance. Raises a subclass of ItemError where its audio cannot be sent, or AudioUnavailable."""
    with open_recording(utterance.audio) as file:
        found = probe_open(utterance.audio, file)
        refuse_unsendable(utterance, found, settings)
        audio_hash = _hash(utterance.audio, file)
        if not same_file(file, found.size_bytes, found.mtime_ns):
            raise AudioUnavailable("the file is being written; the next run does it")
    clip = Clip(
        utterance=utterance,
        clip=0,
        path=utterance.audio,
        content_type=found.content_type or "",
        size_bytes=found.size_bytes,
        mtime_ns=found.mtime_ns,
        start_s=0.0,
        duration_s=found.duration_s,
        audio_hash=audio_hash,
    )
    return Prepared(clips=(clip,), audio_hash=audio_hash, duration_s=found.duration_s)


def refuse_unsendable(utterance: Utterance, found: Probe, settings: AudioSettings) -> None:
    """Raises AudioUnsupported or AudioTooLong for what this version cannot turn into requests."""
    if found.content_type is None and found.channels == 1:
        raise AudioUnsupported(
            f"the file is {found.form}; the service takes plain WAV with 16, 24 or 32 bit integers and Ogg-Opus, "
            f"and this version converts nothing: {_CONVERT}"
        )
    if found.channels > 1:
        raise AudioUnsupported(f"the file has {found.channels} channels; this version sends mono files only")
    if utterance.offset_s or utterance.duration_s is not None or utterance.channel not in (None, 0):
        raise AudioUnsupported("the row selects a span or channel; this version sends whole mono files only")
    if found.duration_s > settings.max_clip_s:
        raise AudioTooLong(
            f"the file is {found.duration_s:.1f} s long; one request carries at most {settings.max_clip_s:g} s, "
            "and this version does not split"
        )


def _hash(path: str, file: FileIO) -> str:
    """Content hash of an open file, as 32 hex digits."""
    try:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError as error:
        raise fault(path, error) from None
