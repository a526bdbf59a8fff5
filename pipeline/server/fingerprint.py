"""A recognizer whose text identifies the samples that arrived: one word per second, made from a hash of its samples.

Deterministic, without libraries or processes, more than a thousand answers a second on one CPU: for tests and load.
It recognizes no speech.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import product
from typing import TYPE_CHECKING

from pipeline.gradium.wire import JsonConfig
from pipeline.server.audio import SAMPLE_BYTES, Sound
from pipeline.server.options import ServerOptions
from pipeline.server.recognizer import RecognizedWord

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer  # `collections.abc.Buffer` comes with Python 3.12

# 64 syllables, 6 bits each; the ñ puts a two-byte character into about every fourth word, so that UTF-8 is exercised
SYLLABLES = tuple(map("".join, product("bdfgjklmnprstvzñ", "aiou")))


def fingerprint_words(samples: ReadableBuffer, rate: int) -> list[tuple[str, float, float]]:
    """Returns (text, start_s, stop_s) for each second of `samples` that is not digital silence.

    `samples` are 16-bit mono samples as they came out of the file (bytes or an int16 array), `rate` in hertz.
    """
    view = memoryview(samples).cast("B")
    step = rate * SAMPLE_BYTES
    silence = bytes(step)
    words = []
    for second, offset in enumerate(range(0, len(view), step)):
        block = view[offset : offset + step]
        if block != silence[: len(block)]:
            words.append((spell(block), float(second), second + len(block) / step))
    return words


def spell(block: ReadableBuffer) -> str:
    """Returns the pseudo-word of these bytes; two blocks share one by chance once in 16 million."""
    # SHA-256, because processors compute it in hardware
    first, second, third, fourth = sha256(block).digest()[:4]
    return SYLLABLES[first & 63] + SYLLABLES[second & 63] + SYLLABLES[third & 63] + SYLLABLES[fourth & 63]


class Fingerprint:
    """The recognizer `fingerprint`."""

    def __init__(self, options: ServerOptions) -> None:
        del options  # it has nothing to set; latency is the server's own matter

    async def start(self) -> None:
        """Nothing to warm up."""

    async def recognize(self, sound: Sound, config: JsonConfig) -> list[RecognizedWord]:
        """Returns the fingerprint of the sound, whatever the settings."""
        del config
        return [RecognizedWord(*word) for word in fingerprint_words(sound.samples, sound.rate)]

    async def close(self) -> None:
        """Nothing to end."""
