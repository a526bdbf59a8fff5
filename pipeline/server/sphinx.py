"""The recognizer `pocketsphinx`: real words with real times from a small English model, a decoder per process.

Loads pocketsphinx, which comes with the extra `[local]`, in the worker processes only.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from pipeline.errors import LocalServerError
from pipeline.gradium.wire import JsonConfig
from pipeline.server.audio import Sound
from pipeline.server.options import ServerOptions
from pipeline.server.recognizer import RecognizedWord
from pipeline.workers import Workers

RATE = 16_000
FRAMES_PER_S = 100
SILENCE_RMS = 10.0
"""Of 32,768. Below this nothing is spoken, and the decoder is not asked: it finds a word even in digital silence."""
NOT_WORDS = ("<", "[", "+")
"""How the decoder's own marks begin: <s> </s> <sil> [NOISE] ++COUGH++."""


class Sphinx:
    """Gives each sound to one of several decoder processes."""

    def __init__(self, options: ServerOptions) -> None:
        """Raises LocalServerError when pocketsphinx is not installed."""
        if importlib.util.find_spec("pocketsphinx") is None:
            # gradium-batch itself is in no registry, so that its extra cannot be named to pip
            raise LocalServerError(
                "The recognizer 'pocketsphinx' needs pocketsphinx, which is not installed: pip install pocketsphinx "
                "(all that the extra [local] adds is pocketsphinx)."
            )
        self._workers: Workers[Sound, list[RecognizedWord]] = Workers(make_decoder, options.workers)

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
            RecognizedWord(
                piece.word.partition("(")[0],  # `read(2)` is the second pronunciation of `read`
                piece.start_frame / FRAMES_PER_S,
                (piece.end_frame + 1) / FRAMES_PER_S,
            )
            for piece in decoder.seg() or ()
            if not piece.word.startswith(NOT_WORDS)
        ]

    return decode
