"""Every form that is not plain WAV, opened by PyAV: its audio stream, its length as the header has it, its faults.

PyAV (and numpy behind it) is loaded here: import this module only where a file needs it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO

import av
import av.error
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from pipeline.errors import AttemptError, AudioUnreadable, AudioUnsupported
from pipeline.forms import FORMS, HEADERLESS
from pipeline.source.local import fault

_FORMATS = ",".join(FORMS)
_LOCKED_TAGS = ("drms", "aavd")
"""How MP4 names audio that only its seller's programs decode: FairPlay, Audible."""
_LOCKED = "the audio is encrypted (DRM): it cannot be decoded without its key"
_LOCKED_ASF = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e")
"""Marks the Content Encryption Object of WMA."""
_CUT_MP4 = "the MP4 file has no readable index: it was cut off before it was finished, or is damaged"
_NO_HEADER = (
    "bare samples say neither their rate nor their form: give the file a header, such as by "
    "ffmpeg -f s16le -ar 8000 -ac 1 -i IN.raw OUT.wav, with its own rate"
)
_HEAD = 64 * 1024
_BUFFER = 256 * 1024


@contextmanager
def open_container(path: str, file: FileIO) -> Iterator[tuple[InputContainer, AudioStream]]:
    """The container and the stream of it that is heard.

    Raises AudioUnreadable, AudioUnsupported or AudioUnavailable.
    """
    file.seek(0)
    head = file.read(_HEAD) or b""
    file.seek(0)
    if _LOCKED_ASF in head:
        raise AudioUnsupported("the audio is encrypted (WMA with DRM): it cannot be decoded without its key")
    reader = _Reader(file)
    verdict = _CUT_MP4 if head[4:8] == b"ftyp" else "the file is no audio that can be read"
    if os.path.splitext(path)[1].lower() in HEADERLESS:  # noqa: PTH122
        verdict = _NO_HEADER
    try:
        with translated(path, verdict):
            # through the file and not its name: names with colons are addresses to the library
            container = av.open(
                reader,
                "r",
                options={"format_whitelist": _FORMATS, "protocol_whitelist": "none"},
                metadata_errors="replace",
                buffer_size=_BUFFER,
            )
        with container:
            yield container, _audio_of(container)
    except AttemptError:
        if reader.error is None:
            raise
    if reader.error is not None:
        # to the library this was the end of the file; what it made of that is not the file's fault
        raise fault(path, reader.error)


class _Reader:
    """The file as the library gets to see it: calls that fail would print a traceback of its own."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size) or b""
        except OSError as error:
            self.error = self.error or error
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except OSError:
            return -1  # damaged files point before their start

    def tell(self) -> int:
        return self._file.tell()


@contextmanager
def translated(path: str, verdict: str = "the file does not decode") -> Iterator[None]:
    """Turns what the library raises into the item's own fault, and what reading raises into its meaning."""
    try:
        yield
    except AttemptError:
        raise
    except av.error.FFmpegError as error:
        raise AudioUnreadable(f"{verdict} ({words(error)})") from None
    except OSError as error:
        raise fault(path, error) from None
    except (ValueError, OverflowError, RuntimeError, MemoryError) as error:
        raise AudioUnreadable(f"{verdict} ({error})") from None


def words(error: av.error.FFmpegError) -> str:
    """The library's own words on what is wrong, without its number and the place in its code."""
    return (error.strerror or str(error)).lower()


def form_of(container: InputContainer, stream: AudioStream) -> str:
    """What the file is, for messages."""
    return f"{container.format.name.partition(',')[0]} with {stream.codec_context.name} audio"


def _audio_of(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        kinds = sorted({stream.type for stream in container.streams})
        raise AudioUnsupported(f"the file has no audio track, only {' and '.join(kinds) or 'nothing'}")
    best = container.streams.best("audio")
    stream = best if isinstance(best, AudioStream) else container.streams.audio[0]
    try:
        context = stream.codec_context
    except AttributeError:
        context = None
    if context is None:
        raise AudioUnsupported(f"the file's audio is in a form that no decoder here knows ({container.format.name})")
    if _tag(context) in _LOCKED_TAGS:
        raise AudioUnsupported(_LOCKED)
    return stream


def refuse_locked(packet: Packet[AudioStream]) -> None:
    """Raises AudioUnsupported for a packet under MP4's common encryption."""
    if packet.has_sidedata("encryption_info"):
        raise AudioUnsupported(_LOCKED)


def _tag(context: AudioCodecContext) -> str:
    try:
        return context.codec_tag
    except UnicodeDecodeError:
        return ""  # a number, in forms that know no four letters
