"""The first frame of an MP3 file: how it is encoded, and how many frames follow where it says so."""

from __future__ import annotations

import re
from io import RawIOBase
from typing import NamedTuple

_NEAR_BYTES, _FAR_BYTES = 2 * 1024, 64 * 1024
"""The first frame nearly always begins in the former, and is searched for in the latter."""
_FRAME_BYTES = 200
"""With a count of frames (Xing, Info, VBRI)."""
_FRAME = re.compile(rb"\xff(?=([\xe2\xe3\xf2\xf3\xfa\xfb])(.)(.))", re.DOTALL)
"""The start of an audio frame, with the bytes of the MPEG version, the rates and the channels."""
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Hz by the version in the frame header: MPEG 1, 2, 2.5."""
_KBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""A second of MPEG 1 and of the others, by the index in the frame header, from 1."""
_MONO = 3


class FirstFrame(NamedTuple):
    """What the first frame says."""

    place: int
    """Its offset in the file."""
    counted_s: float | None
    """Seconds by its count of frames."""
    bits_per_s: int
    """0 if unknown."""
    sample_rate: int
    channels: int


def first_frame(file: RawIOBase) -> FirstFrame | None:
    """The first frame after the tag at the start; None where there is none. Raises what reading the file does."""
    file.seek(0)
    head = file.read(10) or b""
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    for size in (_NEAR_BYTES, _FAR_BYTES):
        file.seek(start)
        found = file.read(size + _FRAME_BYTES) or b""
        for match in _FRAME.finditer(found, 0, size):
            if match[2][0] >> 2 & 3 < 3:
                return _read(start + match.start(), found[match.start() : match.start() + _FRAME_BYTES])
    return None


def _read(place: int, frame: bytes) -> FirstFrame:
    version, bits = frame[1] >> 3 & 3, frame[2] >> 4
    rate = _RATES[version][frame[2] >> 2 & 3]
    kbits = (_KBITS if version == 3 else _KBITS_2)[bits - 1] if 0 < bits < 15 else 0
    frames = _count(frame)
    counted_s = frames * (1152 if version == 3 else 576) / rate if frames else None
    return FirstFrame(place, counted_s, kbits * 1000, rate, 1 if frame[3] >> 6 == _MONO else 2)


def _count(frame: bytes) -> int:
    for name in (b"Xing", b"Info"):
        place = frame.find(name)
        if place > 0 and len(frame) >= place + 12 and frame[place + 7] & 1:
            return int.from_bytes(frame[place + 8 : place + 12], "big")
    place = frame.find(b"VBRI")
    return int.from_bytes(frame[place + 14 : place + 18], "big") if place > 0 else 0
