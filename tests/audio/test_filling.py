"""Where a price has units, pieces of long recordings fill them, and no word is cut for that."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio.cuts import cuts
from pipeline.audio.pieces import PieceLimits, count_pieces, expected_pieces
from pipeline.audio.upload import piece_limits
from pipeline.config.settings import AudioSettings
from pipeline.price import Price
from tests.audio.forms import RATE
from tests.audio.test_split import conversation, track

PRICE = Price(3, 15, 1.04)
LIMITS = piece_limits(AudioSettings(), PRICE)
SHORTER = piece_limits(AudioSettings(max_clip_s=60), PRICE)
Sound = npt.NDArray[np.floating]


def pieces_of(path: str, samples: int, limits: PieceLimits, start: int = 0) -> list[int]:
    edges = [start, *cuts(path, start, samples, limits), start + samples]
    pieces = [last - first for first, last in pairwise(edges)]
    assert all(0 < piece <= limits.longest for piece in pieces)
    assert len(pieces) == count_pieces(samples, PieceLimits(limits.longest)), "units make pieces no more"
    return pieces


def silence(tmp_path: Path, samples: int) -> str:
    path = tmp_path / "silence.pcm"
    path.touch()
    os.truncate(path, samples * 2)
    return str(path)


def credits_of(pieces: list[int], price: Price = PRICE) -> float:
    return sum(price.of_s(piece / RATE) for piece in pieces)


def estimated(samples: int, limits: PieceLimits, price: Price = PRICE) -> float:
    return sum(count * price.of_s(length / RATE) for count, length in expected_pieces(samples, limits))


def spoken(seconds: float, seed: int, word_s: tuple[float, float], gap_s: tuple[float, float]) -> Sound:
    """Words of noise with gaps between them."""
    rng = np.random.default_rng(seed)
    sound, place = rng.normal(0, 0.001, int(seconds * RATE)).astype(np.float32), 0
    while place < sound.size:
        word = sound[place : place + int(rng.uniform(*word_s) * RATE)]
        word += rng.normal(0, 0.1, word.size).astype(np.float32)
        place += word.size + int(rng.uniform(*gap_s) * RATE)
    return sound


MATERIAL = {
    "silence": lambda: np.zeros(2400 * RATE, dtype=np.float32),
    "noise": lambda: np.random.default_rng(1).normal(0, 0.1, 2400 * RATE).astype(np.float32),
    "tone": lambda: 0.3 * np.sin(np.arange(2400 * RATE, dtype=np.float32) * 0.05),
    "a word every second": lambda: spoken(2400, 1, (0.5, 0.5), (0.5, 0.5)),
    "sentences": lambda: spoken(2400, 2, (2, 6), (0.3, 1.2)),
    "words without a pause": lambda: spoken(2400, 3, (0.15, 0.6), (0.05, 0.3)),
    "speech": lambda: conversation(40, 0.003)[0][: 2400 * RATE],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MATERIAL)
def test_forty_minutes_cost_at_most_2_percent_more_than_their_length(name: str, tmp_path: Path) -> None:
    sound = MATERIAL[name]()
    cost = credits_of(pieces_of(track(tmp_path, sound), sound.size, LIMITS))
    assert cost <= 7_344
    assert estimated(sound.size, LIMITS) == pytest.approx(cost, rel=0.01)


def test_where_all_places_are_alike_units_are_filled(tmp_path: Path) -> None:
    path = silence(tmp_path, RATE * 400)
    assert credits_of(pieces_of(path, RATE * 400, LIMITS)) == 405 * 3
    first, _ = pieces_of(path, RATE * 400, LIMITS)
    assert 0.2 < 15 - (first / RATE + 1.04) % 15 < 0.3, "a little is left for another way to count"


def test_a_pause_beats_a_saving(tmp_path: Path) -> None:
    sound = np.random.default_rng(5).normal(0, 0.1, RATE * 400)
    sound[int(RATE * 215) : int(RATE * 215.6)] *= 0.01
    sound[int(RATE * 223) : int(RATE * 223.6)] *= 0.7  # a mere dip, right before the end of a unit
    (cut,) = cuts(track(tmp_path, sound), 0, RATE * 400, LIMITS)
    assert 215.2 < cut / RATE < 215.4


def test_cuts_keep_their_distance_from_words(tmp_path: Path) -> None:
    sound = spoken(200, 4, (2, 6), (0.6, 1.5))
    quiet = np.abs(sound) < 0.01
    for cut in cuts(track(tmp_path, sound), 0, sound.size, SHORTER):
        assert quiet[cut - RATE // 5 : cut + RATE // 5].mean() > 0.99


def test_short_pauses_that_are_full_of_noise_beat_a_saving(tmp_path: Path) -> None:
    sound = spoken(160, 10, (0.2, 0.6), (0.05, 0.3))
    is_word = np.abs(sound) > 0.01
    sound += np.random.default_rng(11).normal(0, 0.015, sound.size).astype(np.float32)
    for cut in cuts(track(tmp_path, sound), 0, sound.size, SHORTER):
        assert is_word[cut - RATE // 200 : cut + RATE // 200].mean() < 0.5, "cut in a word"


@pytest.mark.slow
def test_who_speaks_softly_is_not_taken_for_a_pause(tmp_path: Path) -> None:
    """Phrases of one speaker, and of one who is 20 dB softer; the noise is far below both."""
    rng = np.random.default_rng(0)
    sound, place = rng.normal(0, 0.001, 1200 * RATE).astype(np.float32), 0
    is_word = np.zeros(sound.size, dtype=bool)
    while place < sound.size:
        phrase = slice(place, place + int(rng.uniform(2, 8) * RATE))
        sound[phrase] += rng.normal(0, rng.choice([0.02, 0.2]), sound[phrase].size).astype(np.float32)
        is_word[phrase] = True
        place = phrase.stop + int(rng.uniform(0.3, 0.7) * RATE)
    for cut in cuts(track(tmp_path, sound), 0, sound.size, LIMITS):
        assert not is_word[cut], "cut in a word"


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), seconds=st.floats(61, 150), longest_gap_s=st.floats(0.5, 2))
def test_no_word_is_cut_and_little_is_wasted(
    tmp_path_factory: pytest.TempPathFactory, seed: int, seconds: float, longest_gap_s: float
) -> None:
    sound = spoken(seconds, seed, (0.3, 3), (0.3, longest_gap_s))
    path = track(tmp_path_factory.mktemp("track"), sound)
    pieces = pieces_of(path, sound.size, SHORTER)
    for cut in np.cumsum(pieces)[:-1]:
        assert np.abs(sound[cut - RATE // 20 : cut + RATE // 20]).max() < 0.01, "cut in a word"
    fewest = SHORTER.unit * np.ceil((sound.size + len(pieces) * SHORTER.beside) / SHORTER.unit)
    assert credits_of(pieces) <= (fewest + SHORTER.unit) / RATE * 3


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(0, 50_000), samples=st.integers(1, 150_000), longest=st.integers(1, 160_000),
    unit=st.floats(1, 400_000), beside=st.floats(0, 50_000),
)  # fmt: skip
def test_pieces_fit_whatever_the_unit(
    noisy: str, start: int, samples: int, longest: int, unit: float, beside: float
) -> None:
    limits = PieceLimits(max(longest, samples // 20, 1), unit, beside)
    pieces = pieces_of(noisy, samples, limits, start)
    expected = expected_pieces(samples, limits)
    assert sum(count for count, _ in expected) == len(pieces)
    assert sum(count * length for count, length in expected) == pytest.approx(samples)
    assert all(0 < length <= limits.longest for _, length in expected)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> str:
    rng = np.random.default_rng(3)
    samples = rng.normal(0, 0.1, 200_000) * np.repeat(rng.choice([0, 0.01, 1], 200), 1_000)
    return track(tmp_path_factory.mktemp("noisy"), samples)


@pytest.mark.parametrize(
    ("unit_s", "max_clip_s"), [(1 / 3, 300), (1, 300), (60, 300), (600, 300), (600, 3000), (15, 3000)]
)
def test_units_of_any_length_cost_no_more_than_even_pieces(unit_s: float, max_clip_s: float, tmp_path: Path) -> None:
    price = Price(3, unit_s, 1.04)
    limits = piece_limits(AudioSettings(max_clip_s=max_clip_s), price)
    samples = RATE * 4_000
    path = silence(tmp_path, samples)
    cost = credits_of(pieces_of(path, samples, limits), price)
    count = count_pieces(samples, limits)
    even = count * price.of_s(samples / count / RATE)
    assert cost <= even
    assert estimated(samples, limits, price) == pytest.approx(cost, abs=max(cost / 100, price.of_s(0))), (
        "1 %, or one unit"
    )


def test_lead_silence_is_billed_too(tmp_path: Path) -> None:
    limits = piece_limits(AudioSettings(lead_silence_s=0.5), PRICE)
    pieces = pieces_of(silence(tmp_path, RATE * 400), RATE * 400, limits)
    assert sum(PRICE.of_s(piece / RATE + 0.5) for piece in pieces) == 405 * 3
