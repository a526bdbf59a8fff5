"""A request's body as sound: 16-bit mono samples at the rate they were sent with.

Pure functions on bytes. libsndfile (soundfile) decodes what is not 16-bit PCM already. The header of a WAV is read
here, because libsndfile takes far more than the service documents (float, 20 bits, WAVE_FORMAT_EXTENSIBLE): a client
that relies on that is to fail here first.
"""

from __future__ import annotations

import math
import struct
from io import BytesIO
from typing import Any

import msgspec

from pipeline.gradium import wire
from pipeline.server.refusal import RefusalError, policy

SAMPLE_BYTES = 2
G711_RATE = 8_000
INTEGER_PCM = 1
FORMAT_NAMES = {3: "float", 6: "A-law", 7: "mu-law", 0xFFFE: "WAVE_FORMAT_EXTENSIBLE"}
FORMAT_CHUNK_BYTES = 16
MAX_RATE = 384_000
BAD_AUDIO = "bad_audio"


class Sound(msgspec.Struct, frozen=True):
    """Signed 16-bit little-endian mono samples and their rate in hertz."""

    samples: bytes
    rate: int

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_BYTES / self.rate


def decode(body: bytes, input_format: str, most_s: float = math.inf) -> Sound:
    """Returns the sound in `body`, which is in one of `wire.INPUT_FORMATS`.

    Raises RefusalError (1008) when the body is no such audio, and when it is compressed and longer than `most_s`: some
    100 KB may inflate to gigabytes.
    """
    if input_format == "wav":
        return _decode_wav(body)
    if input_format in wire.PCM_RATES:
        return Sound(body[: len(body) // SAMPLE_BYTES * SAMPLE_BYTES], wire.PCM_RATES[input_format])
    if input_format in wire.COMPANDED:
        return _decode(body, format="RAW", subtype=wire.COMPANDED[input_format], channels=1, samplerate=G711_RATE)
    # the identification header is the first packet of the first page, and nothing else is on that page
    if not body.startswith(b"OggS") or b"OpusHead" not in body[:128]:
        raise bad_audio("audio: not an Ogg stream with Opus in it")
    return _decode(body, most_s)


def _decode_wav(body: bytes) -> Sound:
    """Takes AudioFormat 1 with 16, 24 or 32 bits only.

    A data chunk that declares more than there is (streamed files say 0 or 0xFFFFFFFF) reaches to the end of the body.
    """
    if len(body) < 12 or body[:4] != b"RIFF" or body[8:12] != b"WAVE":
        raise bad_audio("WAV: no RIFF/WAVE header")
    layout: tuple[int, int, int] | None = None
    offset = 12
    while offset + 8 <= len(body):
        name, size = struct.unpack_from("<4sI", body, offset)
        offset += 8
        if name == b"fmt ":
            layout = wav_layout(body[offset : offset + size])
        elif name == b"data":
            if layout is None:
                raise bad_audio("WAV: the data comes before its format")
            channels, rate, bits = layout
            rest = len(body) - offset
            size = min(size or rest, rest)
            data = body[offset : offset + size - size % (channels * bits // 8)]
            return decode_pcm(data, channels, rate, bits)
        offset += size + (size & 1)  # chunks are padded to even length
    raise bad_audio("WAV: no data chunk")


def decode_pcm(data: bytes, channels: int, rate: int, bits: int) -> Sound:
    """Returns the sound of whole frames of integer PCM in one of `wire.WAV_BITS`."""
    if bits == 16:
        return Sound(_mix_down(data, channels), rate)
    return _decode(data, format="RAW", subtype=f"PCM_{bits}", endian="LITTLE", channels=channels, samplerate=rate)


def wav_layout(chunk: bytes) -> tuple[int, int, int]:
    """Returns (channels, rate, bits) of a `fmt ` chunk."""
    if len(chunk) < FORMAT_CHUNK_BYTES:
        raise bad_audio("WAV: the format chunk is cut short")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if kind != INTEGER_PCM:
        name = FORMAT_NAMES.get(kind, "unknown")
        raise bad_audio(f"WAV: unsupported AudioFormat {kind} ({name}), only 1 (PCM) is supported")
    if bits not in wire.WAV_BITS:
        raise bad_audio(f"WAV: unsupported {bits} bits per sample, only 16, 24 and 32 are supported")
    if not channels or not 0 < rate <= MAX_RATE:
        raise bad_audio(f"WAV: {channels} channels at {rate} Hz")
    return channels, rate, bits


def check_length(audio_s: float, most_s: float) -> None:
    """Raises RefusalError (1008) for more audio than a request may have."""
    if audio_s > most_s:
        raise policy("too_long", f"audio of {audio_s:.1f} s is longer than the limit of {most_s:g} s")


def _decode(data: bytes, most_s: float = math.inf, **layout: Any) -> Sound:
    import soundfile

    try:
        with soundfile.SoundFile(BytesIO(data), **layout) as file:
            check_length(file.frames / file.samplerate, most_s)
            samples = bytes(file.buffer_read(dtype="int16"))
            return Sound(_mix_down(samples, file.channels), file.samplerate)
    except soundfile.LibsndfileError as error:
        raise bad_audio(f"audio: {error.error_string}") from error


def _mix_down(samples: bytes, channels: int) -> bytes:
    """Returns the mean of interleaved channels. What the service does with them is not known."""
    if channels == 1:
        return samples
    import numpy as np

    frames = np.frombuffer(samples, dtype="<i2").reshape(-1, channels)
    mixed: bytes = (frames.sum(axis=1, dtype=np.int32) // channels).astype("<i2").tobytes()
    return mixed


def bad_audio(reason: str) -> RefusalError:
    """Returns the refusal (1008) of audio that is none."""
    return policy(BAD_AUDIO, f"invalid {reason}")
