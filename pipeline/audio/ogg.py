"""Ogg-Opus, read and written. Read by its pages: whether the service takes the file as it is, and how long it is.

The length is counted by the packets, whose first bytes tell it: the number in the last page is only the writer's word.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BufferedWriter, FileIO
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
"""Samples, 120 ms: a writer takes less than that off the end."""
_MAX_SKIPPED = 9_600
"""Samples that an honest file has its reader leave out at the beginning, 200 ms: encoders ask for 80 at most."""
_FRAMES = (*(480, 960, 1_920, 2_880) * 3, *(480, 960) * 2, *(120, 240, 480, 960) * 4)
"""Samples in a frame, by the upper five bits of a packet's first byte (RFC 6716, 3.1)."""


class OggOpus(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of an Ogg-Opus file."""

    channels: int
    duration_s: float
    is_whole: bool
    """One stream, from its start to its marked end."""
    is_truthful: bool
    """`is_whole`, and each page says as many samples as its packets hold: any reader finds the same length."""


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
    """The facts of an open file of `length` bytes; None where it is no Ogg-Opus, or more than one stream."""
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
    # a page holds a second or so: a stream whose first page stands later was cut out of a longer one
    is_from_start = 0 < counter.start <= skipped + 3 * OPUS_RATE
    is_whole = is_from_start and last.end == length and last.flags & _LAST_OF_STREAM > 0
    is_truthful = is_whole and counter.agrees and not head[8] >> 4 and not head[18] and skipped <= _MAX_SKIPPED
    samples = counter.position if is_truthful else max(skipped, counter.samples)
    return OggOpus(
        channels=head[9], duration_s=(samples - skipped) / OPUS_RATE, is_whole=is_whole, is_truthful=is_truthful
    )


class _SampleCounter:
    """Counts the samples of a stream by its packets. Changes while the stream is walked."""

    def __init__(self) -> None:
        self.samples = 0
        self.start = self.position = 0
        """Where the first page that carries audio ends, and the last one so far, by their word."""
        self.agrees = True
        """Each page so far says as many samples as were counted; the last one of all may take some off the end."""
        self._packets = 0
        self._begun: bytes | None = None
        """The first two bytes, as far as they came, of a packet that goes on in the next page."""

    def walk(self, file: FileIO, first: _Page, length: int) -> _Page | None:
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

    def _add(self, page: _Page, file: FileIO) -> None:
        file.seek(page.body)
        body, place, has_end = file.read(page.end - page.body) or b"", 0, False
        self.agrees &= (self._begun is not None) == bool(page.flags & _CONTINUED)
        for size in page.sizes:
            self._begun = ((self._begun or b"") + body[place : place + size])[:2]
            place += size
            if size < 255:
                self._end_packet(self._begun)
                self._begun, has_end = None, True
        if self._packets <= 2:  # the headers
            return
        if page.flags & _LAST_OF_STREAM:
            self.agrees &= self.samples - _MAX_PACKET < page.position <= self.samples
        else:
            self.agrees &= page.position == (self.samples if has_end else -1)

    def _end_packet(self, head: bytes) -> None:
        self._packets += 1
        if self._packets <= 2:
            return
        samples = 0
        if head:
            frames = (1, 2, 2, head[1] & 63 if len(head) > 1 else 0)[head[0] & 3]
            samples = _FRAMES[head[0] >> 3] * frames
        self.agrees &= 0 < samples <= _MAX_PACKET
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


def encode_opus(pcm_path: str, start: int, samples: int, lead_samples: int, target: str) -> None:
    """Writes a span of a track to `target` as Ogg-Opus, mono at 24 kHz, with `lead_samples` of silence in front.

    Decoded it has exactly `lead_samples + samples` samples. The same span gives the same bytes.
    Raises OutputError where the target cannot be written, AudioUnavailable where the track cannot be read; no target is
    left then.
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
                    raise AudioUnavailable("decoded audio is shorter than it was: it is being written or was cut")
                yield np.frombuffer(found, dtype="<i2")
    except OSError as error:
        raise AudioUnavailable(f"decoded audio cannot be read: {error.strerror or error}") from None


def _encode(blocks: Iterator[npt.NDArray[np.int16]], file: BufferedWriter) -> None:
    import av  # 50 ms to load, and WAV uploads need none of it

    # bitexact: without it each stream gets a number by chance, and the same audio other bytes
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
