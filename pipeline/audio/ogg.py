"""Ogg-Opus, read page by page for its length and consistency, and written.

The length is counted from the first bytes of the packets, because the position in the last page may be wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BufferedWriter, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pipeline.audio.tracks import SAMPLE_BYTES, SAMPLE_RATE, discard
from pipeline.errors import AudioUnavailable, OutputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

OPUS_RATE = 48_000
_BIT_RATE = 32_000
_PAGE = struct.Struct("<4sBBqIIIB")
_CONTINUED, _LAST_OF_STREAM = 1, 4
_MAX_PACKET = 5_760
"""Samples, 120 ms: less than that is trimmed from the end."""
_MAX_SKIPPED = 9_600
"""Samples, 200 ms, of the pre-skip of a consistent file; encoders use 80 ms at most."""
_FRAMES = (*(480, 960, 1_920, 2_880) * 3, *(480, 960) * 2, *(120, 240, 480, 960) * 4)
"""Samples in a frame, by the upper five bits of a packet's first byte (RFC 6716, 3.1)."""


class OggOpus(msgspec.Struct, frozen=True, kw_only=True):
    """Length and consistency of an Ogg-Opus file."""

    channels: int
    duration_s: float
    is_whole: bool
    """One stream, from its start to its end-of-stream page."""
    is_consistent: bool
    """`is_whole`, and the position of each page matches its packets: any reader finds the same length."""


class _Page(msgspec.Struct, frozen=True):
    flags: int
    position: int
    """Samples at 48 kHz up to the page's end; -1 where no packet ends on it."""
    serial: int
    number: int
    sizes: bytes
    """Of the segments of its body."""
    body: int
    """Offset of its body in the file."""
    end: int


def read_ogg_opus(file: RawIOBase, length: int) -> OggOpus | None:
    """Reads an open file of `length` bytes; None where it is no Ogg-Opus, or has more than one stream."""
    first = _page(file, 0)
    if first is None:
        return None
    file.seek(first.body)
    head = file.read(19) or b""
    if len(head) < 19 or head[:8] != b"OpusHead" or not head[9]:
        return None
    skipped = int.from_bytes(head[10:12], "little")
    counter = _SampleCounter()
    last = counter.walk(file, first, length)
    if last is None or not counter.start or counter.position <= skipped:
        return None
    # a page holds about a second: a stream whose first page ends later was cut out of a longer one
    is_from_start = 0 < counter.start <= skipped + 3 * OPUS_RATE
    is_whole = is_from_start and last.end == length and last.flags & _LAST_OF_STREAM > 0
    is_consistent = is_whole and counter.is_consistent and not head[8] >> 4 and not head[18] and skipped <= _MAX_SKIPPED
    samples = counter.position if is_consistent else max(skipped, counter.samples)
    return OggOpus(
        channels=head[9], duration_s=(samples - skipped) / OPUS_RATE, is_whole=is_whole, is_consistent=is_consistent
    )


class _SampleCounter:
    """Counts the samples of a stream by its packets."""

    def __init__(self) -> None:
        self.samples = 0
        self.start = self.position = 0
        """The positions of the first page with audio, and of the last one so far."""
        self.is_consistent = True
        """The position of each page so far is the number of samples counted; on the last page it may be less."""
        self._packets = 0
        self._begun: bytes | None = None
        """At most the first two bytes of a packet that continues on the next page."""

    def walk(self, file: RawIOBase, first: _Page, length: int) -> _Page | None:
        """The last page before the file ends or a page is missing; None where another stream follows."""
        page, number = first, first.number
        while True:
            self._add(page, file)
            if page.position > 0 and page.end <= length:
                self.start, self.position = self.start or page.position, page.position
            found = _page(file, page.end) if page.end < length else None
            number += 1
            if found is not None and found.serial != first.serial:
                return None
            if found is None or found.number != number:
                return page
            page = found

    def _add(self, page: _Page, file: RawIOBase) -> None:
        file.seek(page.body)
        body, place, has_end = file.read(page.end - page.body) or b"", 0, False
        self.is_consistent &= (self._begun is not None) == bool(page.flags & _CONTINUED)
        for size in page.sizes:
            self._begun = ((self._begun or b"") + body[place : place + size])[:2]
            place += size
            if size < 255:
                self._end_packet(self._begun)
                self._begun, has_end = None, True
        if self._packets <= 2:  # the headers
            return
        if page.flags & _LAST_OF_STREAM:
            self.is_consistent &= self.samples - _MAX_PACKET < page.position <= self.samples
        else:
            self.is_consistent &= page.position == (self.samples if has_end else -1)

    def _end_packet(self, head: bytes) -> None:
        self._packets += 1
        if self._packets <= 2:
            return
        samples = 0
        if head:
            frames = (1, 2, 2, head[1] & 63 if len(head) > 1 else 0)[head[0] & 3]
            samples = _FRAMES[head[0] >> 3] * frames
        self.is_consistent &= 0 < samples <= _MAX_PACKET
        self.samples += samples


def _page(file: RawIOBase, place: int) -> _Page | None:
    file.seek(place)
    head = file.read(_PAGE.size) or b""
    if len(head) < _PAGE.size or head[:4] != b"OggS":
        return None
    _, _, flags, position, serial, number, _, count = _PAGE.unpack(head)
    sizes = file.read(count) or b""
    body = place + _PAGE.size + count
    return _Page(flags, position, serial, number, sizes, body, body + sum(sizes))


def encode_opus(pcm_path: str, start: int, samples: int, lead_samples: int, target: str) -> None:
    """Writes a span of a track to `target` as mono Ogg-Opus, after `lead_samples` of silence.

    Decoded it has exactly `lead_samples + samples` samples. The same span gives the same bytes.
    Raises OutputError where the target cannot be written and AudioUnavailable where the track cannot be read, and then
    leaves no target.
    """
    try:
        with Path(target).open("wb") as file:
            _encode(_samples(pcm_path, start, samples, lead_samples), file)
    except OSError as error:
        discard(target)
        folder = Path(target).parent
        raise OutputError(f"encoded audio cannot be written to {folder}: {error.strerror or error}") from None
    except BaseException:
        discard(target)
        raise


def _samples(path: str, start: int, samples: int, lead: int) -> Iterator[npt.NDArray[np.int16]]:
    """The silence and the span, a second at a time."""
    import numpy as np

    for place in range(0, lead, SAMPLE_RATE):
        yield np.zeros(min(SAMPLE_RATE, lead - place), dtype=np.int16)
    try:
        with Path(path).open("rb") as file:
            file.seek(start * SAMPLE_BYTES)
            for place in range(0, samples, SAMPLE_RATE):
                size = min(SAMPLE_RATE, samples - place) * SAMPLE_BYTES
                found = file.read(size)
                if len(found) < size:
                    raise AudioUnavailable("decoded audio is shorter than when it was decoded")
                yield np.frombuffer(found, dtype="<i2")
    except OSError as error:
        raise AudioUnavailable(f"decoded audio cannot be read: {error.strerror or error}") from None


def _encode(blocks: Iterator[npt.NDArray[np.int16]], file: BufferedWriter) -> None:
    import av  # 50 ms to load, and WAV uploads need none of it

    # bitexact: else each stream gets a random serial number, and the same audio other bytes
    with av.open(file, "w", format="ogg", container_options={"fflags": "bitexact"}) as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono", options={"application": "voip"})
        stream.bit_rate = _BIT_RATE
        place = 0
        for block in blocks:
            frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, place
            place += block.size
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
