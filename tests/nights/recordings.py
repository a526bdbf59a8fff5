"""What the files of these tests hold: short recordings that any number can be made of, and what is no audio."""

from __future__ import annotations

import hashlib
import random
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

RATE = 8_000
HEADER = 44
Kind = Literal["sound", "broken", "truncated"]


@dataclass(frozen=True)
class Content:
    """The bytes of a file and what they are."""

    data: bytes
    kind: Kind

    @property
    def name(self) -> str:
        return name_of(self.data)

    @property
    def duration_s(self) -> float:
        return (len(self.data) - HEADER) / 2 / RATE


def name_of(data: bytes) -> str:
    """What the service calls a body: the first word of its answer."""
    return hashlib.sha256(data).hexdigest()[:16]


@lru_cache(maxsize=256)
def sound(seed: int) -> Content:
    """A WAV file of 40 to 60 ms that the service takes as it is."""
    samples = random.Random(seed).randbytes(2 * int((0.04 + 0.01 * (seed % 3)) * RATE))
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    chunks = form + struct.pack("<4sI", b"data", len(samples)) + samples
    return Content(struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks, "sound")


def broken(seed: int) -> Content:
    """What is no audio."""
    return Content((b"", b"<html>not found</html>", b"RIFF\x10\0\0\0WAVEfmt ")[seed % 3], "broken")


def truncated(whole: Content) -> Content:
    """A beginning of a recording, as a copy leaves it that was broken off."""
    return Content(whole.data[: HEADER + (len(whole.data) - HEADER) // 4 * 2], "truncated")
