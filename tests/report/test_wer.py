"""WER: words count, their dress does not."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.report.wer import compare, normalized

words = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a", "mat"]), max_size=12).map(" ".join)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors", "count"),
    [
        ("the cat sat", "the cat sat", 0, 3),
        ("the cat sat", "the bat sat", 1, 3),
        ("the cat sat", "the sat", 1, 3),
        ("the cat sat", "the big cat sat", 1, 3),
        ("the cat sat", "", 3, 3),
        ("the cat sat", "...", 3, 3),
        ("", "the cat", 2, 0),
        ("?!", "the cat", 2, 0),
        ("", "", 0, 0),
        ("one", "two three four", 3, 1),
    ],
)
def test_errors_are_substitutions_deletions_and_insertions(
    reference: str, hypothesis: str, errors: int, count: int
) -> None:
    found = compare(reference, hypothesis)
    assert (found.errors, found.words) == (errors, count)
    assert found.wer == (errors / count if count else None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The CAT, sat.", "the cat sat"),
        ("it\N{RIGHT SINGLE QUOTATION MARK}s mine", "It's mine!"),
        ("it\N{MODIFIER LETTER APOSTROPHE}s mine", "it's mine"),
        ("it\N{LEFT SINGLE QUOTATION MARK}s mine", "it's mine"),
        ("'quoted' words'", "quoted words"),
        ("well-known", "well known"),
        ("snake_case", "snake case"),
        ("one\ttwo\n three", "one two three"),
        ("Straße", "STRASSE"),
        ("\N{LATIN SMALL LIGATURE FI}ne", "fine"),
        (unicodedata.normalize("NFD", "Mañana será café"), unicodedata.normalize("NFC", "mañana será café")),
        ("¿Qué pasó?", "qué pasó"),
        ("« l'été »", "l'été"),
    ],
)
def test_case_punctuation_and_encoding_do_not_count(one: str, other: str) -> None:
    assert normalized(one) == normalized(other)
    assert compare(one, other).errors == 0


@pytest.mark.parametrize(("one", "other"), [("were", "we're"), ("schon", "schön"), ("ano", "año"), ("to", "two")])
def test_letters_and_apostrophes_within_words_count(one: str, other: str) -> None:
    assert compare(one, other).errors == 1


@settings(deadline=None)
@given(words, words)
def test_a_text_has_no_errors_against_itself_and_never_more_than_all_words(one: str, other: str) -> None:
    assert compare(one, one).errors == 0
    found = compare(one, other)
    assert abs(len(one.split()) - len(other.split())) <= found.errors <= max(len(one.split()), len(other.split()))
    assert found.errors == compare(other, one).errors


@settings(deadline=None)
@given(st.text(max_size=40))
def test_what_is_normal_stays_as_it_is(text: str) -> None:
    assert normalized(normalized(text)) == normalized(text)
