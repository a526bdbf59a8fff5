"""Looks for the price that explains what the account paid in several runs. Pure: no I/O.

A price is a rate, a unit that is rounded up and an overhead of each request (`pipeline/price.py`). For a given rate and
unit, what requests cost only rises with the overhead, so that a search by halves finds the overheads that fit a run.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import msgspec

from pipeline.price import Price
from pipeline.run.paid_run import PaidRun

FEWEST = 3
"""Runs that a price has to fit for it to be named, …"""
FEWEST_OF_OTHER_RATES = 5
"""… so many where its rate is neither documented nor configured: somebody else who spends a steady share looks like
that; and …"""
MOST_FIT = 5 / 6
"""… the share of all that are compared that it fits."""
MATTERS = 0.01
"""A price is named where the configured one is wrong by at least this share of what was paid."""
UNITS_S = (60.0, 30.0, 20.0, 15.0, 12.0, 10.0, 6.0, 5.0, 2.0, 1.0)
SEEN_UNIT_S = 15.0
"""The unit that accounts were seen to pay for."""
OVERHEAD_STEP_S, OVERHEAD_STEPS = 0.01, 201
"""Overheads are looked for from 0 to 2 s."""
EXACT = 0.01
"""Credits by which a price is wrong in a run that is right but for rounding in our own sums; or the credits of
`PaidRun.rounded_s`, if that is more."""
MUCH_CLOSER = 0.1
"""Where the error of another price is less than this part of a simple one's, the simple one fits by chance."""


def best_price(runs: Sequence[PaidRun], rates: Sequence[float]) -> tuple[Price, int] | None:
    """(the price that fits most runs, and how many it fits). None where all fit too few, or where those that fit alike
    differ in what others would cost."""
    least = max(FEWEST, MOST_FIT * len(runs))
    simple, others = _fitting(_simple(rates), runs, least), _fitting(_others(runs, rates), runs, least)
    # what fits to the credit at a known rate is believed before what fits about as well; the simplest before others
    known = [found for found in (*simple, *others) if found[0].credits_per_s in rates]
    exact = [found for found in known if _is_exact(found[0], runs)]
    is_chance = simple and any(_error(one, runs) < MUCH_CLOSER * _error(simple[0][0], runs) for one, _ in others)
    if simple and not exact and not is_chance:
        return simple[0]
    if exact and min(_error(price, runs) for price, _ in exact) >= EXACT:
        # the rounded lengths may tell as little of other rates
        exact += [found for found in others if found not in known and _is_exact(found[0], runs)]
    alike = exact or sorted(others, key=lambda found: _error(found[0], runs))
    if _differ(runs, [price for price, _ in alike]):
        # a few requests, or the same ones again and again, fit several units
        seen = (found for found in exact if found[0].unit_s == SEEN_UNIT_S and _error(found[0], runs) < EXACT)
        return next(seen, None)
    is_sure = bool(alike) and (alike[0][0].credits_per_s in rates or len(runs) >= FEWEST_OF_OTHER_RATES)
    return alike[0] if is_sure else None


def _fitting(prices: Iterator[Price], runs: Sequence[PaidRun], least: float) -> list[tuple[Price, int]]:
    """Those that fit most runs, with how many they fit: at least so many."""
    fits = {price: sum(run.fits(price) for run in runs) for price in prices}
    most = max(fits.values(), default=0)
    return [(price, most) for price in fits if fits[price] == most >= least]


def _error(price: Price, runs: Sequence[PaidRun]) -> float:
    """Credits by which the price is wrong in a run, on average."""
    return sum(abs(run.error(price)) for run in runs) / len(runs)


def _is_exact(price: Price, runs: Sequence[PaidRun]) -> bool:
    """Whether the price is right to the credit, as far as the lengths tell."""
    rounded_s = sum(run.rounded_s for run in runs) / len(runs)
    return _error(price, runs) < max(EXACT, rounded_s * price.credits_per_s)


def _simple(rates: Sequence[float]) -> Iterator[Price]:
    """Prices of known rates, without an overhead."""
    for rate in rates:
        yield from (Price(rate, unit_s) for unit_s in (0.0, *UNITS_S, _whole_credit_s(rate)))


def _others(runs: Sequence[PaidRun], rates: Sequence[float]) -> Iterator[Price]:
    """Prices of known rates with an overhead; and without one those of the rate, to a hundredth, at which everything
    together costs what was paid. (With both unknown some price fits any three runs.)"""
    paid = sum(run.paid for run in runs)
    for unit_s in (0.0, *UNITS_S):
        for rate in rates:
            if (overhead_s := _overhead_s(runs, rate, unit_s)) is not None:
                yield Price(rate, unit_s, overhead_s)
        billed_s = sum(run.billed_s(unit_s, 0.0) for run in runs)
        # of a few samples each no length is left to divide by
        rate = round(paid / billed_s, 2) if billed_s else 0.0
        if rate > 0:
            yield Price(rate, unit_s)


def _differ(runs: Sequence[PaidRun], prices: Sequence[Price]) -> bool:
    """Whether other requests would cost more or less by one of the prices than by another."""
    for one in _other_runs(runs) if prices else ():
        costs = [one.error(price) for price in prices]
        if max(costs) - min(costs) > MATTERS * max(costs):
            return True
    return False


def _other_runs(runs: Sequence[PaidRun]) -> list[PaidRun]:
    """The shorter and the longer half of the lengths, each counted once; and requests that are half as long, because
    several units fit requests that are all of one length."""
    lengths = sorted(set().union(*(run.lengths.tolist() for run in runs)))
    middle = len(lengths) // 2
    others = (lengths[:middle], lengths[middle:], [length // 2 for length in lengths])
    return [PaidRun(dict.fromkeys(some, 1), 0.0) for some in others if some]


def _whole_credit_s(rate: float) -> float:
    """Seconds that cost one credit, with a few digits; rounded up, so that whole credits fill no further unit."""
    return round(1 / rate + 5e-7, 6)


def _overhead_s(runs: Sequence[PaidRun], rate: float, unit_s: float) -> float | None:
    """The overhead with the least error among those that fit most runs, the roundest of several; None where only 0
    fits any."""
    ranges = [found for run in runs if (found := _overheads(run, rate, unit_s)) is not None]
    if not ranges:
        return None
    covered = {edge: sum(low <= edge <= high for low, high in ranges) for both in ranges for edge in both}
    low = min(covered, key=lambda edge: (-covered[edge], edge))
    high = min(high for first, high in ranges if first <= low <= high)

    def rank(steps: int) -> tuple[float, int, int]:
        error = round(_error(Price(rate, unit_s, steps * OVERHEAD_STEP_S), runs), 3)
        return error, sum(steps % round_ != 0 for round_ in (100, 50, 10, 5)), abs(2 * steps - low - high)

    return min(range(low, high + 1), key=rank) * OVERHEAD_STEP_S or None


def _overheads(run: PaidRun, rate: float, unit_s: float) -> tuple[int, int] | None:
    """The least and the greatest overhead that fit the run, in steps of `OVERHEAD_STEP_S`."""

    def error(steps: int) -> float:
        return run.error(Price(rate, unit_s, steps * OVERHEAD_STEP_S))

    steps = range(OVERHEAD_STEPS)
    low = bisect_left(steps, -run.tolerance, key=error)
    high = bisect_right(steps, run.tolerance, key=error) - 1
    return (low, high) if low <= high else None


def overheads_alike(price: Price, runs: Sequence[PaidRun]) -> tuple[float, float]:
    """The least and the greatest overhead, in seconds, with which the price fits as well."""
    prices = {step: msgspec.structs.replace(price, overhead_s=step * OVERHEAD_STEP_S) for step in range(OVERHEAD_STEPS)}
    error = _error(price, runs)
    alike = [step * OVERHEAD_STEP_S for step, one in prices.items() if abs(_error(one, runs) - error) < EXACT]
    return alike[0], alike[-1]
