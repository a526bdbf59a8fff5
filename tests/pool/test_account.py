"""An answer that blames the account ends the run only where the balance confirms it; else it may pass."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from pipeline import errors
from pipeline.exchange import Answer, Request
from pipeline.pool.account import ASK_S, SHARED_LONGEST_S, SHARED_S
from pipeline.pool.refusals import PROBES_ALIKE
from tests.pool.accounts import Told, account_with
from tests.pool.test_every_run_ends import MAX_ATTEMPTS, OK, OUTAGE_MAX_S, Fault, names_of, night, poisoned
from tests.pool.virtual import in_virtual_time

PAGE = "<html><title>403 Forbidden</title></html>"
BAD_KEY = errors.KeyRefused("no such key", http_status=401)


def key() -> errors.AttemptError:
    return errors.KeyRefused("error from server 1008: API key is revoked or expired", http_status=500, code=1008)


def spent() -> errors.AttemptError:
    return errors.CreditsSpent("error from server 1008: no credits left", http_status=500, code=1008)


def page(status: int = 403) -> errors.AttemptError:
    return errors.AccessDenied(PAGE, http_status=status)


class Asked:
    """A balance that counts how often it is asked."""

    def __init__(self, told: Told) -> None:
        self.told, self.times = told, 0

    def __call__(self) -> Told:
        self.times += 1
        return self.told


def once(fault: Fault, at_s: float = 1.0) -> Callable[[Request, float, int], Answer | errors.AttemptError]:
    """The first request after that time draws the fault."""
    drawn: list[str] = []

    def plan(clip: Request, at: float, before: int) -> Answer | errors.AttemptError:
        if at >= at_s and not drawn:
            drawn.append(clip.id)
            return fault()
        return OK

    return plan


def from_then_on(fault: Fault, at_s: float = 1.0) -> Callable[[Request, float, int], Answer | errors.AttemptError]:
    return lambda clip, at, before: fault() if at >= at_s else OK


@pytest.mark.parametrize("at_s", [0.0, 1.0])
@pytest.mark.parametrize("told", [1e6, "HTTP 503", errors.EndpointUnreachable("nothing"), None], ids=str)
@pytest.mark.parametrize("fault", [key, spent, page])
def test_one_such_answer_that_the_balance_does_not_confirm_costs_nothing(fault: Fault, told: Told, at_s: float) -> None:
    asked = Asked(told)
    ended = night(names_of(300, "clip"), once(fault, at_s), balance=asked)
    assert ended.error is None
    assert len(ended.done) == 300
    assert ended.requests.total() == 301
    assert asked.times == 1
    assert ended.took_s < 20


@pytest.mark.parametrize("at_s", [0.0, 3.0])
@pytest.mark.parametrize(
    ("fault", "told", "kind", "said"),
    [
        (key, BAD_KEY, errors.KeyRefused, "API key is revoked or expired"),
        (spent, BAD_KEY, errors.KeyRefused, "no such key"),
        (page, BAD_KEY, errors.KeyRefused, "and so are requests (HTTP 403)"),
        (spent, 0.5, errors.CreditsSpent, "holds 0 credits and the refused request takes 1: error from server"),
        (key, 0.0, errors.CreditsSpent, "holds 0 credits"),
        (spent, -30.0, errors.CreditsSpent, "holds -30 credits"),  # those in flight took more than there was
        (lambda: page(402), 0.0, errors.CreditsSpent, "holds 0 credits"),
    ],
)
def test_where_the_balance_confirms_it_the_run_ends_at_once(
    fault: Fault, told: Told, kind: type[errors.AccountError], said: str, at_s: float
) -> None:
    asked = Asked(told)
    ended = night(names_of(3000, "clip"), from_then_on(fault, at_s), balance=asked)
    assert type(ended.error) is kind
    assert said in str(ended.error)
    assert asked.times == 1
    assert not ended.failed
    assert ended.took_s < at_s + 1
    assert ended.requests.total() - len(ended.done) <= 32


@pytest.mark.parametrize("fault", [key, spent])
def test_one_recording_that_always_draws_it_fails_alone_and_named(fault: Fault) -> None:
    asked = Asked(1e6)
    ended = night(["bad", *names_of(300, "good")], poisoned({"bad"}, fault), balance=asked)
    assert ended.error is None
    assert ended.failed == {"bad": "AccountDoubted"}
    assert len(ended.done) == 300
    assert ended.requests["bad"] == MAX_ATTEMPTS
    assert asked.times <= MAX_ATTEMPTS


def test_so_it_does_where_it_is_the_only_one_that_is_left() -> None:
    ended = night(["bad"], poisoned({"bad"}, key))
    assert ended.error is None
    assert ended.failed == {"bad": "AccountDoubted"}


@pytest.mark.parametrize("fault", [key, spent])
def test_what_meets_everybody_is_waited_out_while_the_balance_answers(fault: Fault) -> None:
    asked = Asked(1e6)
    plan = lambda clip, at, before: fault() if 1 <= at < 600 else OK  # noqa: E731
    ended = night(names_of(400, "clip"), plan, balance=asked)
    assert ended.error is None
    assert len(ended.done) == 400
    assert ended.outages == 1
    assert asked.times <= 600 / SHARED_LONGEST_S + 6


@pytest.mark.parametrize(("fault", "kind"), [(key, errors.KeyRefused), (spent, errors.CreditsSpent)])
def test_what_does_not_end_ends_the_run_with_its_own_sentence(fault: Fault, kind: type[errors.AccountError]) -> None:
    ended = night(names_of(400, "clip"), from_then_on(fault), balance="HTTP 503")
    assert type(ended.error) is kind
    assert "1008" in str(ended.error)
    assert "retry.outage_max_s" in str(ended.error)
    assert "its balance is not known: HTTP 503" in str(ended.error)
    assert not ended.failed
    assert OUTAGE_MAX_S <= ended.took_s < OUTAGE_MAX_S + 10


@pytest.mark.parametrize("told", [1e6, "HTTP 503", None])
def test_where_nothing_was_ever_answered_some_probes_are_enough(told: Told) -> None:
    ended = night(names_of(400, "clip"), from_then_on(key, 0.0), balance=told)
    assert type(ended.error) is errors.KeyRefused
    assert "API key is revoked or expired" in str(ended.error)
    assert ended.requests.total() <= 20 + PROBES_ALIKE
    assert not ended.failed
    assert ended.took_s < 150


@pytest.mark.parametrize("rows", [1, 3, 9])
def test_a_small_manifest_ends_soon_with_the_accounts_sentence_where_no_balance_is_known(rows: int) -> None:
    ended = night(names_of(rows, "clip"), from_then_on(key, 0.0), balance="HTTP 404")
    assert type(ended.error) is errors.KeyRefused
    assert not ended.failed
    assert ended.took_s < 150


@pytest.mark.parametrize("from_s", [0.0, 6.0])
@pytest.mark.parametrize("told", [1e6, "HTTP 403 from /api/usages/credits"])
def test_two_hundred_pages_of_a_cdn_are_waited_out(told: Told, from_s: float) -> None:
    pages = itertools.count(1)

    def plan(clip: Request, at: float, before: int) -> Answer | errors.AttemptError:
        return page() if at >= from_s and next(pages) <= 200 else OK

    ended = night(names_of(4000, "clip"), plan, concurrency=128, balance=told, outage_max_s=7200)
    assert ended.error is None
    assert not ended.failed
    assert len(ended.done) == 4000
    assert ended.requests.total() == 4200
    assert ended.outages == 1


@pytest.mark.parametrize("status", [401, 402, 403])
def test_pages_that_do_not_end_end_the_run_as_an_outage_does(status: int) -> None:
    ended = night(names_of(400, "clip"), from_then_on(lambda: page(status)))
    assert type(ended.error) is errors.ServiceOut
    assert not ended.failed
    assert OUTAGE_MAX_S <= ended.took_s < OUTAGE_MAX_S + 10


def test_nothing_new_is_sent_while_the_balance_is_asked() -> None:
    sent_at: list[float] = []

    def plan(clip: Request, at: float, before: int) -> Answer | errors.AttemptError:
        sent_at.append(at)
        return key() if clip.id == "clip20" and not before else OK

    night(names_of(200, "clip"), plan, balance=None)
    pause_s = max(later - earlier for earlier, later in itertools.pairwise(sent_at))
    assert pause_s >= ASK_S - 0.2


def test_the_key_is_asked_for_again_later() -> None:
    told = iter([1e6])
    plan = lambda clip, at, before: key() if 0.9 < at < 1.1 or at > 20 else OK  # noqa: E731
    ended = night(names_of(9000, "clip"), plan, balance=lambda: next(told, BAD_KEY))
    assert type(ended.error) is errors.KeyRefused
    assert 20 < ended.took_s < 21


def test_a_request_that_is_cut_off_leaves_the_question_to_the_others() -> None:
    async def run() -> errors.AttemptError:
        account = account_with(BAD_KEY)
        first, second = (asyncio.ensure_future(account.judged(key(), 1.0)) for _ in range(2))
        await asyncio.sleep(0.01)
        assert account.is_asked
        first.cancel()
        found = await second
        assert not account.is_asked
        return found

    assert type(in_virtual_time(run())) is errors.KeyRefused


@pytest.mark.parametrize("held", [-1e13, 1e13])
def test_a_balance_that_is_not_plausible_confirms_nothing(held: float) -> None:
    async def run() -> errors.AttemptError:
        return await account_with(held).judged(spent(), 1.0)

    found = in_virtual_time(run())
    assert isinstance(found, errors.AccountDoubted)
    assert not found.is_known


@pytest.mark.parametrize("status", [401, 403])
def test_a_page_that_denies_access_is_not_about_credits_however_few_there_are(status: int) -> None:
    ended = night(names_of(30, "clip"), once(lambda: page(status), 0.0), balance=0.0)
    assert ended.error is None
    assert (len(ended.done), ended.requests.total()) == (30, 31)


def test_after_a_quiet_time_an_answer_holds_no_longer_than_at_first() -> None:
    asked = Asked(1e6)

    async def run() -> None:
        account = account_with(asked)
        for _ in range(6):
            await account.judged(key(), 1.0)
            await asyncio.sleep(SHARED_LONGEST_S + 1)
        await asyncio.sleep(SHARED_LONGEST_S)
        for _ in range(2):
            await account.judged(key(), 1.0)
            await asyncio.sleep(SHARED_S + 1)

    in_virtual_time(run())
    assert asked.times == 8


def test_all_who_share_a_question_tell_once_that_it_confirmed_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        account = account_with(1e6)
        await asyncio.gather(*(account.judged(key(), 1.0) for _ in range(5)))
        await asyncio.sleep(SHARED_S + 1)
        await account.judged(key(), 1.0)

    in_virtual_time(run())
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "the account holds 1,000,000 credits" in caplog.text
