"""The length of the audio in an MP4 file, without the index of its samples, which may be large."""

from __future__ import annotations

from collections.abc import Iterator
from io import RawIOBase
from typing import NamedTuple

_MOST_BOXES = 64
"""Beside each other."""


class _Box(NamedTuple):
    name: bytes
    start: int
    """Of what it holds, …"""
    end: int


def audio_s(file: RawIOBase, size: int) -> float | None:
    """Seconds by the header of the first audio track; None where there is none. Raises what reading the file does."""
    for moov in _boxes(file, 0, size, b"moov"):
        for track in _boxes(file, moov.start, moov.end, b"trak"):
            for media in _boxes(file, track.start, track.end, b"mdia"):
                if any(_at(file, one.start + 8, 4) == b"soun" for one in _boxes(file, media.start, media.end, b"hdlr")):
                    return next((_length_s(file, one) for one in _boxes(file, media.start, media.end, b"mdhd")), None)
    return None


def _boxes(file: RawIOBase, place: int, end: int, name: bytes) -> Iterator[_Box]:
    """The boxes of a name between two places."""
    for _ in range(_MOST_BOXES):
        head = _at(file, place, 16)
        size, start = int.from_bytes(head[:4], "big"), place + 8
        if size == 1:
            size, start = int.from_bytes(head[8:16], "big"), place + 16
        elif not size:
            size = end - place
        if len(head) < 8 or size < start - place or place + size > end:
            return
        if head[4:8] == name:
            yield _Box(name, start, place + size)
        place += size


def _length_s(file: RawIOBase, header: _Box) -> float | None:
    found = _at(file, header.start, 32)
    wide = found[:1] == b"\1"
    at, width = (20, 8) if wide else (12, 4)
    units, length = int.from_bytes(found[at : at + 4], "big"), int.from_bytes(found[at + 4 : at + 4 + width], "big")
    is_unknown = not units or length in (0, (1 << 8 * width) - 1)
    return None if is_unknown else length / units


def _at(file: RawIOBase, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size) or b""
