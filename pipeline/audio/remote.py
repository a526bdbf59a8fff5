"""Inspects a remote recording by parts of it: its header, and where that does not fit, the start and the end.

Blocks, so call it in a thread.
"""

from __future__ import annotations

import os
import struct
from io import RawIOBase

from pipeline.audio.mp3 import first_frame
from pipeline.audio.mp4 import audio_s
from pipeline.audio.ogg import OPUS_RATE
from pipeline.audio.probe import Probe, probe_file
from pipeline.audio.tracks import is_implausible
from pipeline.errors import NoParts
from pipeline.model import FileVersion
from pipeline.source import FileInfo, Sources
from pipeline.source.addresses import is_row
from pipeline.source.ranged import BeyondLimit, RangedFile

MOST_BYTES = 60_000
"""Read of a recording in all, …"""
HEADER_BYTES = 40_000
"""… and of its header, so that its end can be read where this does not suffice."""
_BLOCK_BYTES = 10_000
_LITTLE_S = 0.1
"""17 kB of uncompressed audio at 44.1 kHz."""
_UNKNOWN_BYTES = 1 << 20
"""Assumed of a recording whose size the server does not tell."""
_BYTES_PER_S = dict.fromkeys((".wav", ".w64", ".aif", ".aiff", ".au"), 32_000) | {".flac": 16_000}
"""Of a second of audio, by the ending of the name; else the length is 0, which the caller knows to estimate."""
_OGG_END = struct.Struct("<q")


def probe_remote(sources: Sources, address: str, info: FileInfo, *, failed_before: bool = False) -> Probe:
    """What the header of a recording says, of which `info` is known. Where that takes more than MOST_BYTES, or it is a
    row of a Parquet file, its length is an estimate, and channels are 0 where unknown. `failed_before` is as in
    `Sources.read`.

    Raises as `audio.probe.probe` and `Sources.read`, and SourceChanged where it has another version.
    """
    if is_row(address) or info.size_bytes is None:
        return probe_by_size(address, info)
    size, version = info.size_bytes, _version(info)
    file = RangedFile(
        sources,
        address,
        info,
        _BLOCK_BYTES,
        blocks_kept=MOST_BYTES,
        max_bytes=MOST_BYTES if size <= MOST_BYTES else HEADER_BYTES,
        failed_before=failed_before,
    )
    is_ogg = size > MOST_BYTES and file.read(4) == b"OggS"  # its pages would be read one by one
    try:
        if not is_ogg:
            return probe_file(address, file, version)
    except (BeyondLimit, NoParts):
        pass
    file.max_bytes = MOST_BYTES
    try:
        found = _of_ogg(file, size) if is_ogg else _of_mp4(file, size) or _of_mp3(file, size)
        if found is None and not is_ogg:
            counted = probe_file(address, file, version, _LITTLE_S)
            if counted.is_counted:  # with so little audio no bit rate is known
                return counted
    except (BeyondLimit, NoParts):
        found = None
    found = found or _of_flac(file)
    if found is None or is_implausible(found[0], size):
        return probe_by_size(address, info)
    return _estimated(version, *found)


def probe_by_size(address: str, info: FileInfo) -> Probe:
    """An estimate without reading anything."""
    version = _version(info)
    ending = os.path.splitext(address.partition("?")[0])[1].lower()  # noqa: PTH122
    rate = _BYTES_PER_S[".flac"] if is_row(address) else _BYTES_PER_S.get(ending)  # as data sets mostly have it
    return _estimated(version, version.size_bytes / rate if rate else 0.0)


def _version(info: FileInfo) -> FileVersion:
    return FileVersion(_UNKNOWN_BYTES if info.size_bytes is None else info.size_bytes, 0, 0, 0)


def _estimated(version: FileVersion, seconds: float, sample_rate: int = 0, channels: int = 0) -> Probe:
    return Probe(
        content_type=None,
        duration_s=seconds,
        is_counted=False,
        sample_rate=sample_rate,
        channels=channels,
        is_mono=False,
        version=version,
    )


Found = tuple[float, int, int]
"""Seconds, sample rate and channels."""


def _of_ogg(file: RawIOBase, size: int) -> Found | None:
    """By the position in the last page, and the header in the first one."""
    file.seek(0)
    start = file.read(512) or b""
    serial = start[14:18]
    head = start[27 + start[26] :] if len(start) > 27 else b""
    if head.startswith(b"OpusHead") and len(head) >= 19:
        rate, channels, skipped = OPUS_RATE, head[9], int.from_bytes(head[10:12], "little")
    elif head.startswith(b"\x01vorbis") and len(head) >= 16:
        rate, channels, skipped = int.from_bytes(head[12:16], "little"), head[11], 0
    else:
        return None
    for count in (_BLOCK_BYTES, MOST_BYTES - 2 * _BLOCK_BYTES):
        place = max(0, size - count)
        file.seek(place)
        end = file.read(count) or b""
        at = len(end)
        while (at := end.rfind(b"OggS", 0, at)) >= 0:
            page = end[at : at + 18]
            [position] = _OGG_END.unpack(page[6:14]) if len(page) == 18 else (-1,)
            if page[4:5] == b"\0" and page[14:18] == serial and position > skipped and rate:
                return (position - skipped) / rate, rate, channels
    return None


def _of_mp4(file: RawIOBase, size: int) -> Found | None:
    file.seek(4)
    seconds = audio_s(file, size) if file.read(4) == b"ftyp" else None
    return (seconds, 0, 0) if seconds else None


def _of_flac(file: RawIOBase) -> Found | None:
    """By the count of samples, before the tags and pictures that did not fit."""
    file.seek(0)
    head = file.read(26) or b""
    if head[:4] != b"fLaC" or len(head) < 26:
        return None
    packed = int.from_bytes(head[18:26], "big")
    rate, channels, samples = packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1
    return (samples / rate, rate, channels) if rate and samples else None


def _of_mp3(file: RawIOBase, size: int) -> Found | None:
    """By the first frame: its count of frames, else its bit rate."""
    file.seek(0)
    is_tagged = file.read(3) == b"ID3"
    frame = first_frame(file) if is_tagged else None
    if frame is None or not (frame.counted_s or frame.bits_per_s):
        return None
    seconds = frame.counted_s or (size - frame.place) * 8 / frame.bits_per_s
    return seconds, frame.sample_rate, frame.channels
