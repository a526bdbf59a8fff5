"""Ogg-Opus read by its first and last pages: whether the service takes the file as it is, and how long it is."""

from __future__ import annotations

import struct
from io import FileIO

import msgspec

OPUS_RATE = 48_000
_PAGE = struct.Struct("<4sBBqIIIB")
_LAST_OF_STREAM = 4
_LONGEST_PAGE = 65_307


class OggOpus(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of an Ogg-Opus file."""

    channels: int
    duration_s: float
    whole: bool
    """One stream, from its start to its marked end."""


class _Page(msgspec.Struct, frozen=True):
    flags: int
    position: int
    """Samples at 48 kHz up to the page's end; -1 where no packet ends on it."""
    serial: int
    number: int
    body: int
    """Where its body begins in the file."""
    end: int


def read_ogg_opus(file: FileIO, length: int) -> OggOpus | None:
    """The facts of an open file of `length` bytes; None where it is no Ogg-Opus or hides its length."""
    first = _page(file, 0)
    if first is None:
        return None
    file.seek(first.body)
    head = file.read(19) or b""
    if len(head) < 19 or head[:8] != b"OpusHead" or not head[9]:
        return None
    skipped = int.from_bytes(head[10:12], "little")
    start = _first_position(file, first)
    last = _last_page(file, length)
    if start is None or last is None or last.serial != first.serial or last.position <= skipped:
        return None
    # a page holds a second or so: a stream whose first page stands later was cut out of a longer one
    from_start = start <= skipped + 3 * OPUS_RATE
    return OggOpus(
        channels=head[9],
        duration_s=(last.position - (skipped if from_start else start)) / OPUS_RATE,
        whole=from_start and last.flags & _LAST_OF_STREAM > 0 and _is_one_stream(file, first, length),
    )


def _page(file: FileIO, place: int) -> _Page | None:
    file.seek(place)
    head = file.read(_PAGE.size) or b""
    if len(head) < _PAGE.size or head[:4] != b"OggS":
        return None
    _, _, flags, position, serial, number, _, count = _PAGE.unpack(head)
    sizes = file.read(count) or b""
    body = place + _PAGE.size + count
    return _Page(flags, position, serial, number, body, body + sum(sizes))


def _is_one_stream(file: FileIO, first: _Page, length: int) -> bool:
    """Whether page follows page from the first to the file's last byte: no gap, and no second stream behind."""
    page: _Page | None = first
    number = first.number
    while page and page.end < length:
        page = _page(file, page.end)
        number += 1
        if page is None or (page.serial, page.number) != (first.serial, number):
            return False
    return page is not None and page.end == length


def _first_position(file: FileIO, first: _Page) -> int | None:
    """Samples up to the end of the first page that carries audio."""
    page: _Page | None = first
    for _ in range(64):  # pictures in the tags take a few pages
        page = _page(file, page.end) if page else None
        if page is None or page.serial != first.serial:
            return None
        if page.position > 0:
            return page.position
    return None


def _last_page(file: FileIO, length: int) -> _Page | None:
    start = max(0, length - 2 * _LONGEST_PAGE)
    file.seek(start)
    tail = file.read(length - start) or b""
    place = len(tail)
    while (place := tail.rfind(b"OggS", 0, place)) >= 0:
        page = _page(file, start + place)
        if page and page.end <= length and page.position > 0:
            return page
    return None
