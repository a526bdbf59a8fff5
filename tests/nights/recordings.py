"""What the files of these tests hold: short recordings that any number can be made of, and what is no audio."""

from __future__ import annotations

import hashlib
import random
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

RATE = 8_000
LONG_RATE = 24_000
"""That of what is sent, so that the samples of a long recording go out as they are."""
LONG_SEEDS = 5
HEADER = 44
Kind = Literal["sound", "broken", "truncated"]


@dataclass(frozen=True)
class Content:
    """The bytes of a file and what they are."""

    data: bytes
    kind: Kind
    whole: str = ""
    """Of a beginning: what it is one of."""

    @property
    def name(self) -> str:
        return name_of(self.data)


@lru_cache(maxsize=256)
def name_of(data: bytes) -> str:
    """What the service calls a body: the first word of its answer."""
    return hashlib.sha256(data).hexdigest()[:16]


@lru_cache(maxsize=256)
def sound(seed: int) -> Content:
    """A WAV file of 40 to 60 ms that the service takes as it is."""
    samples = random.Random(seed).randbytes(2 * int((0.04 + 0.01 * (seed % 3)) * RATE))
    return Content(_wav(samples, RATE, channels=1), "sound")


@lru_cache(maxsize=LONG_SEEDS)
def long(seed: int) -> Content:
    """A WAV file of two channels and 2.6 to 5 s, long enough for several clips where these are short."""
    return Content(_wav(_both(seed).tobytes(), LONG_RATE, channels=2), "sound")


def place_of(body: bytes) -> tuple[str, str, int, int] | None:
    """Where the samples of a clip come from: (content, track, first sample, the one behind the last). It may begin with
    silence, of which the last sample may be the recording's own."""
    sent = body[HEADER:]
    if not sent or struct.unpack_from("<I", body, HEADER - 20) != (LONG_RATE,):
        return None
    silent = (len(sent) - len(sent.lstrip(b"\0"))) // 2 * 2
    for samples in dict.fromkeys((sent, sent[max(0, silent - 2) :], sent[silent:] or sent)):
        for seed in range(LONG_SEEDS):
            for track, all_ in _tracks(seed).items():
                place = all_.find(samples[:64])
                if place >= 0 and place % 2 == 0 and all_[place : place + len(samples)] == samples:
                    return long(seed).name, track, place // 2, (place + len(samples)) // 2
    return None


@lru_cache(maxsize=1)
def samples_of_long() -> dict[str, int]:
    """How many samples each channel of a long recording has, by its name."""
    return {long(seed).name: len(_both(seed)) for seed in range(LONG_SEEDS)}


@lru_cache(maxsize=LONG_SEEDS)
def _both(seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    """Two channels side by side, whose mean is a whole number."""
    rng = np.random.default_rng(seed)
    both = rng.integers(-20_000, 20_000, (int((2.6 + 0.6 * seed) * LONG_RATE), 2), dtype=np.int16)
    both[:, 1] += (both[:, 0] ^ both[:, 1]) & 1
    return both


@lru_cache(maxsize=LONG_SEEDS)
def _tracks(seed: int) -> dict[str, bytes]:
    both = _both(seed)
    mean = (both.sum(axis=1, dtype=np.int32) // 2).astype("<i2")
    return {"mix": mean.tobytes(), "0": both[:, 0].tobytes(), "1": both[:, 1].tobytes()}


def _wav(samples: bytes, rate: int, channels: int) -> bytes:
    block = 2 * channels
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, block * rate, block, 16)
    chunks = form + struct.pack("<4sI", b"data", len(samples)) + samples
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks


def broken(seed: int) -> Content:
    """What is no audio."""
    return Content((b"", b"<html>not found</html>", b"RIFF\x10\0\0\0WAVEfmt ")[seed % 3], "broken")


def truncated(whole: Content) -> Content:
    """A beginning of a recording, as a copy leaves it that was broken off."""
    return Content(whole.data[: HEADER + (len(whole.data) - HEADER) // 4 * 2], "truncated", whole.name)
