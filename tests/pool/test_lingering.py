"""The pool against a service that counts sessions for a moment after their answer: it finds the limit, keeps near what
that allows, and is rarely refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pool.slots import Seconds, Sent, through

FOR_S = 60.0


def mean(seconds: Seconds) -> float:
    return seconds if isinstance(seconds, float) else sum(seconds) / 2


def of_ideal(sent: Sent, limit: int, answer_s: float, linger_s: Seconds, from_s: float, to_s: float = FOR_S) -> float:
    """The rate, in parts of what the service allows."""
    return sent.rate(from_s, to_s) * (answer_s + mean(linger_s)) / limit


@pytest.mark.parametrize("linger_s", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("answer_s", [pytest.param(0.05, marks=pytest.mark.slow), 0.3, 2.0])
@pytest.mark.parametrize("limit", [1, 3, 10])
def test_the_limit_is_found_and_used_whether_sessions_linger_or_not(
    limit: int, answer_s: float, linger_s: float
) -> None:
    sent = through(limit, answer_s=answer_s, linger_s=linger_s, for_s=FOR_S)
    assert sent.learned == limit
    assert of_ideal(sent, limit, answer_s, linger_s, 20) > (0.7 if linger_s else 0.95)
    assert sent.refused(20, FOR_S) < (0.3 if linger_s else 0.06)


@settings(max_examples=15, deadline=None)
@given(
    limit=st.integers(1, 6),
    answer_s=st.floats(0.05, 2),
    linger_s=st.floats(0, 1),
    spread=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_so_it_is_for_any_times(limit: int, answer_s: float, linger_s: float, spread: float, seed: int) -> None:
    lingers: Seconds = (linger_s * (1 - spread), linger_s)
    sent = through(limit, answer_s=answer_s, linger_s=lingers, for_s=FOR_S, seed=seed)
    assert sent.learned in (limit, max(1, limit - 1))
    assert of_ideal(sent, limit, answer_s, lingers, 20) > 0.4
    assert sent.refused(20, FOR_S) < 0.5


@pytest.mark.parametrize("linger_s", [0.0, 0.3])
@pytest.mark.parametrize("answer_s", [0.1, 0.3, 2.0])
def test_a_limit_that_falls_is_followed_without_many_refusals(answer_s: float, linger_s: float) -> None:
    sent = through(lambda at_s: 32 if at_s < 15 else 3, answer_s=answer_s, linger_s=linger_s, for_s=FOR_S)
    assert sent.learned == 3
    assert of_ideal(sent, 3, answer_s, linger_s, 35) > 0.7
    assert sum(at_s >= 15 for at_s in sent.refusals if at_s < 25) < 200


def test_one_that_rises_is_found() -> None:
    sent = through(lambda at_s: 3 if at_s < 20 else 12, answer_s=0.3, linger_s=0.3, for_s=120)
    assert sent.learned == 12
    assert of_ideal(sent, 12, 0.3, 0.3, 80, 120) > 0.7


def test_the_next_run_starts_with_what_was_learned() -> None:
    sent = through(3, answer_s=0.3, linger_s=0.5, for_s=FOR_S, learned=3)
    assert sent.learned == 3
    assert of_ideal(sent, 3, 0.3, 0.5, 5) > 0.75
