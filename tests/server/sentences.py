"""A recognizer of sentences with punctuation, which follow from the samples: three words a second of the sound."""

from __future__ import annotations

import random

from pipeline.gradium.wire import JsonConfig
from pipeline.server.audio import Sound
from pipeline.server.options import ServerOptions
from pipeline.server.recognizer import RecognizedWord

RECOGNIZER = f"{__name__}:Sentences"
WORDS = ["Well", "the", "été", "isn't", "over", "10", "%", "(yet", "but", "R&D", "x-rays", "cost", "€", "Dr."]
MARKS = ["", "", "", "", ",", ".", "?", "!", "…", "...", ";"]
WORD_S = 1 / 3


def sentence(samples: bytes, duration_s: float) -> list[str]:
    """The words that are recognized in these samples."""
    chance = random.Random(samples)
    return [chance.choice(WORDS) + chance.choice(MARKS) for _ in range(int(duration_s / WORD_S))]


class Sentences:
    """Says the sentence of the samples."""

    def __init__(self, options: ServerOptions) -> None:
        del options

    async def start(self) -> None:
        """Nothing to warm up."""

    async def recognize(self, sound: Sound, config: JsonConfig) -> list[RecognizedWord]:
        """Returns its words at an even pace."""
        del config
        words = sentence(bytes(sound.samples), sound.duration_s)
        return [RecognizedWord(word, at * WORD_S, at * WORD_S + 0.3) for at, word in enumerate(words)]

    async def close(self) -> None:
        """Nothing to end."""
