"""Opens files of all formats but plain WAV by PyAV: the audio stream, its length by the header, and errors.

Loads PyAV and numpy: import this module only where a file needs it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from typing import NamedTuple

import av
import av.error
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from pipeline.audio.mp3 import first_frame
from pipeline.audio.timestamps import format_name, has_timestamps, header_end_s, played_s
from pipeline.audio.tracks import is_implausible
from pipeline.audio.wav import STREAMED, read_wav
from pipeline.errors import AttemptError, AudioUnreadable, AudioUnsupported
from pipeline.formats import FORMATS, HEADERLESS
from pipeline.source.local import read_error

_DRM_TAGS = ("drms", "aavd")
"""Codec tags of MP4 audio under FairPlay and Audible encryption."""
_DRM = "the audio is encrypted (DRM): it cannot be decoded without its key"
_ASF = bytes.fromhex("3026b2758e66cf11")
_DRM_ASF = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e")
"""The GUID of WMA's Content Encryption Object."""
_TRUNCATED_MP4 = "the MP4 file has no readable index: it was cut off before it was finished, or is damaged"
_NO_HEADER = (
    "raw samples have no sample rate and no encoding: give the file a header, for example by "
    "ffmpeg -f s16le -ar 8000 -ac 1 -i IN.raw OUT.wav, with its own rate"
)
_HEAD_BYTES = 64 * 1024
_BUFFER_BYTES = 256 * 1024
_OPTIONS = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "none"}

_COUNTING = ("aiff", "ape", "asf", "au", "flac", "mov", "nistsphere", "tta", "w64", "wav", "wv")
"""Formats whose headers count samples; the length of the others comes from the bit rate or the last page."""
_COUNTED_BY_PAGES = ("ogg",)
"""Formats whose last page counts the samples up to it."""
_MIN_BITS_PER_S = 500
"""Below this a counted length may be wrong; FLAC needs about this for digital silence."""
_UNCOMPRESSED = re.compile(r"pcm_(?:[suf](\d+)(?:le|be)?(?:_planar)?|alaw|mulaw)")
"""Codecs with samples of constant size, and their bits."""
_FIXED_PACKETS = re.compile(r"pcm_|adpcm_|gsm|ilbc|mace")
"""Codecs with packets of constant size."""


@contextmanager
def open_container(
    path: str, file: RawIOBase, buffer_bytes: int = _BUFFER_BYTES, analyzed_s: float = 0.0
) -> Iterator[tuple[InputContainer, AudioStream]]:
    """The container and its main audio stream. Reads `buffer_bytes` at a time; of the audio `analyzed_s`, 0: a few
    seconds, where the header does not tell everything.

    Raises AudioUnreadable, AudioUnsupported or AudioUnavailable, and what reading the file raises.
    """
    file.seek(0)
    head = file.read(24) or b""
    if head.startswith(_ASF) and _DRM_ASF in (file.read(min(_HEAD_BYTES, _asf_header_bytes(head))) or b""):
        raise AudioUnsupported("the audio is encrypted (WMA with DRM): it cannot be decoded without its key")
    file.seek(0)
    reader = _Reader(file)
    problem = _TRUNCATED_MP4 if head[4:8] == b"ftyp" else "the file is no audio that can be read"
    if os.path.splitext(path)[1].lower() in HEADERLESS:  # noqa: PTH122
        problem = _NO_HEADER
    try:
        with translated(path, problem):
            # by the file and not its name: FFmpeg takes names with colons for URLs
            container = av.open(
                reader,
                "r",
                options=_OPTIONS | {"analyzeduration": f"{analyzed_s * 1e6:.0f}"},
                metadata_errors="replace",
                buffer_size=buffer_bytes,
            )
        with container:
            yield container, _main_audio(container)
    except AttemptError:
        if reader.error is None:
            raise
    if reader.error is not None:
        # FFmpeg took this for the end of the file, so its own error means nothing
        raise read_error(path, reader.error) if isinstance(reader.error, OSError) else reader.error


def _asf_header_bytes(head: bytes) -> int:
    return int.from_bytes(head[16:24], "little")


class _Reader:
    """The file object given to PyAV, which prints a traceback where a method raises."""

    def __init__(self, file: RawIOBase) -> None:
        self._file = file
        self.error: Exception | None = None

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size) or b""
        except Exception as error:
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
def translated(path: str, problem: str = "the file does not decode") -> Iterator[None]:
    """Turns PyAV's errors into AudioUnreadable, and OSErrors into those of `read_error`."""
    try:
        yield
    except AttemptError:
        raise
    except av.error.FFmpegError as error:
        # FFmpeg's text, without its number and the place in its code
        raise AudioUnreadable(f"{problem} ({(error.strerror or str(error)).lower()})") from None
    except OSError as error:
        raise read_error(path, error) from None
    except (ValueError, OverflowError, RuntimeError, MemoryError) as error:
        raise AudioUnreadable(f"{problem} ({error})") from None


def _main_audio(container: InputContainer) -> AudioStream:
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
        raise AudioUnsupported(f"no decoder here supports the codec of the file's audio ({container.format.name})")
    if _tag(context) in _DRM_TAGS:
        raise AudioUnsupported(_DRM)
    return stream


def refuse_encrypted(packet: Packet[AudioStream]) -> None:
    """Raises AudioUnsupported for a packet under MP4's common encryption."""
    if packet.has_sidedata("encryption_info"):
        raise AudioUnsupported(_DRM)


def _tag(context: AudioCodecContext) -> str:
    try:
        return context.codec_tag
    except UnicodeDecodeError:
        return ""  # a number, in formats without four-letter tags


class HeaderLength(NamedTuple):
    """The length of a recording by its header, as far as the file's size is plausible for it."""

    seconds: float
    """0 if unknown."""
    is_counted: bool
    declared_s: float | None = None
    """The header's length of uncompressed samples, of which the file may hold fewer."""


def header_length(container: InputContainer, stream: AudioStream, file: RawIOBase, size_bytes: int) -> HeaderLength:
    """The length of a file of any format that PyAV reads; never more than its bytes can hold."""
    declared = declared_s(container, stream, file, size_bytes)
    length_s = played_s(container, stream, size_bytes)
    if length_s is None:
        length_s = declared or 0.0
    context = stream.codec_context
    if (codec := _UNCOMPRESSED.fullmatch(context.name)) and not has_timestamps(container):
        bytes_per_s = context.rate * context.channels * int(codec[1] or 8) / 8
        if bytes_per_s:
            there_s = min(length_s, size_bytes / bytes_per_s)
            return HeaderLength(there_s, there_s == length_s, declared)
    if is_implausible(length_s, size_bytes):
        return HeaderLength(0.0, is_counted=False)
    is_counted = declared is not None or format_name(container) in _COUNTED_BY_PAGES
    return HeaderLength(length_s, is_counted and size_bytes * 8 >= length_s * _MIN_BITS_PER_S)


def declared_s(container: InputContainer, stream: AudioStream, file: RawIOBase, size_bytes: int) -> float | None:
    """Seconds of audio by the header's count; None where it has none. If fewer are there, the file is truncated."""
    name, context = format_name(container), stream.codec_context
    place = file.tell()
    try:
        if name == "mp3":
            frame = first_frame(file)
            return frame and frame.counted_s
        if name == "wav" and read_wav(file, size_bytes).declared is None:
            return None
    finally:
        file.seek(place)
    if name == "caf":
        return stream.frames / context.rate if stream.frames and _FIXED_PACKETS.match(context.name) else None
    if name in ("matroska", "flv"):
        # the length of all tracks, so that of the audio only where there is no other
        return header_end_s(container, stream) if len(container.streams) == 1 else None
    if name not in _COUNTING or stream.duration is None or (found := header_end_s(container, stream)) is None:
        return None
    is_pcm = context.name.startswith("pcm_") and context.format is not None
    if is_pcm and found * context.rate * context.channels * context.format.bytes >= STREAMED:
        return None
    return found
