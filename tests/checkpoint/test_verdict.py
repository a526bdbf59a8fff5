"""The verdict on the decoder's delay: the majority of the first answers with evidence, which then stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.checkpoint.verdict import DECIDES, EARLIER, DelayVerdict

answers = st.lists(st.booleans(), max_size=3 * DECIDES)


def after(said: list[bool], begun: DelayVerdict | None = None) -> DelayVerdict:
    verdict = begun or DelayVerdict()
    for contain in said:
        verdict = verdict.heard(contain)
    return verdict


@given(answers)
def test_the_majority_of_the_first_decides_and_it_never_flips(said: list[bool]) -> None:
    verdict, first = after(said), said[:DECIDES]
    agree = first.count(True) >= first.count(False)
    assert (verdict.applied, verdict.decided) == (agree, agree if len(said) >= DECIDES else None)
    assert (verdict.on, verdict.off) == (first.count(True), first.count(False))
    assert DelayVerdict.read(verdict.written()) == verdict


@given(answers, st.integers(0, 60))
def test_in_pieces_it_is_the_same(said: list[bool], place: int) -> None:
    begun = DelayVerdict.read(after(said[:place]).written())
    assert after(said[place:], begun) == after(said)


@pytest.mark.parametrize("begun", [EARLIER, after([True] * DECIDES)])
def test_a_clear_majority_against_it_is_told_and_flips_nothing(begun: DelayVerdict) -> None:
    assert not after([False] * (DECIDES - 1), begun=begun).is_doubted
    doubted = after([True, False, False] * DECIDES, begun=begun)
    assert (doubted.is_doubted, doubted.applied) == (True, True)
    assert not after([False, True] * 100, begun=begun).is_doubted
    assert not after([True] * DECIDES, begun=doubted).is_doubted


@pytest.mark.parametrize("fact", [None, 7, "", "{", "[]", '{"on": "many"}'])
def test_what_cannot_be_read_is_no_verdict(fact: object) -> None:
    assert DelayVerdict.read(fact) is None
