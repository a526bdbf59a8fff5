"""Whether a failed attempt is tried again, and after how long."""

from __future__ import annotations

import pytest

from pipeline import errors
from pipeline.config.settings import RetrySettings
from pipeline.failures import by_class
from pipeline.pool import RetryPolicy

DRAWS = 300


def policy(max_attempts: int = 6, base_s: float = 0.5, max_s: float = 60.0) -> RetryPolicy:
    return RetryPolicy(RetrySettings(max_attempts=max_attempts, base_s=base_s, max_s=max_s))


def subclasses(kind: type[errors.AttemptError]) -> list[type[errors.AttemptError]]:
    return [each for direct in kind.__subclasses__() for each in (direct, *subclasses(direct))]


@pytest.mark.parametrize(
    "kind", [kind for kind in subclasses(errors.PassingError) if by_class(kind).retry == "backoff"]
)
def test_a_passing_fault_is_tried_until_its_attempts_are_used_up(kind: type[errors.AttemptError]) -> None:
    rules = policy(max_attempts=3)
    assert rules.pause_s(kind("x"), 1) is not None
    assert rules.pause_s(kind("x"), 2) is not None
    assert rules.pause_s(kind("x"), 3) is None


@pytest.mark.parametrize(
    "kind", [*subclasses(errors.ItemError), *subclasses(errors.AccountError), errors.AudioUnavailable]
)
def test_other_faults_are_not_tried_again(kind: type[errors.AttemptError]) -> None:
    assert policy(max_attempts=100).pause_s(kind("x"), 1) is None


def test_an_error_of_no_class_is_not_tried_again() -> None:
    assert policy().pause_s(errors.AttemptError("x"), 1) is None


@pytest.mark.parametrize("kind", subclasses(errors.LimitError))
@pytest.mark.parametrize("attempts", [0, 1, 6, 100])
def test_a_limit_of_the_service_is_waited_out_however_often(kind: type[errors.AttemptError], attempts: int) -> None:
    assert policy(max_attempts=1).pause_s(kind("x"), attempts) is not None


@pytest.mark.parametrize("kind", subclasses(errors.LimitError))
def test_a_limit_that_may_have_been_billed_is_tried_until_its_attempts_are_used_up(
    kind: type[errors.AttemptError],
) -> None:
    assert policy(max_attempts=3).pause_s(kind("x", billed="maybe"), 2) is not None
    assert policy(max_attempts=3).pause_s(kind("x", billed="maybe"), 3) is None


def test_a_part_of_an_attempt_is_none() -> None:
    assert policy(max_attempts=1).pause_s(errors.ServerFault("x"), 0.25) is not None


@pytest.mark.parametrize(("attempts", "longest_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (10, 60.0), (99, 60.0)])
def test_pauses_are_drawn_from_nothing_to_a_bound_that_doubles(attempts: int, longest_s: float) -> None:
    rules = policy(max_attempts=100)
    pauses = [rules.pause_s(errors.ServerFault("x"), attempts) or 0.0 for _ in range(DRAWS)]
    assert all(0 <= pause <= longest_s for pause in pauses)
    # full jitter: all of the range is used, or everybody would return at once
    assert min(pauses) < longest_s / 10
    assert max(pauses) > longest_s * 9 / 10


@pytest.mark.parametrize("kind", [errors.ServerFault, errors.RateLimited])
def test_what_the_service_asks_for_is_waited_at_least(kind: type[errors.AttemptError]) -> None:
    pauses = [policy().pause_s(kind("x", retry_after_s=20), 1) or 0.0 for _ in range(DRAWS)]
    assert all(20 <= pause <= 60 for pause in pauses)


@pytest.mark.parametrize("asked_s", [61, 86_400, 999_999_999.0])
def test_what_the_service_asks_for_is_capped(asked_s: float) -> None:
    assert policy().pause_s(errors.RateLimited("x", retry_after_s=asked_s), 1) == 60


def test_asking_for_no_pause_leaves_the_usual_one() -> None:
    pauses = [policy().pause_s(errors.ServerFault("x", retry_after_s=0), 1) or 0.0 for _ in range(DRAWS)]
    assert max(pauses) > 0.3


def test_an_item_error_is_not_tried_again_though_it_asks_for_it() -> None:
    assert policy().pause_s(errors.AudioRefused("x", retry_after_s=5), 1) is None


def test_one_attempt_means_no_retry() -> None:
    assert policy(max_attempts=1).pause_s(errors.ServerFault("x"), 1) is None
