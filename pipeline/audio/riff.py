"""Walks the chunks of RIFF files, such as WAV, whose sizes and padding may be wrong.

RIFF, RIFX (big-endian), RF64 and BW64 (64-bit sizes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import RawIOBase

import msgspec

ORDERS = {b"RIFF": "<", b"RIFX": ">", b"RF64": "<", b"BW64": "<"}
"""The byte order of a file by its first four bytes, as in `struct`."""


class Chunk(msgspec.Struct, frozen=True):
    """A chunk by its header: what it holds starts at `start`, and has `size` bytes if that is true."""

    name: bytes
    start: int
    size: int


def chunks(file: RawIOBase, order: str, length: int) -> Iterator[tuple[Chunk, bool]]:
    """The chunks in order, each with whether all before it were padded to even offsets, as the format requires."""
    place, is_padded = 12, True
    while place + 8 <= length:
        name, size = struct.unpack(order + "4sI", read_at(file, place, 8))
        yield Chunk(name, place + 8, size), is_padded
        place += 8 + size
        # without the pad byte, which some writers forget, the next name is one byte earlier
        if size % 2:
            if place + 1 + 8 <= length and not _is_name(read_at(file, place, 4)):
                place += 1
            else:
                is_padded = False


def is_end(file: RawIOBase, data: Chunk, order: str, length: int, slack: int) -> bool:
    """Whether the data chunk ends at the end of the file, but for `slack` bytes, or at the start of a chunk."""
    end = data.start + data.size
    left = length - end
    if left <= 1 or (data.size and left <= slack):
        return True
    for place in (end + data.size % 2, end):
        if place + 8 <= length:
            name, size = struct.unpack(order + "4sI", read_at(file, place, 8))
            if _is_name(name) and place + 8 + size <= length + 1:
                return True
    return False


def ends_well(file: RawIOBase, data: Chunk, length: int) -> bool:
    """Whether the chunks after the samples end exactly with the file, and hold no audio."""
    place = data.start + data.size + data.size % 2
    while place + 8 <= length:
        name, size = struct.unpack("<4sI", read_at(file, place, 8))
        if not _is_name(name) or name in (b"data", b"fmt "):
            return False
        place += 8 + size + size % 2
    return place == length


def read_at(file: RawIOBase, place: int, size: int) -> bytes:
    """The bytes at a place of the file; fewer at its end."""
    file.seek(place)
    return file.read(size) or b""


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)
