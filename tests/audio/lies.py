"""Recordings whose headers lie about their length: WAV files that contradict themselves, Ogg files of wrong positions.

Each maker takes speech (float mono at 24 kHz) and returns the bytes of a file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from tests.audio.forms import RATE, Maker, Speech, chunk, encoded, numbers, wav

OGG_RATE = 48_000
_CRC = []
for value in range(256):
    crc = value << 24
    for _ in range(8):
        crc = (crc << 1) ^ (0x04C11DB7 if crc & 0x80000000 else 0)
    _CRC.append(crc & 0xFFFFFFFF)


def form(rate: int = RATE, bits: int = 16, block: int = 2, bytes_per_s: int | None = None) -> bytes:
    """A fmt chunk whose numbers need not agree."""
    told = rate * block if bytes_per_s is None else bytes_per_s
    return chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, rate, told, block, bits))


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def formed(**told: int) -> Maker:
    """16 bit samples behind a fmt chunk that says something else."""
    return lambda speech: riff(form(**told), chunk(b"data", numbers(speech)))


def ogg(position: Callable[[int, bool], int], *, skipped: int | None = None, times: int = 1) -> Maker:
    """Ogg-Opus whose pages tell another position: of what they told, and whether it is the last page. The speech is in
    it so many times."""

    def make(speech: Speech) -> bytes:
        data = encoded("libopus", "ogg", rate=OGG_RATE)(np.tile(speech, times))
        pages, place = [], 0
        while place < len(data):
            count = data[place + 26]
            end = place + 27 + count + sum(data[place + 27 : place + 27 + count])
            pages.append(bytearray(data[place:end]))
            place = end
        for number, page in enumerate(pages):
            (told,) = struct.unpack_from("<q", page, 6)
            if told > 0:
                struct.pack_into("<q", page, 6, position(told, number == len(pages) - 1))
            if number == 0 and skipped is not None:
                struct.pack_into("<H", page, page.index(b"OpusHead") + 10, skipped)
            struct.pack_into("<I", page, 22, 0)
            struct.pack_into("<I", page, 22, _crc(page))
        return b"".join(pages)

    return make


def _crc(page: bytes | bytearray) -> int:
    crc = 0
    for byte in page:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC[crc >> 24 ^ byte]
    return crc


WAV_LIES: dict[str, Maker] = {
    "16 bits in blocks of 4": formed(block=4),
    "24 bits in blocks of 2": formed(bits=24),
    "16 bits in blocks of 3": formed(block=3),
    "12 bits": formed(bits=12),
    "byte rate of nothing": formed(bytes_per_s=0),
    "byte rate of a tenth": formed(bytes_per_s=RATE // 5),
    "2 Hz": lambda speech: riff(form(rate=2), chunk(b"data", numbers(speech[:10]))),
    "2 GHz": formed(rate=2_000_000_000),
    "two forms": lambda speech: riff(form(rate=48_000), form(rate=8_000), chunk(b"data", numbers(speech))),
    "a form behind the samples": lambda speech: riff(form(), chunk(b"data", numbers(speech)), form(rate=8_000)),
    "more samples behind": lambda speech: riff(
        form(), chunk(b"data", numbers(speech[:RATE])), chunk(b"data", numbers(speech))
    ),
    "samples beyond the file": lambda speech: wav(numbers(speech), data_size=1_000_000),
    "size of one sample": lambda speech: wav(numbers(speech), data_size=2),
    "size of nothing": lambda speech: wav(numbers(speech), data_size=0),
}
OGG_LIES: dict[str, Maker] = {
    "last page says 1 s": ogg(lambda told, last: OGG_RATE if last else told, times=10),
    "all pages say a tenth": ogg(lambda told, last: told // 10, times=10),
    "last page says an hour": ogg(lambda told, last: 3600 * OGG_RATE if last else told),
    "last page says nearly 2**63": ogg(lambda told, last: (1 << 63) - 1 if last else told),
    "last page says -5": ogg(lambda told, last: -5 if last else told),
    "pages say 2 s more": ogg(lambda told, last: told + 2 * OGG_RATE),
    "more is skipped than is honest": ogg(lambda told, last: told, skipped=65_535),
}
