"""Segments: sentences of one channel, turns of several; nothing is lost, and no segment holds two speakers."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model import Segment, Word
from pipeline.segments import as_written, segments_of, text_of


def said(text: str, *, at: float = 0.0, channel: int = 0, each: float = 0.3) -> list[Word]:
    """The words of a text, one after the other without pauses."""
    words = text.split()
    return [
        Word(text=word, start_s=round(at + n * each, 3), stop_s=round(at + (n + 1) * each, 3), channel=channel)
        for n, word in enumerate(words)
    ]


def texts(*words: Word) -> list[str]:
    return [segment.text for segment in segments_of(sorted(words, key=lambda word: word.start_s))]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello there. How are you? Fine!", ["Hello there.", "How are you?", "Fine!"]),
        ('He said "go." Then he went.', ['He said "go."', "Then he went."]),
        ("Dr. Brown and J. Smith paid 3.50 at 5 p.m. yesterday. Thanks.", None),
        ("we use e.g. water etc. and salt", ["we use e.g. water etc. and salt"]),
        ("no punctuation at all", ["no punctuation at all"]),
        ("\u4f60\u597d\u3002 \u518d\u89c1\uff01", ["\u4f60\u597d\u3002", "\u518d\u89c1\uff01"]),
        ("\u0643\u064a\u0641\u061f \u0628\u062e\u064a\u0631", ["\u0643\u064a\u0641\u061f", "\u0628\u062e\u064a\u0631"]),
        ("Wait \u2026 What", ["Wait \u2026", "What"]),
        ("Fine.\u2013 He left.- So?\u2014 Yes.\u2026 And",
         ["Fine.\u2013", "He left.-", "So?\u2014", "Yes.\u2026", "And"]),
        ("Fine.\u2014 he said", ["Fine.\u2014 he said"]),
        ("by Dr.\u2013 Brown at 5 p.m.- Thursday", ["by Dr.\u2013 Brown at 5 p.m.- Thursday"]),
        ("well-known \u2013 Words- And", ["well-known \u2013 Words- And"]),
        ("\u201eHallo.\u201c Dann \xbbJa!\xab Und", ["\u201eHallo.\u201c", "Dann \xbbJa!\xab", "Und"]),
        ("(So.)\u2014 \u201aJa?\u2018 {Oh!} \u2039Si.\u203a Then",
         ["(So.)\u2014", "\u201aJa?\u2018", "{Oh!}", "\u2039Si.\u203a", "Then"]),
        ("\uff08\u597d\u3002\uff09 \u300a\u597d\uff01\u300b \u597d",
         ["\uff08\u597d\u3002\uff09", "\u300a\u597d\uff01\u300b", "\u597d"]),
        ("", []),
    ],
)  # fmt: skip
def test_sentences_end_with_their_punctuation(text: str, sentences: list[str] | None) -> None:
    wanted = ["Dr. Brown and J. Smith paid 3.50 at 5 p.m. yesterday.", "Thanks."] if sentences is None else sentences
    assert texts(*said(text)) == wanted


def test_sentences_end_before_a_pause() -> None:
    assert texts(*said("one two"), *said("three", at=1.59)) == ["one two three"]
    assert texts(*said("one two"), *said("three", at=1.6)) == ["one two", "three"]
    without_ends = [Word(text="one", start_s=0.0), Word(text="two", start_s=0.9), Word(text="three", start_s=2.0)]
    assert [(one.text, one.start_s, one.stop_s) for one in segments_of(without_ends)] == [
        ("one two", 0.0, None),
        ("three", 2.0, None),
    ]


def test_two_speakers_who_talk_at_the_same_time_are_turns_and_not_word_by_word() -> None:
    asks, answers = said("How are you? Good to hear."), said("fine thanks", at=0.8, channel=1)
    assert texts(*asks, *answers) == ["How are you?", "fine thanks", "Good to hear."]
    segments = segments_of(sorted([*asks, *answers], key=lambda word: word.start_s))
    assert [(one.channel, one.start_s, one.stop_s) for one in segments] == [(0, 0.0, 0.9), (1, 0.8, 1.4), (0, 0.9, 1.8)]
    assert text_of(segments) == "How are you? fine thanks Good to hear."


def test_a_turn_holds_several_sentences_and_ends_where_another_speaks_or_after_a_long_silence() -> None:
    first = [*said("One. Two."), *said("three", at=3.0), *said("and much later", at=9.0)]
    assert texts(*first, *said("yes", at=20.0, channel=1)) == ["One. Two. three", "and much later", "yes"]


def test_one_channel_of_several_that_speaks_has_sentences() -> None:
    assert [segment.channel for segment in segments_of(said("One. Two.", channel=1))] == [1, 1]


def test_segments_are_of_the_text_as_it_was_written_and_tell_how_that_was() -> None:
    words = [
        Word(text="Bonjour!", start_s=0.0, written="Bonjour !"),
        Word(text="«Hi", start_s=0.1, written="« Hi", channel=1),
        Word(text="Ça", start_s=0.5),
        Word(text="va?»,", start_s=0.7, written="va ? »,"),
    ]
    segments = segments_of(words)
    assert [one.text for one in segments] == ["Bonjour !", "« Hi", "Ça va ? »,"]
    unwritten = [msgspec.structs.replace(word, written=msgspec.UNSET) for word in words]
    assert as_written(unwritten, segments) == words
    for other in (unwritten[1:], [*unwritten, unwritten[0]], [*unwritten, Word(text="x", start_s=0, channel=7)]):
        assert as_written(other, segments) == other


@given(st.sampled_from(".?!\u2026\u3002"), st.text("-\u2013\u2014\"'\u2019\u201d\u201c\xbb\xab)]\u300d", max_size=4))
def test_what_closes_after_a_full_stop_does_not_hide_the_end_of_the_sentence(end: str, closers: str) -> None:
    assert texts(*said(f"This is fine{end}{closers} Then")) == [f"This is fine{end}{closers}", "Then"]
    assert texts(*said(f"This is fine{closers} Then")) == [f"This is fine{closers} Then"]


words = st.builds(
    lambda text, start, length, channel: Word(
        text=text, start_s=start, stop_s=None if length is None else round(start + length, 3), channel=channel
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=["Zs", "Cc", "Zl", "Zp"]), min_size=1, max_size=6),
    st.floats(0, 60).map(lambda number: round(number, 3)),
    st.none() | st.floats(0, 2),
    st.integers(0, 2),
)


@given(st.lists(words).map(lambda found: sorted(found, key=lambda word: word.start_s)))
def test_every_word_is_in_one_segment_of_its_channel_and_they_are_in_order(found: list[Word]) -> None:
    segments = segments_of(found)
    assert [segment.start_s for segment in segments] == sorted(segment.start_s for segment in segments)
    in_segments = Counter((segment.channel, word) for segment in segments for word in segment.text.split())
    assert in_segments == Counter((word.channel, text) for word in found for text in word.text.split())
    assert all(isinstance(segment, Segment) and segment.text for segment in segments)
    for segment in segments:
        assert segment.stop_s is None or segment.stop_s >= segment.start_s
