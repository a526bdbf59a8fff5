"""Audio for requests, made on the spot: seeded noise, so that each body is its own and its fingerprint is known."""

from __future__ import annotations

import hashlib
import io
import random
import struct

import numpy as np
import soundfile

from pipeline.server.fingerprint import fingerprint_words

RATE = 16_000
ENGLISH = "?json_config=%7B%22language%22%3A%22en%22%7D"
"""The query of a plain request: the server wants a language."""
HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


def noise(seed: str = "", seconds: float = 3.0, rate: int = RATE) -> bytes:
    """Returns 16-bit mono samples."""
    return random.Random(seed).randbytes(round(seconds * rate) * 2)


def wav(
    data: bytes,
    *,
    rate: int = RATE,
    bits: int = 16,
    channels: int = 1,
    kind: int = 1,
    declared: int | None = None,
) -> bytes:
    """Returns a WAV with the plain 44-byte header, which may lie about the size of its data."""
    frame = channels * bits // 8
    size = len(data) if declared is None else declared
    return (
        HEADER.pack(
            b"RIFF",
            (36 + size) & 0xFFFFFFFF,
            b"WAVE",
            b"fmt ",
            16,
            kind,
            channels,
            rate,
            rate * frame,
            frame,
            bits,
            b"data",
            size,
        )
        + data
    )


def encoded(samples: bytes, file_format: str, subtype: str, rate: int = RATE, channels: int = 1) -> bytes:
    """Returns 16-bit samples in a file of libsndfile's making."""
    file = io.BytesIO()
    frames = np.frombuffer(samples, dtype="<i2").reshape(-1, channels)
    soundfile.write(file, frames, rate, format=file_format, subtype=subtype)
    return file.getvalue()


def texts(samples: bytes, rate: int = RATE) -> list[str]:
    """Returns the words by which the fingerprint tells these samples."""
    return [text for text, _, _ in fingerprint_words(samples, rate)]


def sha256(body: bytes) -> str:
    """Returns the digest by which the server knows a body."""
    return hashlib.sha256(body).hexdigest()
