"""A request's body as sound: 16-bit mono samples at the rate they were sent with.

Pure functions on bytes. The plain cases need no library; numpy is imported for stereo and soundfile for Opus only.
"""

from __future__ import annotations

import msgspec

from pipeline.gradium import wire
from pipeline.server.refusal import policy
from pipeline.server.wav import parse_wav

SAMPLE_BYTES = 2
BAD_AUDIO = "bad_audio"


class Sound(msgspec.Struct, frozen=True):
    """Signed 16-bit little-endian mono samples and their rate in hertz."""

    samples: bytes
    rate: int

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_BYTES / self.rate


def decode(body: bytes, input_format: str) -> Sound:
    """Returns the sound in `body`, which is in one of `wire.INPUT_FORMATS`.

    Raises RefusalError (1008) when the body is no such audio.
    """
    if input_format == "wav":
        wav = parse_wav(body)
        return Sound(mix_down(to_16_bits(wav.data, wav.bits), wav.channels), wav.rate)
    if input_format in wire.PCM_RATES:
        return Sound(body[: len(body) // SAMPLE_BYTES * SAMPLE_BYTES], wire.PCM_RATES[input_format])
    if input_format in wire.COMPANDED:
        return Sound(expand(body, wire.COMPANDED[input_format]), 8_000)
    return decode_opus(body)


def to_16_bits(data: bytes, bits: int) -> bytes:
    """Returns little-endian integer samples cut to their upper 16 bits."""
    width = bits // 8
    if width == SAMPLE_BYTES:
        return data
    samples = bytearray(len(data) // width * SAMPLE_BYTES)
    samples[0::2] = data[width - 2 :: width]
    samples[1::2] = data[width - 1 :: width]
    return bytes(samples)


def mix_down(samples: bytes, channels: int) -> bytes:
    """Returns the mean of interleaved channels. What the service does with them is not known."""
    if channels == 1:
        return samples
    import numpy as np

    frames = np.frombuffer(samples, dtype="<i2").reshape(-1, channels)
    mixed: bytes = (frames.sum(axis=1, dtype=np.int32) // channels).astype("<i2").tobytes()
    return mixed


def expand(body: bytes, law: str) -> bytes:
    """Returns G.711 bytes (`ULAW` or `ALAW`) as 16-bit samples."""
    sample_of = ulaw_sample if law == "ULAW" else alaw_sample
    table = b"".join(sample_of(code).to_bytes(SAMPLE_BYTES, "little", signed=True) for code in range(256))
    samples = bytearray(len(body) * SAMPLE_BYTES)
    samples[0::2] = body.translate(table[0::2])
    samples[1::2] = body.translate(table[1::2])
    return bytes(samples)


def ulaw_sample(code: int) -> int:
    """Returns the sample that a mu-law byte stands for (ITU-T G.711)."""
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -magnitude if code & 0x80 else magnitude


def alaw_sample(code: int) -> int:
    """Returns the sample that an A-law byte stands for (ITU-T G.711)."""
    code ^= 0x55
    exponent = code >> 4 & 7
    magnitude = (code & 0x0F) << 4 | 8
    if exponent:
        magnitude = magnitude + 0x100 << exponent - 1
    return magnitude if code & 0x80 else -magnitude


def decode_opus(body: bytes) -> Sound:
    """Returns the sound of an Ogg file that holds Opus; Ogg with Vorbis or FLAC inside is refused."""
    # the identification header is the first packet of the first page, and nothing else is on that page
    if not body.startswith(b"OggS") or b"OpusHead" not in body[:128]:
        raise policy(BAD_AUDIO, "invalid audio: not an Ogg stream with Opus in it")
    from io import BytesIO

    import soundfile

    try:
        with soundfile.SoundFile(BytesIO(body)) as file:
            samples = bytes(file.buffer_read(dtype="int16"))
            return Sound(mix_down(samples, file.channels), file.samplerate)
    except soundfile.LibsndfileError as error:
        raise policy(BAD_AUDIO, f"invalid audio: {error.error_string}") from error
