"""What an audio file is, by its content: form, channels, and length counted from the samples that are there.

Opens the file through libsndfile (soundfile), reads headers only. Raises the item's own fault, never a library error.
"""

from __future__ import annotations

import os
from io import FileIO

import msgspec

from pipeline.errors import AudioEmpty, AudioUnreadable, AudioUnsupported
from pipeline.recording import fault, open_recording

_WAV_ENCODINGS = ("PCM_16", "PCM_24", "PCM_32")
_CONVERT = "convert it first, e.g. with sox IN -b 16 -c 1 -t wav OUT"


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A file the service takes as it is."""

    content_type: str
    duration_s: float
    channels: int
    size_bytes: int
    mtime_ns: int


def probe(path: str) -> Probe:
    """The facts of a file that can be sent untouched.

    Raises AudioMissing, AudioEmpty, AudioUnreadable (no audio, no right to read it), AudioUnsupported (audio, but in a
    form the service does not take) or AudioUnavailable.
    """
    with open_recording(path) as file:
        return probe_open(path, file)


def probe_open(path: str, file: FileIO) -> Probe:
    """The same for an open file."""
    import soundfile  # 30 ms to load, and a run with nothing to do needs none of it

    found = os.fstat(file.fileno())
    if not found.st_size:
        raise AudioEmpty("the file is empty")
    try:
        with soundfile.SoundFile(file) as sound:
            container, encoding = sound.format, sound.subtype
            channels, rate, frames = sound.channels, sound.samplerate, sound.frames
    except OSError as error:
        raise fault(path, error) from None
    except soundfile.SoundFileError as error:
        raise AudioUnreadable(f"the file is no audio that can be read: {_words(error)}") from None
    if frames <= 0:
        raise AudioEmpty("the file holds no samples")
    return Probe(
        content_type=_content_type(container, encoding),
        duration_s=frames / rate,
        channels=channels,
        size_bytes=found.st_size,
        mtime_ns=found.st_mtime_ns,
    )


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
