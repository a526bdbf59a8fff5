"""Reads a WAV body the way the documentation describes it: AudioFormat 1 with 16, 24 or 32 bits, nothing else.

Pure functions on bytes. Stricter than most readers, so that a client that relies on luck fails here first.
"""

from __future__ import annotations

import struct

import msgspec

from pipeline.gradium import wire
from pipeline.server.refusal import RefusalError, policy

INTEGER_PCM = 1
FORMAT_NAMES = {3: "float", 6: "A-law", 7: "mu-law", 0xFFFE: "WAVE_FORMAT_EXTENSIBLE"}
FORMAT_CHUNK_BYTES = 16
MAX_RATE = 384_000


class Wav(msgspec.Struct, frozen=True, kw_only=True):
    """The samples of a WAV file as they lie in it, and how to read them."""

    channels: int
    rate: int
    bits: int
    data: bytes
    """Whole frames only."""


def parse_wav(body: bytes) -> Wav:
    """Returns the samples of a RIFF/WAVE body.

    A data chunk that declares more than there is (streamed files say 0 or 0xFFFFFFFF) reaches to the end of the body.
    Raises RefusalError (1008) when the body is no WAV, or one the service does not list.
    """
    if len(body) < 12 or body[:4] != b"RIFF" or body[8:12] != b"WAVE":
        raise bad_wav("no RIFF/WAVE header")
    layout: tuple[int, int, int] | None = None
    offset = 12
    while offset + 8 <= len(body):
        name, size = struct.unpack_from("<4sI", body, offset)
        offset += 8
        if name == b"fmt ":
            layout = parse_format(body[offset : offset + size])
        elif name == b"data":
            if layout is None:
                raise bad_wav("the data comes before its format")
            channels, rate, bits = layout
            rest = len(body) - offset
            if size == 0 or size > rest:
                size = rest
            frame_bytes = channels * bits // 8
            end = offset + size // frame_bytes * frame_bytes
            return Wav(channels=channels, rate=rate, bits=bits, data=body[offset:end])
        offset += size + (size & 1)  # chunks are padded to even length
    raise bad_wav("no data chunk")


def parse_format(chunk: bytes) -> tuple[int, int, int]:
    """Returns (channels, rate, bits) of a `fmt ` chunk; raises RefusalError for what is not listed."""
    if len(chunk) < FORMAT_CHUNK_BYTES:
        raise bad_wav("the format chunk is cut short")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if kind != INTEGER_PCM:
        name = FORMAT_NAMES.get(kind, "unknown")
        raise bad_wav(f"unsupported AudioFormat {kind} ({name}), only 1 (PCM) is supported")
    if bits not in wire.WAV_BITS:
        raise bad_wav(f"unsupported {bits} bits per sample, only 16, 24 and 32 are supported")
    if not channels or not 0 < rate <= MAX_RATE:
        raise bad_wav(f"{channels} channels at {rate} Hz")
    return channels, rate, bits


def bad_wav(reason: str) -> RefusalError:
    """Returns the refusal of a WAV."""
    return policy("bad_audio", f"invalid WAV: {reason}")
