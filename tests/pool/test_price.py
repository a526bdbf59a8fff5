"""A budget is kept to the credit by the account's figure, whatever comes back: units, 32 in flight, virtual time."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import AttemptError
from pipeline.exchange import Answer, Request
from pipeline.price import Price
from pipeline.server.account import Account
from pipeline.server.options import ServerOptions
from tests.pool.test_every_run_ends import NEVER_PASSING, OK, names_of, night

LENGTHS = st.sampled_from((0.1, 5.0, 13.96, 13.96 + 1 / 24_000, 14.0, 28.96, 28.97, 100.0, 298.96, 299.0))
FAULTS = ("1011", "503", "stream cut", "timeout", "empty 200", "429", "limit after words")


@given(
    lengths=st.lists(LENGTHS, min_size=1, max_size=50),
    price=st.builds(
        Price, st.sampled_from((3.0, 4.0, 3.1)), st.sampled_from((0.0, 1.0, 15.0)), st.sampled_from((0.0, 1.04))
    ),
    budget=st.one_of(st.integers(1, 3_000), st.integers(1, 60).map(lambda units: units * 45)),
    faults=st.dictionaries(st.integers(0, 49), st.sampled_from(FAULTS), max_size=20),
    seed=st.integers(0, 99),
)
def test_the_account_never_pays_more_than_the_budget(
    lengths: list[float], price: Price, budget: int, faults: dict[int, str], seed: int
) -> None:
    random.seed(seed)
    names = names_of(len(lengths), "clip")
    seconds = dict(zip(names, lengths, strict=True))
    faulty = {names[number]: fault for number, fault in faults.items() if number < len(names)}
    account = Account(ServerOptions(unit_s=price.unit_s, overhead_s=price.overhead_s))

    def plan(clip: Request, at_s: float, before: int) -> Answer | AttemptError:
        came = NEVER_PASSING[faulty[clip.id]]() if clip.id in faulty and before < 2 else OK
        if isinstance(came, Answer) or came.billed != "no":
            account.charge(seconds[clip.id], price.credits_per_s)
        return came

    ended = night(names, plan, budget=budget, price=lambda name: price.of_s(seconds[name]), concurrency=32)
    assert account.charged <= budget + 1e-6
    # and nothing is left that would have fit what is left
    left = budget - account.charged
    assert all(price.of_s(seconds[name]) > left for name in ended.passed_over)
