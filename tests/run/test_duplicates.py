"""Copies of one recording in one run: what they share, and that of many of them only the numbers are kept."""

from __future__ import annotations

import pytest

from pipeline.checkpoint import Identity, Selected, State
from pipeline.errors import AttemptError, AudioRefused, AudioTruncated, RepeatedStreamError, ServerFault
from pipeline.model import Utterance
from pipeline.run.duplicates import MOST_FOLLOWERS, Duplicates
from pipeline.run.given_up import GivenUp
from tests.records import transcript

THIS = Identity(audio_hash="h", config_hash="c")
OTHER = Identity(audio_hash="other", config_hash="c")


def selected(n: int) -> Selected:
    return Selected(
        n=n,
        place=(0, "", 0, n),
        utterance=Utterance(id=str(n), audio="/a.wav"),
        state=State.NEW,
        config_hash="c",
        expected_s=1.0,
        done=None,
        attempts=0,
    )


def test_of_many_copies_the_first_wait_with_their_leader_and_the_others_are_looked_at_again() -> None:
    duplicates = Duplicates()
    leader = duplicates.lead(selected(0), THIS, b"")
    assert leader is not None
    copies = 3 * MOST_FOLLOWERS
    assert all(duplicates.lead(selected(n), THIS, b"") is None for n in range(1, copies))
    assert not duplicates.has_more
    settled = [one.n for one in duplicates.settle(leader)]
    assert settled == list(range(MOST_FOLLOWERS + 1))
    again = []
    while duplicates.has_more:
        again += duplicates.later()
    assert sorted(again) == list(range(MOST_FOLLOWERS + 1, copies))


@pytest.mark.parametrize(
    ("error", "copies", "is_shared"),
    [
        (AudioRefused("no", http_status=500, code=1008), 0, True),
        (RepeatedStreamError("again"), 0, True),
        (ServerFault("broke"), 0, False),
        (ServerFault("broke"), MOST_FOLLOWERS, False),
        (ServerFault("broke"), MOST_FOLLOWERS + 1, True),
        (AudioTruncated("cut"), MOST_FOLLOWERS + 1, False),
    ],
)
def test_a_later_copy_shares_a_refusal_and_what_failed_while_many_waited(
    error: AttemptError, copies: int, is_shared: bool
) -> None:
    duplicates = Duplicates()
    leader = duplicates.lead(selected(0), THIS, b"")
    assert leader is not None
    for n in range(1, copies + 1):
        duplicates.lead(selected(n), THIS, b"")
    why = GivenUp(error=error, clip=3, was_sent=True, partial=transcript("a"), answered_s=2.5, marks=b"marks")
    duplicates.settle(leader, why)
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
        assert (found.clip, found.was_sent, found.partial, found.marks) == (3, True, transcript("a"), b"marks")
    duplicates.close()
