"""From what accounts paid in several runs the price is worked out; and nothing is claimed that they do not tell."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bill import LENGTH_S, Bill, LengthCounts, packed
from pipeline.price import Price
from pipeline.run.price_fit import Fit, best_fit
from pipeline.run.price_search import UNITS_S

DOCUMENTED = Price(3.0)
Lengths = Sequence[float]


def bill(lengths: Lengths, paid: float | None, configured: Price = DOCUMENTED, **more: object) -> Bill:
    counted = Counter(round(one / LENGTH_S) for one in lengths)
    about = {"run_id": "r", "model": "default", "maybe": 0.0, **more}
    ledger = sum(map(configured.of_s, lengths))
    return Bill(price=configured, lengths=packed(counted), ledger=ledger, paid=paid, **about)  # type: ignore[arg-type]


def bills(runs: Sequence[Lengths], true: Price, configured: Price = DOCUMENTED) -> list[Bill]:
    return [bill(lengths, sum(map(true.of_s, lengths)), configured) for lengths in runs]


def drawn(seed: int, runs: int = 3, requests: int = 20, least: float = 0.3, most: float = 40.0) -> list[list[float]]:
    """Runs of requests of any lengths."""
    chance = random.Random(seed)
    return [[round(chance.uniform(least, most), 3) for _ in range(requests)] for _ in range(runs)]


def predicts(fit: Fit, true: Price, fresh: Sequence[Lengths]) -> bool:
    """Within 3 % of what fresh runs cost: lengths near the edge of a unit are few."""
    pays = sum(true.of_s(one) for lengths in fresh for one in lengths)
    told = sum(fit.price.of_s(one) for lengths in fresh for one in lengths)
    return math.isclose(told, pays, rel_tol=0.03)


def found(runs: Sequence[Bill]) -> Fit:
    fit = best_fit(runs)
    assert fit is not None
    return fit


@pytest.mark.parametrize(
    ("true", "configured", "sentence"),
    [
        (
            Price(3.0, 15.0),
            DOCUMENTED,
            "the account paid 45 credits for each request of up to 15 s, and for each further 15 s begun; "
            "price.unit_s = 15 fits 5 of 5 runs (overheads of 0 to 0.3 s fit as well)",
        ),
        (
            Price(4.0),
            DOCUMENTED,
            "the account paid 4 credits for each second of audio; price.credits_per_s = 4 fits 5 of 5 runs",
        ),
        (
            Price(3.0, 0.0, 0.5),
            DOCUMENTED,
            "the account paid 3 credits for each second of audio, and for 0.5 s more of each request; "
            "price.overhead_s = 0.5 fits 5 of 5 runs",
        ),
        (
            DOCUMENTED,
            Price(3.0, 15.0, 1.04),
            "the account paid 3 credits for each second of audio; price.unit_s = 0 and price.overhead_s = 0 fit 5 of 5 "
            "runs",
        ),
        (
            Price(2.5, 10.0),
            DOCUMENTED,
            "the account paid 25 credits for each request of up to 10 s, and for each further 10 s begun; "
            "price.credits_per_s = 2.5 and price.unit_s = 10 fit 5 of 5 runs (overheads of 0 to 0.01 s fit as well)",
        ),
    ],
)
def test_it_is_said_what_to_configure(true: Price, configured: Price, sentence: str) -> None:
    fit = found(bills(drawn(1, 5), true, configured))
    assert (fit.price, fit.fits, fit.compared) == (true, 5, 5)
    assert fit.configured_fits < 5
    assert fit.sentence == sentence


def test_a_rate_that_nobody_documents_takes_more_runs() -> None:
    assert best_fit(bills(drawn(1, 4), Price(2.5))) is None
    assert found(bills(drawn(1, 5), Price(2.5))).price == Price(2.5)


def test_whole_credits_are_recognized() -> None:
    runs = drawn(2, most=6.0)
    paid = [sum(math.ceil(one * 3 - 1e-9) for one in lengths) for lengths in runs]
    fit = found([bill(lengths, credits_) for lengths, credits_ in zip(runs, paid, strict=True)])
    assert fit.sentence == (
        "the account paid whole credits for each request, rounded up; price.unit_s = 0.333334 fits 3 of 3 runs"
    )
    assert all(
        fit.price.of_s(seconds) == pytest.approx(credits_, rel=1e-5) for seconds, credits_ in [(1, 3), (300, 900)]
    )


def test_the_probes_of_one_user_are_explained() -> None:
    """30 s cost 135 credits, three clips of 5 s together 135: protocol.md."""
    fit = found([bill([30.0], 135.0), bill([5.0] * 3, 135.0), bill([30.0, 5.0], 180.0)])
    assert fit.price.unit_s == 15.0
    assert 0 < fit.price.overhead_s <= 2
    assert [fit.price.of_s(one) for one in (30, 5)] == [135, 45]


@given(
    unit_s=st.sampled_from([0.0, *UNITS_S]),
    overhead_s=st.integers(0, 200).map(lambda steps: steps / 100),
    rate=st.sampled_from([3.0, 3.0, 4.0, 2.5, 1.87]),
    requests=st.integers(1, 200),
    most=st.sampled_from([6.0, 40.0, 300.0]),
    in_whole_credits=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_what_is_named_predicts_other_runs(
    unit_s: float, overhead_s: float, rate: float, requests: int, most: float, in_whole_credits: bool, seed: int
) -> None:
    true = Price(rate, unit_s, overhead_s)
    runs = drawn(seed, 4, requests, most=most)
    evidence = bills(runs, true)
    if in_whole_credits:
        evidence = [bill(one, float(round(done.paid or 0))) for one, done in zip(runs, evidence, strict=True)]
    fit = best_fit(evidence)
    paid = sum(one.paid or 0 for one in evidence)
    is_off = abs(sum(one.ledger for one in evidence) - paid) >= 0.01 * paid
    if rate == 3.0 and unit_s >= 5 and requests >= 20 and not in_whole_credits:
        assert fit is not None or not is_off
    if fit is not None and requests >= 20:
        assert predicts(fit, true, drawn(seed + 1, 4, 200, most=most))


@given(
    noise=st.lists(st.floats(0.02, 0.5), min_size=5, max_size=5, unique_by=lambda one: round(one, 2)),
    true=st.sampled_from([DOCUMENTED, Price(3.0, 15.0, 1.04)]),
    requests=st.integers(5, 100),
    seed=st.integers(0, 10**6),
)
def test_beside_another_user_nothing_false_is_named(noise: list[float], true: Price, requests: int, seed: int) -> None:
    runs = drawn(seed, 5, requests)
    paid = [sum(map(true.of_s, one)) * (1 + share) for one, share in zip(runs, noise, strict=True)]
    fit = best_fit([bill(one, credits_) for one, credits_ in zip(runs, paid, strict=True)])
    assert fit is None or predicts(fit, true, drawn(seed + 1))


def test_what_fits_to_the_credit_is_believed_whatever_was_configured() -> None:
    """Twelve requests of 405.67 s for 1,620 credits are 4 a second to 0.2 %, and units of 15 s to the credit."""
    true, configured = Price(3.0, 15.0, 1.04), Price(4.0, 15.0)
    lengths = [3.0, 14.2, 13.97, 17.5, 22.4, 28.98, 33.1, 41.7, 47.3, 46.9, 66.6, 70.02]
    fit = found(bills([lengths] * 3, true, configured))
    assert (fit.price.credits_per_s, fit.price.unit_s) == (3.0, 15.0)
    assert sum(map(fit.price.of_s, lengths)) == sum(map(true.of_s, lengths)) == 1620


@pytest.mark.parametrize("true", [Price(3.0, 15.0, 1.04), Price(3.0, 12.0, 1.5), Price(3.2)])
def test_of_large_runs_rounded_lengths_hide_no_unit(true: Price) -> None:
    chance, evidence = random.Random(4), []
    for _ in range(3):
        lengths = [chance.randint(8_000, 320_000) / 16_000 for _ in range(10_000)]
        counted = LengthCounts()
        for one in lengths:
            counted.add(one)
        assert counted.step_s == 0.001
        paid = sum(map(true.of_s, lengths))
        kept = bill([], paid)
        evidence.append(msgspec.structs.replace(kept, lengths=packed(counted.requests), step_s=counted.step_s))
    fit = best_fit(evidence)
    assert fit is None if not true.unit_s else fit is not None and fit.price == true


def test_no_unit_is_named_that_fits_a_rate_by_chance() -> None:
    """Units of 20 s are to 0.2 % what a rate of 3.2 costs where recordings are of 150 s on average."""
    assert best_fit(bills(drawn(8, 3, 5_000, least=0.5, most=300.0), Price(3.2))) is None


def test_a_configured_price_that_fits_is_not_spoken_of() -> None:
    price = Price(3.0, 15.0, 1.04)
    assert best_fit(bills(drawn(3), price, price)) is None
    assert best_fit(bills(drawn(3), DOCUMENTED)) is None
    assert best_fit([]) is None


def test_a_difference_that_does_not_matter_is_not_spoken_of() -> None:
    assert best_fit(bills(drawn(3, most=300.0), Price(3.01))) is None


@pytest.mark.parametrize(
    "left_out",
    [
        lambda one: bill([], 0.0),
        lambda one: bill([], 7.0),
        lambda one: bill([5.0], None),
        lambda one: bill([5.0], 45.0, maybe=15.0),
        lambda one: msgspec.structs.replace(one, lengths=b"damaged"),
    ],
    ids=["nothing sent", "somebody else's", "not known", "maybe billed", "damaged"],
)
def test_fewer_than_three_comparable_runs_tell_nothing(left_out: Callable[[Bill], Bill]) -> None:
    three = bills(drawn(4), Price(3.0, 15.0))
    assert best_fit(three[:2]) is None
    assert best_fit([*three[:2], left_out(three[2])]) is None
    assert found([three[0], left_out(three[0]), *three[1:]]).compared == 3


def test_runs_of_a_few_samples_are_compared_without_a_length_to_divide_by() -> None:
    assert found([bill([0.0001], 45.0)] * 3).price == Price(3.0, 15.0)
    assert best_fit([bill([0.0001], 100.0)] * 3) is None


@pytest.mark.parametrize("true", [Price(3.0, 10.0, 1.0), Price(3.2, 7.0), Price(2.5, 60.0)])
def test_requests_that_are_all_of_one_length_tell_no_unit_and_no_rate(true: Price) -> None:
    assert best_fit(bills([[10.0] * count for count in (3, 7, 5, 1, 20, 2)], true)) is None


def test_runs_of_another_model_are_not_compared() -> None:
    other = [bill([9.0], 36.0, Price(4.0), model="stt-translate")] * 3
    assert best_fit([*other, *bills(drawn(5), DOCUMENTED)]) is None
    assert found([*other, *bills(drawn(5), Price(3.0, 15.0))]).compared == 3


def test_a_run_that_somebody_else_spent_in_does_not_hide_the_price() -> None:
    six = bills(drawn(6, 6), Price(3.0, 15.0, 1.0))
    six[2] = bill(drawn(6, 6)[2], 1e4)
    fit = found(six)
    assert (fit.price, fit.fits, fit.compared) == (Price(3.0, 15.0, 1.0), 5, 6)


def test_a_price_that_has_changed_is_found_by_the_newest_runs() -> None:
    runs = drawn(7, 12)
    fit = found([*bills(runs[:9], DOCUMENTED), *bills(runs[9:], Price(3.0, 15.0))])
    assert (fit.price, fit.fits, fit.compared) == (Price(3.0, 15.0), 3, 3)
