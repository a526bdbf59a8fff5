"""What is said of ledger and balance follows from the numbers, in every case; and how the balance is asked."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.config import Settings
from pipeline.errors import KeyRefused
from pipeline.exchange import Connection
from pipeline.gradium.wire import Credits
from pipeline.run.control import Control
from pipeline.run.ledger import Ledger
from pipeline.run.reconciliation import Spent, reconciled
from pipeline.run.settling import AccountReadings

CREDITS = st.integers(0, 5_000).map(lambda tenths: tenths / 10)
BEFORE = 10_000.0


@example(surely=0.1, maybe=0.0, others=0.0, added=1.1, requests=1, settled=True, new_month=False)
@given(CREDITS, CREDITS, CREDITS, CREDITS, st.integers(1, 50), st.booleans(), st.booleans())
def test_the_sentence_claims_nothing_that_the_numbers_contradict(
    surely: float, maybe: float, others: float, added: float, requests: int, settled: bool, new_month: bool
) -> None:
    fell = surely + others - added
    before = Credits(remaining_credits=BEFORE, next_rollover_date="2026-12-01")
    after = Credits(remaining_credits=BEFORE - fell, next_rollover_date="2027-01-01" if new_month else "2026-12-01")
    spent = Spent(ledger=surely + maybe, maybe=maybe, requests=requests)
    found = reconciled(before, after, spent, settled=settled)
    said = found.sentence
    if new_month:
        assert found.paid is None
        assert "a new month" in said
    elif found.paid is None:
        assert fell < surely
        assert "credits were added" in said
        assert ("its balance rose" in said) == (fell < 0)
    else:
        assert found.paid == pytest.approx(max(fell, 0), abs=0.01)
        assert found.difference == pytest.approx(found.paid - found.ledger, abs=0.01)
        assert ("more than the ledger" in said) == (found.difference > 0.05)
        assert ("less than the ledger" in said) == (found.difference < -0.05)
        assert "only may have been billed" not in said or maybe > 0
        if abs(found.difference) > max(1, spent.rounding):
            assert "rounded" not in said
        if found.difference > 0.05:
            assert "perhaps" in said
            assert "somebody else" in said


def readings_after(*answers: Any, credits_: float = 6.0, maybe: float = 0.0, settle_s: float = 10.0) -> Any:
    """What is found where the balance answers so at the end; and how often it was asked."""
    asked = 0

    class Scripted:
        async def balance(self) -> Any:
            nonlocal asked
            answer = answers[min(asked, len(answers) - 1)]
            asked += 1
            if answer is None:
                await asyncio.Event().wait()
            if isinstance(answer, Exception):
                raise answer
            return answer if isinstance(answer, str) else Credits(remaining_credits=answer)

    class Summed:
        requests, credits, credits_maybe, lengths = 4, credits_, maybe, None

    async def read() -> Any:
        settings = Settings.model_validate({"price": {"settle_s": settle_s}})
        readings = AccountReadings(settings, cast("Ledger", Summed()), Control())
        readings.before = Credits(remaining_credits=BEFORE)
        await readings.read_end(cast("Connection", Scripted()))
        return readings.figures

    return asyncio.run(read()), asked


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.pool.account.ASK_S", 0.05)
    monkeypatch.setattr("pipeline.run.settling.AGAIN_S", 0.01)
    monkeypatch.setattr("pipeline.run.settling.STEADY_S", 0.05)


def test_a_balance_that_agrees_is_asked_once() -> None:
    found, asked = readings_after(BEFORE - 6, maybe=2.0)
    assert (found.paid, asked) == (6, 1)


def test_what_may_have_been_billed_is_waited_for() -> None:
    found, asked = readings_after(BEFORE - 4, BEFORE - 6, maybe=2.0)
    assert (found.paid, asked) == (6, 2)
    found, asked = readings_after(BEFORE - 4, maybe=2.0)
    assert found.paid == 4
    assert asked > 2


def test_a_balance_is_asked_until_it_agrees_or_is_steady() -> None:
    assert readings_after(BEFORE, BEFORE - 3, BEFORE - 6) == (readings_after(BEFORE - 6)[0], 3)
    found, asked = readings_after(BEFORE - 50)
    assert found.difference == 44
    assert asked > 2
    assert "not settled" not in found.sentence
    found, asked = readings_after(BEFORE - 50, settle_s=0)
    assert asked == 1
    assert "its balance was not settled yet" in found.sentence


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "no answer within"),
        ("HTTP 500", "HTTP 500"),
        (1e300, "not plausible"),
        (float("-1e300"), "not plausible"),
        (KeyRefused("revoked", http_status=401), "revoked"),
    ],
)
def test_a_balance_that_is_not_known_is_told_as_that(answer: Any, why: str) -> None:
    found, asked = readings_after(answer)
    assert (found.paid, found.after, asked) == (None, None, 1)
    assert why in found.sentence
