"""A long recording is split so that it costs hardly more than its length, and `check` says what it costs."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio.cuts import cuts
from pipeline.audio.upload import piece_limits
from pipeline.config.settings import AudioSettings
from pipeline.price import Price
from pipeline.server.fingerprint import fingerprint_words
from tests.batch import batch, rows_of, write_samples
from tests.servers import start_server

RATE = 24_000
UNITS = ("--set", "price.unit_s=15", "--set", "price.overhead_s=1.04")


def record(path: Path, seconds: int) -> bytes:
    """Writes sentences of noise with pauses at the rate of decoded audio, so that what is cut out of it is known."""
    rng = np.random.default_rng(seconds)
    sound = np.resize(rng.integers(-3_000, 3_000, RATE * 30, dtype=np.int16), seconds * RATE)
    place = 0.0
    while place < seconds:
        place += rng.uniform(2, 6)
        pause = slice(int(place * RATE), int((place + rng.uniform(0.3, 1.2)) * RATE))
        sound[pause] //= 1_000
        place = pause.stop / RATE
    samples = sound.astype("<i2").tobytes()
    write_samples(path, samples, RATE)
    return samples


def said(samples: bytes, raw: Path) -> str:
    """The right transcript of a recording that is cut where its pieces fill units."""
    raw.write_bytes(samples)
    last = len(samples) // 2
    edges = [0, *cuts(str(raw), 0, last, piece_limits(AudioSettings(), Price(3, 15, 1.04))), last]
    return " ".join(
        word for begin, end in pairwise(edges) for word, _, _ in fingerprint_words(samples[2 * begin : 2 * end], RATE)
    )


@pytest.mark.parametrize(
    ("seconds", "upload"),
    [(400, "auto"), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((400, "opus"), (2400, "auto")))],
)
def test_a_long_recording_costs_little_more_than_its_length(seconds: int, upload: str, tmp_path: Path) -> None:
    folder, out = tmp_path / "audio", tmp_path / "out"
    samples = record(folder / "long.wav", seconds)
    more = (*UNITS, "--set", f"audio.upload={upload}")
    with start_server(unit_s=15, overhead_s=1.04) as server:
        checked = json.loads(batch("check", folder, "--out", out, "--json", *more, server=server).stdout)
        done = batch("run", folder, "--out", out, *more, server=server)
        assert done.exit == 0, done.stderr
        charged = server.stats()["credits_charged"]
    assert charged <= (405 if seconds == 400 else 2448) * 3, "the fewest units; or 2 % more than the length"
    assert done.figures["credits"] == pytest.approx(charged)
    assert checked["credits"] == pytest.approx(charged, rel=0.01)
    assert checked["estimated_credits"] == checked["credits"], "only decoding shows the pauses"
    if upload == "auto":
        assert rows_of(out) == {"long.wav": said(samples, tmp_path / "raw")}
