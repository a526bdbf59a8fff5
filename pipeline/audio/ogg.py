"""Ogg-Opus read by its pages: whether the service takes the file as it is, and how long it is.

The length is counted by the packets, whose first bytes say it: the number in the last page is only the writer's word.
"""

from __future__ import annotations

import struct
from io import FileIO

import msgspec

OPUS_RATE = 48_000
_PAGE = struct.Struct("<4sBBqIIIB")
_CONTINUED, _LAST_OF_STREAM = 1, 4
_LONGEST_PAGE = 65_307
_LONGEST_PACKET = 5_760
"""Samples, 120 ms: a writer takes less than that off the end."""
_MOST_SKIPPED = 9_600
"""Samples that an honest file has its reader leave out at the beginning, 200 ms: encoders ask for 80 at most."""
_FRAMES = (*(480, 960, 1_920, 2_880) * 3, *(480, 960) * 2, *(120, 240, 480, 960) * 4)
"""Samples in a frame, by the upper five bits of a packet's first byte (RFC 6716, 3.1)."""


class OggOpus(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of an Ogg-Opus file."""

    channels: int
    duration_s: float
    whole: bool
    """One stream, from its start to its marked end."""
    truthful: bool
    """`whole`, and each page says as many samples as its packets hold: whoever reads it finds the same length."""


class _Page(msgspec.Struct, frozen=True):
    flags: int
    position: int
    """Samples at 48 kHz up to the page's end; -1 where no packet ends on it."""
    serial: int
    number: int
    sizes: bytes
    """Of the segments of its body."""
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
    counted = _Counted()
    is_one_stream = counted.walk(file, first, length)
    told = last.position - (skipped if from_start else start)
    whole = from_start and last.flags & _LAST_OF_STREAM > 0 and is_one_stream
    truthful = whole and counted.agrees and not head[8] >> 4 and not head[18] and skipped <= _MOST_SKIPPED
    return OggOpus(
        channels=head[9],
        duration_s=(told if truthful else max(0, counted.samples - skipped)) / OPUS_RATE,
        whole=whole,
        truthful=truthful,
    )


class _Counted:
    """Counts the samples of a stream by its packets. Changes while the stream is walked."""

    def __init__(self) -> None:
        self.samples = 0
        self.agrees = True
        """Each page so far says as many samples as were counted; the last one of all may take some off the end."""
        self._packets = 0
        self._begun: bytes | None = None
        """The first two bytes, as far as they came, of a packet that goes on in the next page."""

    def walk(self, file: FileIO, first: _Page, length: int) -> bool:
        """Whether page follows page from the first to the file's last byte: no gap, and no second stream behind."""
        page, number = first, first.number
        while True:
            self._add(page, file)
            if page.end >= length:
                return page.end == length
            found = _page(file, page.end)
            number += 1
            if found is None or (found.serial, found.number) != (first.serial, number):
                return False
            page = found

    def _add(self, page: _Page, file: FileIO) -> None:
        file.seek(page.body)
        body, place, ended = file.read(page.end - page.body) or b"", 0, False
        self.agrees &= (self._begun is not None) == bool(page.flags & _CONTINUED)
        for size in page.sizes:
            self._begun = ((self._begun or b"") + body[place : place + size])[:2]
            place += size
            if size < 255:
                self._end_packet(self._begun)
                self._begun, ended = None, True
        if self._packets <= 2:  # the headers
            return
        if page.flags & _LAST_OF_STREAM:
            self.agrees &= self.samples - _LONGEST_PACKET < page.position <= self.samples
        else:
            self.agrees &= page.position == (self.samples if ended else -1)

    def _end_packet(self, head: bytes) -> None:
        self._packets += 1
        if self._packets <= 2:
            return
        samples = 0
        if head:
            frames = (1, 2, 2, head[1] & 63 if len(head) > 1 else 0)[head[0] & 3]
            samples = _FRAMES[head[0] >> 3] * frames
        self.agrees &= 0 < samples <= _LONGEST_PACKET
        self.samples += samples


def _page(file: FileIO, place: int) -> _Page | None:
    file.seek(place)
    head = file.read(_PAGE.size) or b""
    if len(head) < _PAGE.size or head[:4] != b"OggS":
        return None
    _, _, flags, position, serial, number, _, count = _PAGE.unpack(head)
    sizes = file.read(count) or b""
    body = place + _PAGE.size + count
    return _Page(flags, position, serial, number, sizes, body, body + sum(sizes))


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
