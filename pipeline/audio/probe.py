"""What an audio file is, by its content: form, channels, and length counted from the samples that are there.

Opens the file through libsndfile (soundfile), reads headers only. Raises the item's own fault, never a library error.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from pipeline.errors import AudioEmpty, AudioMissing, AudioUnreadable, AudioUnsupported

_WAV_ENCODINGS = ("PCM_16", "PCM_24", "PCM_32")
_CONVERT = "convert it first, e.g. with sox IN -b 16 -c 1 -t wav OUT"


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A file the service takes as it is."""

    content_type: str
    duration_s: float
    channels: int
    size_bytes: int


def probe(path: Path) -> Probe:
    """The facts of a file that can be sent untouched.

    Raises AudioMissing, AudioEmpty, AudioUnreadable (no audio, no right to read it) or AudioUnsupported (audio, but in
    a form the service does not take).
    """
    import soundfile  # 30 ms to load, and a run with nothing to do needs none of it

    size = _size(path)
    try:
        with path.open("rb") as raw, soundfile.SoundFile(raw) as sound:
            container, encoding = sound.format, sound.subtype
            channels, rate, frames = sound.channels, sound.samplerate, sound.frames
    except OSError as error:
        raise AudioUnreadable(f"the file cannot be read: {error.strerror or error}") from None
    except soundfile.SoundFileError as error:
        raise AudioUnreadable(f"the file is no audio that can be read: {_words(error)}") from None
    if frames <= 0:
        raise AudioEmpty("the file holds no samples")
    return Probe(
        content_type=_content_type(container, encoding),
        duration_s=frames / rate,
        channels=channels,
        size_bytes=size,
    )


def _size(path: Path) -> int:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise AudioMissing(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise AudioUnreadable(f"the file cannot be read: {error}") from None
    if not os.path.isfile(path):  # noqa: PTH113 a path object would stat again and swallow other errors
        raise AudioUnreadable("the path names no regular file")
    if found.st_size == 0:
        raise AudioEmpty("the file is empty")
    return found.st_size


def _content_type(container: str, encoding: str) -> str:
    # WAVEX is the extensible header: the service documents plain integer PCM, format 1, only
    if container == "WAV" and encoding in _WAV_ENCODINGS:
        return "audio/wav"
    if container == "OGG" and encoding == "OPUS":
        return "audio/ogg"
    form = "WAV with an extensible header" if container == "WAVEX" else f"{container} with {encoding} samples"
    raise AudioUnsupported(
        f"the file is {form}; the service takes plain WAV with 16, 24 or 32 bit integers and Ogg-Opus, "
        f"and this version converts nothing: {_CONVERT}"
    )


def _words(error: Exception) -> str:
    return getattr(error, "error_string", str(error)).rstrip(".").lower()
