"""Whose fault it is that a run's first recordings are refused: each one's own, or, in the same words, none of them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable

import pytest

from pipeline import errors
from pipeline.exchange import Answer, Request
from pipeline.pool.refusals import ALIKE, FIRST, PROBES_ALIKE, same_words
from tests.pool.test_every_run_ends import NEVER_PASSING, OK, Fault, names_of, night, poisoned

numbers = itertools.count(1)
FIREWALL = "<html><title>403 Forbidden</title></html>"


def refused(words: str = "bad format") -> errors.AttemptError:
    """A refusal with something in it that is never the same."""
    n = next(numbers)
    return errors.AudioRefused(f"error from server 1008: {words} of 'clip {n}' (/data/{n}.wav)", http_status=500)


def denied(status: int = 403) -> errors.AttemptError:
    return errors.AccessDenied(FIREWALL, http_status=status)


def unknown() -> errors.AttemptError:
    return errors.UnknownFault(
        f"error from server 1008: Overloaded: input queue too long ({next(numbers)})", http_status=500, code=1008
    )


def everybody(fault: Fault) -> Callable[[Request, float, int], Answer | errors.AttemptError]:
    return lambda clip, at_s, before: fault()


@pytest.mark.parametrize("concurrency", [1, 2, 4, 32])
def test_one_refusal_of_most_of_the_first_recordings_ends_the_run_and_is_believed_of_none(concurrency: int) -> None:
    ended = night(names_of(200, "clip"), everybody(refused), concurrency=concurrency)
    assert isinstance(ended.error, errors.RefusesAll)
    assert str(ended.error).startswith(f"{ALIKE} of the first recordings were refused with the same words")
    assert "bad format of" in str(ended.error)
    assert set(ended.failed.values()) == {"UnconfirmedRefusal"}
    assert ALIKE <= len(ended.failed) == ended.requests.total() <= ALIKE + min(concurrency, 8)
    assert set(ended.requests.values()) == {1}


def test_where_the_failed_ones_were_asked_for_each_is_refused_by_itself() -> None:
    ended = night(names_of(200, "clip"), everybody(refused), doubts_refusals=False)
    assert ended.error is None
    assert Counter(ended.failed.values()) == {"AudioRefused": 200}


@pytest.mark.parametrize("rows", range(1, ALIKE))
def test_a_few_that_are_all_there_is_may_pass_and_one_is_refused_by_itself(rows: int) -> None:
    ended = night(names_of(rows, "bad"), everybody(refused))
    assert ended.error is None
    assert ended.failed == dict.fromkeys(names_of(rows, "bad"), "AudioRefused" if rows == 1 else "UnconfirmedRefusal")
    assert ended.took_s < 5


@pytest.mark.parametrize("bad", range(1, ALIKE))
def test_refused_before_any_was_answered_is_refused_once_another_is(bad: int) -> None:
    ended = night([*names_of(bad, "bad"), *names_of(30, "good")], poisoned(set(names_of(bad, "bad")), refused))
    assert ended.error is None
    assert ended.failed == dict.fromkeys(names_of(bad, "bad"), "AudioRefused")
    assert len(ended.done) == 30


def test_an_answer_in_between_tells_that_the_service_takes_recordings() -> None:
    names = [*names_of(4, "bad"), "good", *(f"bad{n}" for n in range(4, 12))]
    ended = night(names, poisoned({name for name in names if name != "good"}, refused), concurrency=1)
    assert ended.error is None
    assert Counter(ended.failed.values()) == {"AudioRefused": 12}


@pytest.mark.parametrize("good", range(6))
def test_answers_before_do_so_where_they_are_of_the_first_recordings(good: int) -> None:
    names = [*names_of(good, "good"), *names_of(50, "bad")]
    ended = night(names, poisoned(set(names_of(50, "bad")), refused), concurrency=1)
    if good > FIRST - ALIKE:
        assert ended.error is None
        assert Counter(ended.failed.values()) == {"AudioRefused": 50}
    else:
        assert isinstance(ended.error, errors.RefusesAll)
        assert Counter(ended.failed.values()) == {"UnconfirmedRefusal": ALIKE}


@pytest.mark.parametrize("good", [0, 1])
def test_refusals_in_other_words_stop_no_run_and_are_believed_where_one_is_answered(good: int) -> None:
    words = itertools.cycle(["bad format", "audio too long", "empty audio"])
    names = [*names_of(good, "good"), *names_of(50, "clip")]
    bad = poisoned(set(names_of(50, "clip")), lambda: refused(next(words)))
    ended = night(names, bad, concurrency=1)
    assert ended.error is None
    assert Counter(ended.failed.values()) == {"AudioRefused" if good else "UnconfirmedRefusal": 50}


def test_the_same_words_with_another_status_are_the_same_refusal() -> None:
    statuses = itertools.cycle([400, 500])
    ended = night(
        names_of(40, "clip"), everybody(lambda: errors.AudioRefused("bad format", http_status=next(statuses)))
    )
    assert isinstance(ended.error, errors.RefusesAll)
    assert set(ended.failed.values()) == {"UnconfirmedRefusal"}


def test_refusals_that_are_held_keep_nobody_from_being_prepared() -> None:
    """What they hold may be what the next ones wait for, so that nothing would ever come."""
    ended = night(names_of(3, "bad"), everybody(refused), pauses_s=60)
    assert ended.error is None
    assert ended.failed == dict.fromkeys(names_of(3, "bad"), "UnconfirmedRefusal")


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("bad", [1, 2, 4])
def test_a_page_that_denies_a_few_names_them_and_the_run_goes_on(bad: int, place: str) -> None:
    names = [*names_of(bad, "bad"), *names_of(30, "good")]
    ended = night(names if place == "first" else names[::-1], poisoned(set(names_of(bad, "bad")), denied))
    assert ended.error is None
    assert ended.failed == dict.fromkeys(names_of(bad, "bad"), "AccessDenied")
    assert len(ended.done) == 30


def test_words_that_no_rule_knows_end_the_run_after_some_probes_where_nothing_was_ever_answered() -> None:
    ended = night(names_of(200, "clip"), everybody(unknown))
    assert isinstance(ended.error, errors.RefusesAll)
    assert "Overloaded: input queue too long" in str(ended.error)
    assert ended.failed == {}
    assert ended.requests.total() <= 20 + PROBES_ALIKE
    assert ended.took_s < 120


def test_an_overload_that_passes_before_that_is_waited_out() -> None:
    ended = night(names_of(200, "clip"), lambda clip, at_s, before: unknown() if at_s < 30 else OK)
    assert ended.error is None
    assert len(ended.done) == 200


def test_one_that_comes_later_is_an_outage() -> None:
    ended = night(names_of(200, "clip"), lambda clip, at_s, before: unknown() if 1 < at_s < 900 else OK)
    assert ended.error is None
    assert len(ended.done) == 200


def test_other_faults_in_between_change_nothing() -> None:
    faults = itertools.cycle([refused, NEVER_PASSING["503"]])
    ended = night(names_of(200, "clip"), everybody(lambda: next(faults)()))
    assert isinstance(ended.error, errors.RefusesAll)


def ours() -> errors.AttemptError:
    said = f"error from server 1002: input before setup\nrequest {next(numbers)} abc"
    return errors.ProtocolFault(said, reason="input before setup", http_status=500, code=1002, billed="maybe")


@pytest.mark.parametrize("concurrency", [1, 32])
def test_a_fault_of_ours_that_meets_the_first_recordings_ends_the_run_and_asks_for_a_report(concurrency: int) -> None:
    ended = night(names_of(200, "clip"), everybody(ours), concurrency=concurrency)
    assert isinstance(ended.error, errors.RefusesAll)
    assert "error from server 1002: input before setup" in str(ended.error)
    assert "fault of gradium-batch, please report it" in str(ended.error)
    assert set(ended.failed.values()) == {"ProtocolFault"}
    assert set(ended.requests.values()) == {1}
    assert ended.requests.total() <= ALIKE + 8


@pytest.mark.parametrize("bad", [1, 4])
def test_one_that_meets_a_few_fails_them_in_this_run_after_one_request_each(bad: int) -> None:
    ended = night([*names_of(bad, "bad"), *names_of(30, "good")], poisoned(set(names_of(bad, "bad")), ours))
    assert ended.error is None
    assert ended.failed == dict.fromkeys(names_of(bad, "bad"), "ProtocolFault")
    assert set(ended.requests.values()) == {1}
    assert len(ended.done) == 30


def test_one_that_meets_everybody_later_is_not_paid_for_by_each_recording() -> None:
    ended = night(names_of(2_000, "clip"), lambda clip, at_s, before: ours() if at_s > 10 else OK)
    assert isinstance(ended.error, errors.ServiceOut)
    assert len(ended.failed) < 120  # as many probes as an outage may have
    assert set(ended.requests.values()) == {1}


@pytest.mark.parametrize("at_s", [0, 5])
@pytest.mark.parametrize("settings_answered", [False, True])
def test_a_setting_that_is_wrong_ends_the_run_at_once_whatever_was_answered(
    at_s: float, settings_answered: bool
) -> None:
    def plan(clip: Request, now_s: float, before: int) -> Answer | errors.AttemptError:
        return errors.SettingsInvalid("a language is required", code=1011, billed="maybe") if now_s >= at_s else OK

    ended = night(names_of(500, "clip"), plan, concurrency=4, settings_answered=settings_answered)
    assert isinstance(ended.error, errors.SettingsInvalid)
    assert ended.failed == {}
    assert len(ended.done) >= (1 if at_s else 0)
    assert 0 < ended.requests.total() - len(ended.done) <= 4
    assert ended.took_s < at_s + 1


def test_keywords_that_are_refused_fail_their_row_for_good_and_nothing_else() -> None:
    bad = set(names_of(12, "bad"))
    refusal = poisoned(bad, lambda: errors.KeywordsRefused("keywords must be single tokens", code=1011, billed="maybe"))
    ended = night([*sorted(bad), *names_of(30, "good")], refusal)
    assert ended.error is None
    assert ended.failed == dict.fromkeys(bad, "KeywordsRefused")
    assert set(ended.requests.values()) == {1}
    assert ended.outages == 0


def test_a_footer_with_ids_makes_no_other_refusal() -> None:
    def footed() -> errors.AttemptError:
        said = f"bad format\nsee {next(words)} for help"
        return errors.AudioRefused(said, reason="bad format", http_status=500)

    words = itertools.cycle(["one", "two", "three", "four", "five"])
    assert isinstance(night(names_of(40, "clip"), everybody(footed)).error, errors.RefusesAll)


def test_nor_does_it_hide_that_the_same_error_comes_in_each_stream() -> None:
    def footed() -> errors.AttemptError:
        said = f"lost it\nrequest {next(numbers)}"
        return errors.StreamError(said, reason="lost it", http_status=200, billed="maybe")

    ended = night(["bad", *names_of(30, "good")], poisoned({"bad"}, footed))
    assert ended.failed == {"bad": "RepeatedStreamError"}


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("audio of 301.5 s is too long", "audio of 4000 s is too long", True),
        ("bad file 'a b.wav'", 'bad file "c.wav"', True),
        ("bad file /data/x/a.wav here", "bad file /data/y.wav here", True),
        ("bad audio (request 1f3a-22)", "bad audio (request 99)", True),
        ("Bad audio.", "bad  audio", True),
        ("bad audio", "bad format", False),
        ("", "bad format", False),
    ],
)
def test_the_same_words_about_another_recording(one: str, other: str, alike: bool) -> None:
    assert (same_words(one) == same_words(other)) is alike
