"""Copies of one recording in one run: what they share, and that of many of them only the numbers are kept."""

from __future__ import annotations

import pytest

from pipeline.checkpoint import Identity, Selected, State
from pipeline.errors import AttemptError, AudioRefused, AudioTruncated, RepeatedStreamError, ServerFault
from pipeline.model import Utterance
from pipeline.run.duplicates import MOST_WAITING, Duplicates
from pipeline.run.given_up import GivenUp
from pipeline.run.in_flight import InFlight
from tests.records import transcript

THIS = Identity(audio_hash="h", config_hash="c")
OTHER = Identity(audio_hash="other", config_hash="c")


def in_flight(n: int) -> InFlight:
    selected = Selected(
        n=n,
        place=(0, "", 0, n),
        utterance=Utterance(id=str(n), audio="/a.wav"),
        state=State.NEW,
        config_hash="c",
        expected_s=1.0,
        done=None,
        attempts=0,
    )
    return InFlight(selected, THIS, b"", "answers")


def test_of_many_copies_the_first_wait_and_the_others_are_looked_at_again() -> None:
    duplicates = Duplicates()
    first = in_flight(0)
    assert duplicates.begin(first)
    copies = 3 * MOST_WAITING
    assert not any(duplicates.begin(in_flight(n)) for n in range(1, copies))
    assert not duplicates.has_more
    waited = [one.n for one in duplicates.end(first)]
    assert waited == list(range(1, MOST_WAITING + 1))
    again = []
    while duplicates.has_more:
        again += duplicates.later()
    assert sorted(again) == list(range(MOST_WAITING + 1, copies))


@pytest.mark.parametrize(
    ("error", "copies", "is_shared"),
    [
        (AudioRefused("no", http_status=500, code=1008), 0, True),
        (RepeatedStreamError("again"), 0, True),
        (ServerFault("broke"), 0, False),
        (ServerFault("broke"), MOST_WAITING, False),
        (ServerFault("broke"), MOST_WAITING + 1, True),
        (AudioTruncated("cut"), MOST_WAITING + 1, False),
    ],
)
def test_a_later_copy_shares_a_refusal_and_what_failed_while_many_waited(
    error: AttemptError, copies: int, is_shared: bool
) -> None:
    duplicates = Duplicates()
    first = in_flight(0)
    for n in range(copies + 1):
        duplicates.begin(first if n == 0 else in_flight(n))
    why = GivenUp(error=error, clip=3, was_sent=True, partial=transcript("a"), answered_s=2.5, prefix_hashes=b"hashes")
    duplicates.end(first, why)
    assert duplicates.refusal(OTHER) is None
    found = duplicates.refusal(THIS)
    assert (found is not None) == is_shared
    if found is not None:
        told = found.error
        assert (type(told), told.message, told.http_status, told.code) == (
            type(error),
            error.message,
            error.http_status,
            error.code,
        )
        assert (found.clip, found.was_sent, found.partial, found.prefix_hashes) == (3, True, transcript("a"), b"hashes")
    duplicates.close()
