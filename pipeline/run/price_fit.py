"""Which price fits what the account paid in the newest runs, where it is not the configured one, and the sentence that
says so. Pure: no I/O."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

import msgspec

from pipeline.bill import Bill, unpacked
from pipeline.built import built
from pipeline.price import Price
from pipeline.profile import GRADIUM
from pipeline.run.paid_run import PaidRun
from pipeline.run.price_search import FEWEST, MATTERS, MOST_FIT, best_price, overheads_alike

RUNS = 20
"""The newest runs that are compared."""
PRICE_KEYS = Price.__struct_fields__


@built
class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """A price that fits what the account paid better than the configured one."""

    price: Price
    fits: int
    """Runs that it fits, of …"""
    compared: int
    """… those that can be compared."""
    configured_fits: int
    """Runs that the configured price fits."""
    sentence: str


def best_fit(bills: Sequence[Bill]) -> Fit | None:
    """The price that fits the newest bills, which come last; of the newest one's model.

    None where the configured price fits, where fewer than `FEWEST` runs can be compared, or where no price fits nearly
    all of them.
    """
    if not bills:
        return None
    model, configured = bills[-1].model, bills[-1].price
    told = [
        (bill.lengths, bill.step_s, bill.paid) for bill in bills if bill.model == model and bill.paid and not bill.maybe
    ]
    if len(told) < FEWEST:
        return None
    runs = [*islice(_comparable(reversed(told)), RUNS)][::-1]
    if len(runs) < FEWEST:
        return None
    rates = dict.fromkeys((GRADIUM.credits_per_s(model), configured.credits_per_s))
    counts = [len(runs), *(some for some in (5, FEWEST) if some < len(runs))]
    for count in counts:  # a price may have changed: then the configured one fits those before
        older, newest = runs[:-count], runs[-count:]
        configured_fits = sum(run.fits(configured) for run in newest)
        fits_before = sum(run.fits(configured) for run in older) >= MOST_FIT * len(older)
        if not fits_before or not _matters(configured, newest):
            continue
        found = best_price(newest, [*rates])
        if found is not None and found[1] > configured_fits:
            price, fits = found
            sentence = f"{_sentence(price, configured)} {fits} of {count} runs{_other_overheads(price, newest)}"
            return Fit(price=price, fits=fits, compared=count, configured_fits=configured_fits, sentence=sentence)
    return None


def _comparable(told: Iterable[tuple[bytes, float, float]]) -> Iterator[PaidRun]:
    """The runs of bills: the lengths of their requests, packed, the step in which they are counted, and what was
    paid."""
    for lengths, step_s, paid in told:
        with suppress(zlib.error, msgspec.DecodeError):  # a damaged one is left out
            if requests := unpacked(lengths):
                yield PaidRun(requests, paid, step_s)


def _matters(configured: Price, runs: Sequence[PaidRun]) -> bool:
    return sum(abs(run.error(configured)) for run in runs) >= MATTERS * sum(run.paid for run in runs)


def _sentence(price: Price, configured: Price) -> str:
    """What the account paid, and which settings say so: each one that differs from the configured price."""
    rate, unit_s, overhead_s = (f"{value:.6g}" for value in msgspec.structs.astuple(price))
    credits_ = f"{price.unit_s * price.credits_per_s:.4g}"
    if credits_ == "1":
        paid = "whole credits for each request, rounded up"
    elif price.unit_s and price.overhead_s:
        paid = f"{credits_} credits for each {unit_s} s begun of a request's audio and {overhead_s} s more"
    elif price.unit_s:
        paid = f"{credits_} credits for each request of up to {unit_s} s, and for each further {unit_s} s begun"
    else:
        more = f", and for {overhead_s} s more of each request" if price.overhead_s else ""
        paid = f"{rate} credits for each second of audio{more}"
    names = [name for name in PRICE_KEYS if getattr(price, name) != getattr(configured, name)]
    settings = " and ".join(f"price.{name} = {getattr(price, name):.6g}" for name in names)
    return f"the account paid {paid}; {settings} {'fits' if len(names) == 1 else 'fit'}"


def _other_overheads(price: Price, runs: Sequence[PaidRun]) -> str:
    """The other overheads that fit as well, in words."""
    least_s, greatest_s = overheads_alike(price, runs)
    several = price.unit_s and least_s < greatest_s
    return f" (overheads of {least_s:.4g} to {greatest_s:.4g} s fit as well)" if several else ""
