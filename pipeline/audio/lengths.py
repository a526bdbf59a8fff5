"""The length a header counts, where it is a count and no guess: what is missing from it was cut off."""

from __future__ import annotations

from io import FileIO

from av.audio.stream import AudioStream
from av.container import InputContainer

_COUNTING = ("aiff", "ape", "asf", "au", "caf", "flac", "mov", "nistsphere", "tta", "w64", "wv")
"""Forms whose headers count samples; all others are measured by bit rate or by their last page."""
_SEARCHED = 64 * 1024
_MPEG_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Hz by the version in the frame's header: MPEG 1, 2, 2.5."""


def declared_s(container: InputContainer, stream: AudioStream, file: FileIO) -> float | None:
    """Seconds of audio that the header promises; None where it does not count."""
    name = container.format.name.partition(",")[0]
    if name == "mp3":
        place = file.tell()
        try:
            return xing_s(file)
        finally:
            file.seek(place)
    if name == "matroska":
        # the length of all tracks: of the audio only where nothing else runs on
        if len(container.streams) == 1 and container.duration is not None:
            return container.duration / 1_000_000
        return None
    if name in _COUNTING and stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None


def xing_s(file: FileIO) -> float | None:
    """Seconds by the frame count in an MP3's first frame (Xing, Info, VBRI); None where there is none."""
    file.seek(0)
    head = file.read(10) or b""
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    file.seek(start)
    found = file.read(_SEARCHED) or b""
    sync = found.find(b"\xff")
    while 0 <= sync < len(found) - 4:
        version, rate = found[sync + 1] >> 3 & 3, found[sync + 2] >> 2 & 3
        if found[sync + 1] & 0xE6 == 0xE2 and version in _MPEG_RATES and rate < 3:
            frame = found[sync : sync + 200]
            samples = 1152 if version == 3 else 576
            count = _count(frame)
            return count * samples / _MPEG_RATES[version][rate] if count else None
        sync = found.find(b"\xff", sync + 1)
    return None


def _count(frame: bytes) -> int:
    for name in (b"Xing", b"Info"):
        place = frame.find(name)
        if place > 0 and len(frame) >= place + 12 and frame[place + 7] & 1:
            return int.from_bytes(frame[place + 8 : place + 12], "big")
    place = frame.find(b"VBRI")
    return int.from_bytes(frame[place + 14 : place + 18], "big") if place > 0 else 0
