"""Recordings of beeps that say where they are, and a recognizer that hears them: for times to the millisecond.

A word is a beep of one of sixteen pitches. `Beeps` is a recognizer of the local server as a user would plug one in; it
hears a beep wherever it lies in what was sent, at any sample rate and through any codec.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.gradium.wire import JsonConfig
from pipeline.server.audio import Sound
from pipeline.server.options import ServerOptions
from pipeline.server.recognizer import RecognizedWord

RECOGNIZER = "tests.beeps:Beeps"
WORDS = (
    "able", "baker", "cast", "dog", "easy", "fox", "george", "how", "item", "jig", "king", "love", "mike", "nan",
    "oboe", "peter",
)  # fmt: skip
LOWEST_HZ, STEP_HZ = 500, 150
BEEP_S = 0.2
FRAME_S = 0.01
AUDIBLE = 0.02

Samples = npt.NDArray[np.float32]


def beeps(said: Iterable[tuple[str, float]], seconds: float, rate: int) -> Samples:
    """Sound of `seconds` with each (word, start in seconds) as a beep of BEEP_S, at a quarter of full scale."""
    sound = np.zeros(round(seconds * rate), np.float32)
    for word, start_s in said:
        hertz = LOWEST_HZ + STEP_HZ * WORDS.index(word)
        times = np.arange(round(BEEP_S * rate)) / rate
        first = round(start_s * rate)
        sound[first : first + len(times)] += (0.25 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)
    return sound


def talk(seconds: float, *, seed: int, pause_s: float = 1.0) -> list[tuple[str, float]]:
    """Groups of three to six beeps 0.1 s apart, as phrases are, with pauses of at least `pause_s` between them."""
    random = np.random.default_rng(seed)
    said: list[tuple[str, float]] = []
    now = 0.3
    while True:
        phrase = int(random.integers(3, 7))
        if now + phrase * (BEEP_S + 0.1) > seconds - 0.2:
            return said
        for _ in range(phrase):
            said.append((WORDS[int(random.integers(len(WORDS)))], round(now, 3)))
            now += BEEP_S + 0.1
        now += pause_s + float(random.random()) * pause_s


def write(path: Path, *channels: Samples, rate: int = 24_000, subtype: str = "PCM_16") -> Path:
    """Writes a file of the kind that its name says, with these channels."""
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.stack(channels, axis=1)
    with soundfile.SoundFile(path, "w", rate, len(channels), subtype) as file:
        for first in range(0, len(sound), rate):  # libsndfile's Vorbis encoder overflows the stack on more at once
            file.write(sound[first : first + rate])
    return path


def heard(samples: Samples, rate: int) -> list[tuple[str, float, float]]:
    """The beeps in a sound: (word, start_s, stop_s)."""
    step = max(1, round(FRAME_S * rate))
    frames = samples[: len(samples) // step * step].reshape(-1, step)
    loud = np.abs(frames).max(axis=1, initial=0.0) > AUDIBLE
    edges = np.flatnonzero(np.diff(np.concatenate(([False], loud, [False])).astype(np.int8)))
    found = []
    for first, last in edges.reshape(-1, 2).tolist():
        if last - first < 0.5 * BEEP_S / FRAME_S:
            continue
        burst = samples[first * step : last * step]
        spectrum = np.abs(np.fft.rfft(burst * np.hanning(len(burst))))
        hertz = int(spectrum.argmax()) * rate / len(burst)
        place = round((hertz - LOWEST_HZ) / STEP_HZ)
        if 0 <= place < len(WORDS):
            found.append((WORDS[place], first * step / rate, last * step / rate))
    return found


class Beeps:
    """The recognizer."""

    def __init__(self, options: ServerOptions) -> None:
        del options

    async def start(self) -> None:
        """Nothing to warm up."""

    async def recognize(self, sound: Sound, config: JsonConfig) -> list[RecognizedWord]:
        """Returns the beeps."""
        del config
        samples = np.frombuffer(sound.samples, "<i2").astype(np.float32) / 32768
        return [RecognizedWord(*word) for word in heard(samples, sound.rate)]

    async def close(self) -> None:
        """Nothing to end."""


def texts(said: Sequence[tuple[str, float]]) -> str:
    return " ".join(word for word, _ in said)
