"""The recognizer `pocketsphinx`: real words with real times from a small English model, a decoder per process.

Touches pocketsphinx, numpy and soxr, which come with the extra `[local]`, in the worker processes only.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from pipeline.errors import LocalServerError
from pipeline.gradium.wire import JsonConfig
from pipeline.server.audio import Sound
from pipeline.server.options import ServerOptions
from pipeline.server.recognizer import RecognizedWord, missing_extra
from pipeline.workers import Workers

RATE = 16_000
FRAMES_PER_S = 100
SILENCE_RMS = 10.0
"""Of 32,768. Below this nothing is spoken, and the decoder is not asked: it finds a word even in digital silence."""
NOT_WORDS = ("<", "[", "+")
"""How the decoder's own marks begin: <s> </s> <sil> [NOISE] ++COUGH++."""


def sphinx(options: ServerOptions) -> Sphinx:
    """Returns the recognizer; raises LocalServerError when a library is missing."""
    for module in ("numpy", "pocketsphinx", "soxr"):
        if importlib.util.find_spec(module) is None:
            raise LocalServerError(missing_extra("pocketsphinx", module))
    return Sphinx(options.workers)


class Sphinx:
    """Gives each sound to one of several decoder processes."""

    def __init__(self, workers: int) -> None:
        self._workers: Workers[Sound, list[RecognizedWord]] = Workers(make_decoder, workers)

    async def start(self) -> None:
        """Starts the decoders."""
        await self._workers.start()

    async def recognize(self, sound: Sound, config: JsonConfig) -> list[RecognizedWord]:
        """Returns the words. The model knows English only and none of the settings."""
        del config
        return await self._workers.call(sound)

    async def close(self) -> None:
        """Ends the decoders."""
        await self._workers.close()


def make_decoder() -> Callable[[Sound], list[RecognizedWord]]:
    """Returns a function from sound to words, with the model loaded."""
    import numpy as np
    import soxr
    from pocketsphinx import Decoder

    # maxhmmpf bounds the search: without it noise takes many times real time
    decoder = Decoder(samprate=RATE, maxhmmpf=3000, loglevel="FATAL")

    def decode(sound: Sound) -> list[RecognizedWord]:
        samples = np.frombuffer(sound.samples, dtype="<i2")
        if not samples.size or np.sqrt(np.mean(np.square(samples, dtype=np.float64))) < SILENCE_RMS:
            return []
        if sound.rate != RATE:
            samples = soxr.resample(samples, sound.rate, RATE)
        if not samples.size:
            return []
        # without this the last utterance's noise estimate changes this one's words
        decoder.reinit_feat()
        decoder.start_utt()
        decoder.process_raw(samples.tobytes(), full_utt=True)
        decoder.end_utt()
        return [
            RecognizedWord(plain(piece.word), piece.start_frame / FRAMES_PER_S, (piece.end_frame + 1) / FRAMES_PER_S)
            for piece in decoder.seg() or ()
            if not piece.word.startswith(NOT_WORDS)
        ]

    return decode


def plain(word: str) -> str:
    """Returns the word without the number of its pronunciation: `read(2)` is `read`."""
    return word.partition("(")[0]
