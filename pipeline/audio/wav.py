"""Reads and writes WAV headers: the samples' encoding and position, and whether the header is consistent.

RIFF, RIFX (big-endian), RF64 and BW64 (64-bit sizes). Imports no codec library.
"""

from __future__ import annotations

import struct
from io import RawIOBase

import msgspec

from pipeline.audio.riff import ORDERS, Chunk, chunks, ends_well, is_end, read_at
from pipeline.audio.tracks import SAMPLE_BYTES, SAMPLE_RATE
from pipeline.errors import AudioEmpty, AudioUnreadable, AudioUnsupported

PCM, FLOAT, ALAW, MULAW, EXTENSIBLE = 0x0001, 0x0003, 0x0006, 0x0007, 0xFFFE
_UNCOMPRESSED = {PCM: "PCM", FLOAT: "float", ALAW: "A-law", MULAW: "mu-law"}
_SUBTYPES = {
    (PCM, 8): "PCM_U8",
    (PCM, 16): "PCM_16",
    (PCM, 24): "PCM_24",
    (PCM, 32): "PCM_32",
    (FLOAT, 32): "FLOAT",
    (FLOAT, 64): "DOUBLE",
    (ALAW, 8): "ALAW",
    (MULAW, 8): "ULAW",
}
STREAMED = 0x7FFF0000
"""Sizes from here on are placeholders of writers that did not know the length."""
_SLACK_S = 0.5
"""Of trailing bytes that are no samples."""
_USUAL_RATES = (8_000, 192_000)
"""Hz; files with others are decoded, because it is unknown how the service treats them."""
_MAX_CHANNELS = 64
_RATES = (1_000, 768_000)
_MAX_SAMPLES_PER_S = 8 * 768_000
"""Of all channels: 64 at 96 kHz. One second is in memory."""


class WavFile(msgspec.Struct, frozen=True, kw_only=True):
    """The header of a WAV file."""

    order: str
    """`<` or `>`, as in `struct`."""
    tag: int
    """The encoding: PCM, FLOAT …; for an extensible header the one in its extension."""
    is_extensible: bool
    channels: int
    rate: int
    bits: int
    """Of the bytes of one sample, padding included."""
    block: int
    """Bytes of one sample of all channels; for a compressed encoding those of a packet."""
    start: int
    """Offset of the samples in the file."""
    size: int
    """Bytes of samples in the file."""
    declared: int | None
    """Bytes of samples by the header; None if unknown."""
    is_consistent: bool
    """Any reader finds the same length: all sizes match the file, chunks are padded as required, there is one fmt and
    one data chunk, and the numbers of the fmt chunk match."""

    @property
    def subtype(self) -> str:
        """libsndfile's name of the encoding; empty for one that is not decoded here."""
        return _SUBTYPES.get((self.tag, self.bits), "")

    @property
    def is_plain(self) -> bool:
        """Whether samples have a constant size."""
        return self.tag in _UNCOMPRESSED

    @property
    def duration_s(self) -> float:
        """Length of the samples in a plain file."""
        return self.size // self.block / self.rate

    @property
    def declared_s(self) -> float | None:
        return None if self.declared is None else self.declared // self.block / self.rate


def check_shape(channels: int, rate: int) -> None:
    """Raises AudioUnreadable for numbers of a damaged header: a second of such audio could fill the memory."""
    is_sane = 1 <= channels <= _MAX_CHANNELS and _RATES[0] <= rate <= _RATES[1]
    if not is_sane or channels * rate > _MAX_SAMPLES_PER_S:
        raise _damaged(f"{channels} channels at {rate} Hz", "file")


def check_samples(wav: WavFile) -> None:
    """Raises as `check_shape`, and AudioUnsupported for plain WAV with samples of a size that nothing decodes here."""
    check_shape(wav.channels, wav.rate)
    if not wav.subtype:
        name = _UNCOMPRESSED[wav.tag]
        raise AudioUnsupported(
            f"the file is WAV with {wav.bits} bit {name} samples: no decoder here supports that size"
        )


def wav_header(samples: int) -> bytes:
    """The 44 bytes before the samples of a track in a WAV file."""
    size = samples * SAMPLE_BYTES
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + size, b"WAVE"),
        *(b"fmt ", 16, PCM, 1, SAMPLE_RATE, SAMPLE_RATE * SAMPLE_BYTES, SAMPLE_BYTES, SAMPLE_BYTES * 8),
        *(b"data", size),
    )


def is_wav(head: bytes) -> bool:
    """Whether the first 12 bytes of a file are those of a WAV file."""
    return head[:4] in ORDERS and head[8:12] == b"WAVE"


def read_wav(file: RawIOBase, length: int) -> WavFile:
    """The header of an open WAV file of `length` bytes.

    Raises AudioUnreadable (truncated or damaged in the header), AudioEmpty or OSError.
    """
    head = read_at(file, 0, 12)
    order = ORDERS[head[:4]]
    (riff_size,) = struct.unpack(order + "I", head[4:8])
    fmt: Chunk | None = None
    end = 12
    sizes64: tuple[int, int] | None = None
    is_consistent = head[:4] in (b"RIFF", b"RIFX") and riff_size + 8 == length
    for chunk, is_padded in chunks(file, order, length):
        is_consistent = is_consistent and is_padded
        end = chunk.start + chunk.size
        if chunk.name == b"ds64":
            sizes64 = struct.unpack("<QQ", read_at(file, chunk.start, 16).ljust(16, b"\0"))
        elif chunk.name == b"fmt ":
            is_consistent = is_consistent and fmt is None
            fmt = fmt or chunk
        elif chunk.name == b"data":
            if fmt is None:
                raise AudioUnreadable("the WAV file has samples but does not say how they are encoded (no fmt chunk)")
            declared = sizes64[1] if sizes64 and chunk.size == 0xFFFFFFFF else chunk.size
            return _wav(file, length, order, fmt, Chunk(b"data", chunk.start, declared), is_consistent)
    if fmt is None or end != length:
        raise AudioUnreadable("the WAV file is truncated or damaged in its header")
    raise AudioEmpty("the WAV file holds no samples: it has no data chunk")


def _wav(file: RawIOBase, length: int, order: str, fmt_chunk: Chunk, data: Chunk, is_consistent: bool) -> WavFile:
    fmt = read_at(file, fmt_chunk.start, min(fmt_chunk.size, 40))
    if len(fmt) < 16:
        raise _damaged("the fmt chunk is too short")
    tag, channels, rate, bytes_per_s, block, bits = struct.unpack(order + "HHIIHH", fmt[:16])
    is_consistent = is_consistent and (block * 8, bytes_per_s) == (channels * bits, rate * block)
    is_consistent = is_consistent and _USUAL_RATES[0] <= rate <= _USUAL_RATES[1]
    is_extensible = tag == EXTENSIBLE
    if is_extensible and len(fmt) >= 26:
        (tag,) = struct.unpack(order + "H", fmt[24:26])
    if not channels or not rate:
        raise _damaged(f"{channels} channels at {rate} Hz")
    if tag in _UNCOMPRESSED:
        # a sample may have padding, such as 20 bits in 3 bytes: its size follows from the block's
        width = block // channels if block % channels == 0 and block // channels * 8 >= bits else (bits + 7) // 8
        bits, block = width * 8, width * channels
    if not block or (not bits and tag in _UNCOMPRESSED):
        raise _damaged("its samples have no size")
    available = length - data.start
    declared: int | None = data.size
    # size 0 of a stream, or a size that was never updated: more samples follow, not a chunk
    if available < data.size >= STREAMED or not is_end(file, data, order, length, int(_SLACK_S * rate * block)):
        declared = None
    size = available if declared is None else min(declared, available)
    is_consistent = is_consistent and order == "<" and declared == size and size % block == 0
    return WavFile(
        order=order,
        tag=tag,
        is_extensible=is_extensible,
        channels=channels,
        rate=rate,
        bits=bits,
        block=block,
        start=data.start,
        size=size,
        declared=declared,
        is_consistent=is_consistent and ends_well(file, data, length),
    )


def _damaged(what: str, file: str = "WAV file") -> AudioUnreadable:
    return AudioUnreadable(f"the {file} is damaged in its header: {what}")
