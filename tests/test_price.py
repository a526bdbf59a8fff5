"""What a request costs, beside what the local server, which has its own formula, takes for the same audio."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.audio.probe import probe
from pipeline.config import Settings
from pipeline.price import Price
from pipeline.server.account import Account
from pipeline.server.audio import decode
from pipeline.server.options import ServerOptions
from tests.audio.forms import sentence
from tests.audio.lies import ogg

RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000, 191_999)
UNITS = st.sampled_from((0.0, 0.08, 0.1, 0.5, 1.0, 6.0, 10.0, 15.0, 60.0))
OVERHEADS = st.sampled_from((0.0, 0.08, 0.5, 1.0, 1.04, 1.2, 15.0, 16.04))


def charged(seconds: float, unit_s: float, overhead_s: float) -> float:
    account = Account(ServerOptions(unit_s=unit_s, overhead_s=overhead_s))
    account.charge(seconds, 3.0)
    return account.charged


@st.composite
def lengths(draw: st.DrawFn, unit_s: float, overhead_s: float) -> float:
    """Of whole samples, most of them within a few samples of a full unit."""
    rate = draw(st.sampled_from(RATES))
    full_s = draw(st.integers(1, 40)) * (unit_s or 1.0) - overhead_s
    near = max(1, round(full_s * rate) + draw(st.integers(-3, 3)))
    return draw(st.sampled_from((near, draw(st.integers(1, 300 * rate))))) / rate


@given(st.data(), UNITS, OVERHEADS)
def test_it_is_what_the_server_takes_and_never_less(data: st.DataObject, unit_s: float, overhead_s: float) -> None:
    seconds = data.draw(lengths(unit_s, overhead_s))
    price, taken = Price(3.0, unit_s, overhead_s).of_s(seconds), charged(seconds, unit_s, overhead_s)
    assert price >= taken - 1e-9
    if not 0 < (seconds + overhead_s) % (unit_s or 1.0) < 1e-4:  # there the server forgives a little
        assert price == pytest.approx(taken)


@pytest.mark.parametrize("skipped", [0, 1, 312, 3_840, 9_600])
def test_an_ogg_opus_that_is_sent_as_it_is_is_priced_by_the_length_that_the_server_counts(
    tmp_path: Path, skipped: int
) -> None:
    body = ogg(lambda told, last: told, skipped=skipped)(sentence())
    (tmp_path / "a.opus").write_bytes(body)
    found = probe(str(tmp_path / "a.opus"))
    assert found.content_type == "audio/ogg"
    assert found.duration_s == pytest.approx(decode(body, "opus").duration_s, abs=1e-9)


@pytest.mark.parametrize(
    ("seconds", "credits_"),
    [(0.0, 45), (5.0, 45), (13.96, 45), (13.96 + 1 / 191_999, 90), (28.96, 90), (30.0, 135), (298.96, 900)],
)
def test_units_of_15_s_begin_anew_behind_the_last_sample_that_fills_one(seconds: float, credits_: float) -> None:
    assert Price(3.0, 15.0, 1.04).of_s(seconds) == credits_


@given(st.floats(0.5, 5_000), UNITS, OVERHEADS)
@example(45.0, 15.0, 1.04)
@example(44.999, 15.0, 1.04)
@example(3.0, 0.5, 1.04)
def test_the_longest_audio_for_so_many_credits_costs_no_more_and_any_longer_one_does(
    credits_: float, unit_s: float, overhead_s: float
) -> None:
    price = Price(3.0, unit_s, overhead_s)
    longest_s = price.longest_s(credits_)
    if longest_s >= 0:
        assert price.of_s(longest_s) <= credits_ + 1e-6
    assert price.of_s(max(longest_s, 0.0) + 1e-4) > credits_ or longest_s >= 0
    assert price.of_s(max(longest_s + 1e-4, 0.0)) > credits_


def test_many_requests_cost_about_what_their_lengths_in_all_say() -> None:
    price = Price(3.0, 15.0, 1.04)
    assert price.about(5_000.0, 1_000) == 45_000, "no request costs less than a unit"
    seconds = [n * 0.06 for n in range(1_000)]
    assert price.about(sum(seconds), len(seconds)) == pytest.approx(sum(map(price.of_s, seconds)), rel=0.01)
    assert Price(3.0).about(5_000.0, 1_000) == 15_000


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "3 per second that is sent"),
        ({"unit_s": 15}, "3 per second in units of 15 s"),
        ({"overhead_s": 1.04}, "3 per second that is sent, 1.04 s beside the audio of each request"),
        (
            {"credits_per_s": 4.25, "unit_s": 15, "overhead_s": 1.04},
            "4.25 per second in units of 15 s, 1.04 s beside the audio of each request",
        ),
    ],
)
def test_it_says_how_it_is_made(settings: dict[str, float], told: str) -> None:
    assert str(Settings.model_validate({"price": settings}).request_price) == told
