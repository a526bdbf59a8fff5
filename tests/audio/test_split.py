"""Cuts lie in pauses, near even lengths, and never make a piece too long."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio.cuts import cuts
from pipeline.audio.pieces import PieceLimits
from tests.audio.forms import RATE, SAMPLE

Track = npt.NDArray[np.int16]


def track(tmp_path: Path, samples: npt.NDArray[np.floating]) -> str:
    path = tmp_path / "a.pcm"
    (np.clip(samples, -1, 1) * 32_767).astype("<i2").tofile(path)
    return str(path)


def check_cover(found: list[int], start: int, samples: int, longest: int) -> None:
    edges = [start, *found, start + samples]
    pieces = np.diff(edges)
    assert (pieces > 0).all()
    assert (pieces <= longest).all()


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> str:
    rng = np.random.default_rng(3)
    samples = rng.normal(0, 0.1, 200_000) * np.repeat(rng.choice([0, 0.01, 1], 200), 1_000)
    return track(tmp_path_factory.mktemp("noise"), samples)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(start=st.integers(0, 50_000), samples=st.integers(1, 150_000), longest=st.integers(1, 160_000))
def test_pieces_cover_the_span_and_fit(noise: str, start: int, samples: int, longest: int) -> None:
    longest = max(longest, samples // 40)  # thousands of cuts only take time
    if longest == 0:
        return
    found = cuts(noise, start, samples, PieceLimits(longest))
    check_cover(found, start, samples, longest)
    assert found == cuts(noise, start, samples, PieceLimits(longest))
    assert bool(found) == (samples > longest)


def test_what_fits_is_not_cut(tmp_path: Path) -> None:
    assert cuts(track(tmp_path, np.zeros(1_000)), 0, 1_000, PieceLimits(1_000)) == []


def test_silence_is_cut_evenly(tmp_path: Path) -> None:
    found = cuts(track(tmp_path, np.zeros(RATE * 600)), 0, RATE * 600, PieceLimits(RATE * 300))
    assert found == pytest.approx([RATE * 200, RATE * 400], abs=RATE // 50)


def test_long_pause_is_cut_in_its_middle(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for floor in (0.0, 0.002):
        sound = rng.normal(0, 0.1, RATE * 400)
        sound[RATE * 195 : RATE * 205] = rng.normal(0, 1, RATE * 10) * floor
        (cut,) = cuts(track(tmp_path, sound), 0, RATE * 400, PieceLimits(RATE * 300))
        assert cut / RATE == pytest.approx(200, abs=0.3)


def test_short_pause_is_found_and_hit(tmp_path: Path) -> None:
    sound = np.random.default_rng(5).normal(0, 0.1, RATE * 400)
    sound[int(RATE * 212.3) : int(RATE * 212.45)] = 0
    (cut,) = cuts(track(tmp_path, sound), 0, RATE * 400, PieceLimits(RATE * 300))
    assert 212.33 < cut / RATE < 212.42


def conversation(minutes: float, noise_level: float) -> tuple[npt.NDArray[np.floating], list[tuple[float, float]]]:
    """Sentences with pauses of 0.35 to 0.9 s over noise, and where the pauses are, in seconds."""
    rng = np.random.default_rng(6)
    spoken = []
    for path in sorted(SAMPLE.iterdir()):
        samples, rate = soundfile.read(path, dtype="float32")
        samples = np.asarray(soxr.resample(samples, rate, RATE))
        loud = np.flatnonzero(np.abs(samples) > 0.02)
        spoken.append(samples[loud[0] : loud[-1]])
    parts, pauses, length = [], [], 0
    while length < minutes * 60 * RATE:
        sentence = spoken[rng.integers(len(spoken))]
        pause = int(rng.uniform(0.35, 0.9) * RATE)
        parts += [sentence, np.zeros(pause, dtype=np.float32)]
        pauses.append(((length + sentence.size) / RATE, (length + sentence.size + pause) / RATE))
        length += sentence.size + pause
    whole = np.concatenate(parts)
    return whole + rng.normal(0, noise_level, whole.size).astype(np.float32), pauses


@pytest.mark.parametrize("noise_level", [0.0, 0.003, 0.01])
def test_speech_is_cut_between_sentences(noise_level: float, tmp_path: Path) -> None:
    sound, pauses = conversation(6, noise_level)
    path = track(tmp_path, sound)
    # many short pieces: many cuts to look at
    found = cuts(path, 0, sound.size, PieceLimits(20 * RATE))
    check_cover(found, 0, sound.size, 20 * RATE)
    assert len(found) > 20
    for cut in found:
        assert any(start < cut / RATE < stop for start, stop in pauses), f"cut in speech at {cut / RATE:.2f} s"


@pytest.mark.slow
def test_cutting_is_fast_and_reads_little(tmp_path: Path) -> None:
    sound, _ = conversation(20, 0.003)
    path = track(tmp_path, sound)
    started = time.process_time()
    assert cuts(path, 0, sound.size, PieceLimits(300 * RATE))
    assert sound.size / RATE / (time.process_time() - started) > 5_000  # 40,000 on a quiet machine


def test_a_span_is_cut_by_positions_of_the_track(tmp_path: Path) -> None:
    sound = np.random.default_rng(7).normal(0, 0.1, RATE * 100)
    sound[RATE * 70 : RATE * 71] = 0
    (cut,) = cuts(track(tmp_path, sound), RATE * 50, RATE * 40, PieceLimits(RATE * 30))
    assert cut / RATE == pytest.approx(70.5, abs=0.1)
