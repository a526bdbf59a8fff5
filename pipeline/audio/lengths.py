"""The length of a recording by its header: where it is a count and no guess what is missing from it was cut off; and
never more than the file's bytes can hold."""

from __future__ import annotations

import os
import re
import struct
from io import FileIO
from typing import NamedTuple

from av.audio.stream import AudioStream
from av.container import InputContainer

from pipeline.audio.clock import form, has_clock, header_end_s, played_s
from pipeline.audio.heard import is_placeholder
from pipeline.audio.wav import read_wav

_COUNTING = ("aiff", "ape", "asf", "au", "flac", "mov", "nistsphere", "tta", "w64", "wav", "wv")
"""Forms whose headers count samples; all others are measured by bit rate or by their last page."""
_BY_PAGES = ("ogg",)
"""Forms whose last page counts the samples up to it."""
_PLAUSIBLE_BITS_PER_S = 500
"""A counted length of fewer may be a lie: digital silence in FLAC takes about that."""
_STREAMED = 0x7FFF0000
"""Bytes from which on a length is a writer's that did not know it."""
_PLAIN = re.compile(r"pcm_(?:[suf](\d+)(?:le|be)?(?:_planar)?|alaw|mulaw)")
"""Codecs whose samples are plain numbers, with their bits."""
_SEARCHED = 64 * 1024
_MPEG_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Hz by the version in the frame's header: MPEG 1, 2, 2.5."""


class Told(NamedTuple):
    """The length of a recording by its header, as far as the file's size bears it out."""

    seconds: float
    """0 where it does not say."""
    is_counted: bool
    declared_s: float | None = None
    """What it counts, where the file holds plain samples and so many of them may be missing."""


def told_s(container: InputContainer, stream: AudioStream, file: FileIO) -> Told:
    """The length of a file of any form that PyAV knows."""
    declared = declared_s(container, stream, file)
    size_bytes = os.fstat(file.fileno()).st_size
    length_s = played_s(container, stream, size_bytes)
    if length_s is None:
        length_s = declared or 0.0
    if (plain_bytes_per_s := _plain_bytes_per_s(stream)) and not has_clock(container):
        there_s = min(length_s, size_bytes / plain_bytes_per_s)
        return Told(there_s, there_s == length_s, declared)
    if is_placeholder(length_s, size_bytes):
        return Told(0.0, is_counted=False)
    counts = declared is not None or form(container) in _BY_PAGES
    return Told(length_s, counts and size_bytes * 8 >= length_s * _PLAUSIBLE_BITS_PER_S)


def _plain_bytes_per_s(stream: AudioStream) -> float | None:
    """What a second of samples takes where all are of one size; None of compressed ones."""
    context = stream.codec_context
    named = _PLAIN.fullmatch(context.name)
    if named is None:
        return None
    return context.rate * context.channels * int(named[1] or 8) / 8 or None


def declared_s(container: InputContainer, stream: AudioStream, file: FileIO) -> float | None:
    """Seconds of audio that the header promises; None where it does not count."""
    name = form(container)
    place = file.tell()
    try:
        if name == "mp3":
            return xing_s(file)
        if name == "caf":
            return caf_s(file)
        if name == "wav" and read_wav(file, os.fstat(file.fileno()).st_size).declared is None:
            return None
    finally:
        file.seek(place)
    if name in ("matroska", "flv"):
        # the length of all tracks: of the audio only where nothing else runs on
        return header_end_s(container, stream) if len(container.streams) == 1 else None
    return _counted_s(container, stream) if name in _COUNTING else None


def _counted_s(container: InputContainer, stream: AudioStream) -> float | None:
    if stream.duration is None or (found := header_end_s(container, stream)) is None:
        return None
    context = stream.codec_context
    plain = context.name.startswith("pcm_") and context.format is not None
    if plain and found * context.rate * context.channels * context.format.bytes >= _STREAMED:
        return None
    return found


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


def caf_s(file: FileIO) -> float | None:
    """Seconds by the data chunk of a CAF file; None where its writer did not know, and for packets of changing size."""
    place, rate, packet, frames = 8, 0.0, 0, 0
    for _ in range(64):
        file.seek(place)
        head = file.read(12) or b""
        if len(head) < 12:
            return None
        name, size = struct.unpack(">4sq", head)
        if name == b"desc":
            rate, _, _, packet, frames = struct.unpack(">d4sIII", (file.read(24) or b"").ljust(24, b"\0"))
        if name == b"data":
            return (size - 4) / packet * frames / rate if size > 4 and packet and rate > 0 else None
        if size < 0:
            return None
        place += 12 + size
    return None
