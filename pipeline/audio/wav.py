"""The RIFF family read by its chunks: what the samples are, where they lie, and whether the header tells the truth.

RIFF, RIFX (big-endian), RF64 and BW64 (64-bit sizes). Nothing is decoded here; only headers are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import FileIO

import msgspec

from pipeline.errors import AudioEmpty, AudioUnreadable

PCM, ADPCM, FLOAT, ALAW, MULAW, EXTENSIBLE = 0x0001, 0x0002, 0x0003, 0x0006, 0x0007, 0xFFFE
_FIXED = (PCM, FLOAT, ALAW, MULAW)
_NAMES = {PCM: "PCM", ADPCM: "ADPCM", FLOAT: "float", ALAW: "A-law", MULAW: "mu-law", 0x11: "IMA ADPCM", 0x31: "GSM"}
_ORDERS = {b"RIFF": "<", b"RIFX": ">", b"RF64": "<", b"BW64": "<"}
_STREAMED = 0x7FFF0000
"""Sizes from here on, where the file is shorter, are what a writer puts that does not know how much will follow."""
_SLACK_S = 0.5
_USUAL_RATES = (8_000, 192_000)
"""Hz; whatever another rate means to the service, only decoding tells what the file holds."""


class WavFile(msgspec.Struct, frozen=True, kw_only=True):
    """The shape of a WAV file."""

    order: str
    """`<` or `>`, as in `struct`."""
    tag: int
    """The sample format: PCM, FLOAT … ; of an extensible header the one inside."""
    extensible: bool
    channels: int
    rate: int
    bits: int
    """Of the container that holds one sample."""
    block: int
    """Bytes of all channels' samples of one moment; of a compressed form those of a packet."""
    start: int
    """Where the samples begin, in bytes from the start of the file."""
    size: int
    """Bytes of samples that are there."""
    declared: int | None
    """Bytes of samples the header promises; None where it promises nothing."""
    truthful: bool
    """All sizes are what is there, every chunk is where a plain reader looks for it, there is one word on the form and
    one chunk of samples, and the form's numbers agree: whoever reads it finds the same length."""

    @property
    def form(self) -> str:
        name = _NAMES.get(self.tag, f"format 0x{self.tag:04x}")
        return f"WAV with {self.bits} bit {name} samples" if self.tag in (PCM, FLOAT) else f"WAV with {name} samples"

    @property
    def plain(self) -> bool:
        """Made of numbers of one size, so that length and place follow from each other."""
        return self.tag in _FIXED

    @property
    def duration_s(self) -> float:
        """Length of what is there; only of a plain file."""
        return self.size // self.block / self.rate

    @property
    def declared_s(self) -> float | None:
        return None if self.declared is None else self.declared // self.block / self.rate


class _Chunk(msgspec.Struct, frozen=True):
    name: bytes
    start: int
    size: int


def is_wav(head: bytes) -> bool:
    """Whether the first 12 bytes of a file are those of a WAV file."""
    return head[:4] in _ORDERS and head[8:12] == b"WAVE"


def read_wav(file: FileIO, length: int) -> WavFile:
    """The shape of an open WAV file of `length` bytes.

    Raises AudioUnreadable (broken off or damaged in the header), AudioEmpty or OSError.
    """
    head = _at(file, 0, 12)
    order = _ORDERS[head[:4]]
    (riff_size,) = struct.unpack(order + "I", head[4:8])
    form: _Chunk | None = None
    end = 12
    wide: tuple[int, int] | None = None
    honest = head[:4] in (b"RIFF", b"RIFX") and riff_size + 8 == length
    for chunk, padded in _chunks(file, order, length):
        honest = honest and padded
        end = chunk.start + chunk.size
        if chunk.name == b"ds64":
            wide = struct.unpack("<QQ", _at(file, chunk.start, 16).ljust(16, b"\0"))
        elif chunk.name == b"fmt ":
            honest = honest and form is None
            form = form or chunk
        elif chunk.name == b"data":
            if form is None:
                raise AudioUnreadable("the WAV file's samples come without a word on their form (no fmt chunk)")
            declared = wide[1] if wide and chunk.size == 0xFFFFFFFF else chunk.size
            return _wav(file, length, order, form, _Chunk(b"data", chunk.start, declared), honest)
    if form is None or end != length:
        raise AudioUnreadable("the WAV file breaks off, or is damaged, in its header")
    raise AudioEmpty("the WAV file holds no samples: it has no data chunk")


def _wav(file: FileIO, length: int, order: str, form: _Chunk, data: _Chunk, honest: bool) -> WavFile:
    fmt = _at(file, form.start, min(form.size, 40))
    if len(fmt) < 16:
        raise AudioUnreadable("the WAV file is damaged in its header: the fmt chunk is too short")
    tag, channels, rate, bytes_per_s, block, bits = struct.unpack(order + "HHIIHH", fmt[:16])
    honest = honest and (block * 8, bytes_per_s) == (channels * bits, rate * block)
    honest = honest and _USUAL_RATES[0] <= rate <= _USUAL_RATES[1]
    extensible = tag == EXTENSIBLE
    if extensible and len(fmt) >= 26:
        (tag,) = struct.unpack(order + "H", fmt[24:26])
    if not channels or not rate:
        raise AudioUnreadable(f"the WAV file is damaged in its header: {channels} channels at {rate} Hz")
    if tag in _FIXED:
        # 20 bits live in 3 bytes, and 24 sometimes in 4: it is the block that says where the next sample is
        width = block // channels if block % channels == 0 and block // channels * 8 >= bits else (bits + 7) // 8
        bits, block = width * 8, width * channels
    if not block or (not bits and tag in _FIXED):
        raise AudioUnreadable("the WAV file is damaged in its header: its samples have no size")
    there, declared = length - data.start, data.size
    promised: int | None = declared
    if declared > there and declared >= _STREAMED:
        promised = None
    elif not _goes_on_after(file, data, order, length, int(_SLACK_S * rate * block)):
        # size 0 of a stream, or a size that was never brought up to date: what follows is no chunk but more samples
        promised = None
    size = there if promised is None else min(promised, there)
    return WavFile(
        order=order,
        tag=tag,
        extensible=extensible,
        channels=channels,
        rate=rate,
        bits=bits,
        block=block,
        start=data.start,
        size=size,
        declared=promised,
        truthful=honest and promised == size and size % block == 0 and order == "<" and _ends_well(file, data, length),
    )


def _chunks(file: FileIO, order: str, length: int) -> Iterator[tuple[_Chunk, bool]]:
    """The chunks in turn, each with whether all before it were padded to even places, as the format wants."""
    place, padded = 12, True
    while place + 8 <= length:
        name, size = struct.unpack(order + "4sI", _at(file, place, 8))
        yield _Chunk(name, place + 8, size), padded
        place += 8 + size
        # writers forget the pad byte; whoever does shows the next name one byte early
        if size % 2:
            if place + 1 + 8 <= length and not _is_name(_at(file, place, 4)):
                place += 1
            else:
                padded = False


def _goes_on_after(file: FileIO, data: _Chunk, order: str, length: int, slack: int) -> bool:
    """Whether the end of the data chunk is one: of the file, of what matters, or the start of another chunk."""
    end = data.start + data.size
    left = length - end
    if left <= 1 or (data.size and left <= slack):
        return True
    for place in (end + data.size % 2, end):
        if place + 8 <= length:
            name, size = struct.unpack(order + "4sI", _at(file, place, 8))
            if _is_name(name) and place + 8 + size <= length + 1:
                return True
    return False


def _ends_well(file: FileIO, data: _Chunk, length: int) -> bool:
    """Whether the chunks after the samples fill the file to its last byte, and hold nothing that is heard."""
    place = data.start + data.size + data.size % 2
    while place + 8 <= length:
        name, size = struct.unpack("<4sI", _at(file, place, 8))
        if not _is_name(name) or name in (b"data", b"fmt "):
            return False
        place += 8 + size + size % 2
    return place == length


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)


def _at(file: FileIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size) or b""
