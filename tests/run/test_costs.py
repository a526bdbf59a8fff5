"""What priced utterances cost together, and what a limit and a budget let through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.audio.upload import Estimate
from pipeline.price import Price
from pipeline.run.cost_table import CostTable
from pipeline.run.costs import Bounds, Costs, Fitting, Kind, Priced, Problem


def sent(place: int, *pieces: tuple[int, float], key: str | None = None, **more: Any) -> Priced:
    seconds = sum(count * seconds for count, seconds in pieces)
    takes = Estimate(pieces=pieces, audio_s=seconds, **more)
    return Priced(place=place, id=f"u{place}", kind=Kind.SENT, key=key, takes=takes)


BY_SECONDS, UNITS = Price(3.0), Price(3.0, 15.0, 1.04)


def costs(priced: Sequence[Priced], price: Price = BY_SECONDS, **bounds: Any) -> Costs:
    with CostTable(price) as table:
        table.keep(priced)
        return table.sum_up(Bounds(**bounds))


def test_nothing_costs_nothing() -> None:
    assert costs([]) == Costs()
    assert costs([], budget=3.0).fitting == Fitting()


def test_each_kind_is_counted_and_only_what_is_sent_costs() -> None:
    found = costs(
        [
            Priced(place=5, id="e", kind=Kind.FAILS, error="AudioEmpty", message="no samples"),
            sent(1, (2, 10.0), answered=3),
            sent(2, (1, 20.0), is_guess=True),
            Priced(place=3, id="c", kind=Kind.UNCHANGED),
            Priced(place=4, id="d", kind=Kind.WAITS, runs=2),
            Priced(place=6, id="f", kind=Kind.COPY),
        ]
    )
    assert (found.within_limit, found.unchanged, found.copies, found.answered_clips) == (6, 1, 1, 3)
    assert (found.requests, found.sent_s, found.credits, found.fitting_credits) == (3, 40.0, 120.0, 120.0)
    assert (found.estimated_credits, found.estimated_share) == (60.0, 0.5)
    assert (found.postponed, found.postponed_runs) == (1, 2)
    assert found.unsendable == {"AudioEmpty": 1}
    assert found.problems == [Problem("e", "AudioEmpty", "no samples")]
    assert found.fitting is None


def test_what_depends_on_pauses_is_an_estimate() -> None:
    found = costs([sent(1, (2, 14.0), depends_on_pauses=True), sent(2, (1, 20.0))], UNITS)
    assert (found.credits, found.estimated_credits) == (270.0, 180.0)


def test_the_same_audio_is_sent_once_for_the_first_of_its_rows() -> None:
    found = costs([sent(3, (1, 5.0), key="k"), sent(1, (1, 5.0), key="k"), sent(2, (1, 5.0), key="other")])
    assert (found.copies, found.requests, found.credits) == (1, 2, 30.0)


def test_what_does_not_fit_is_passed_over_with_its_copies_and_what_fits_behind_it_is_sent() -> None:
    priced = [sent(1, (1, 10.0)), sent(2, (1, 50.0), key="k"), sent(3, (1, 50.0), key="k"), sent(4, (1, 5.0))]
    found = costs(priced, budget=45.0, most=45.0)
    assert found.fitting == Fitting(utterances=2, requests=2, credits=45.0, passed_over=2)
    assert (found.above_budget, found.above_credits, found.above_ids) == (2, (150.0, 150.0), ["u2", "u3"])
    assert found.credits == 195.0
    assert costs(priced, budget=45.0, most=300.0).above_budget == 0, "another month has room for it"


def test_of_a_long_recording_as_many_requests_are_sent_as_fit() -> None:
    found = costs([sent(1, (4, 10.0))], budget=70.0)
    assert found.fitting == Fitting(utterances=0, requests=2, credits=60.0, passed_over=1)


def test_what_is_passed_over_as_a_whole_takes_no_place_of_the_limit() -> None:
    priced = [sent(1, (1, 50.0)), sent(2, (2, 10.0)), sent(3, (1, 1.0)), sent(4, (1, 1.0))]
    found = costs(priced, budget=40.0, limit=2)
    assert found.fitting == Fitting(utterances=1, requests=2, credits=33.0, passed_over=2)
    assert (found.within_limit, found.requests, found.credits) == (3, 3, 210.0), "without the budget: the first two"


def test_each_request_has_its_own_price() -> None:
    priced = [sent(1, (3, 5.0)), sent(2, (1, 13.96), (2, 14.0), is_guess=True), sent(3, (1, 0.1))]
    found = costs(priced, UNITS)
    assert (found.requests, found.credits, found.estimated_credits) == (7, 405.0, 225.0)
    assert found.estimated_share == round(225 / 405, 4)
    # three units for the first, one for the second, which needs two more for each of its others; none is left for 3
    found = costs(priced, UNITS, budget=224.9, most=89.0)
    assert found.fitting == Fitting(utterances=1, requests=4, credits=180.0, passed_over=2)
    assert (found.above_budget, found.above_credits, found.above_ids) == (1, (90.0, 90.0), ["u2"])
    found = costs(priced, UNITS, budget=225.0)
    assert found.fitting == Fitting(utterances=2, requests=5, credits=225.0, passed_over=1)


def test_nothing_fits_a_budget_below_one_unit() -> None:
    found = costs([sent(1, (1, 0.1)), sent(2, (2, 5.0))], UNITS, budget=44.9, most=44.9)
    assert found.fitting == Fitting(passed_over=2)
    assert (found.above_budget, found.above_credits) == (2, (45.0, 45.0))
