"""Quotation marks in messages of their own stand at the words that they stood at, in every style of quoting."""

# ruff: noqa: RUF001 (the marks are meant)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gradium.punctuation import roles_of
from pipeline.gradium.wire import AnyMessage, EndText, Text
from pipeline.gradium.words import WordCollector
from pipeline.model import Word


def words(*messages: AnyMessage) -> list[Word]:
    collector = WordCollector(0.0)
    collector.take(messages)
    return [*collector.words(duration_s=300.0, channel=0, clip=0)[0]]


def said(*texts: str) -> str:
    """The text of these messages, one a second."""
    found = words(*(Text(one, float(at), 0) for at, one in enumerate(texts)))
    return " ".join(word.written or word.text for word in found)


@pytest.mark.parametrize(
    ("messages", "wanted"),
    [
        (["„", "Hallo", "“", "sagte sie"], "„Hallo“ sagte sie"),
        (["„Hallo", ",", "“", "sagte sie"], "„Hallo,“ sagte sie"),
        (["„", "Ja", ".“", "Dann ging sie"], "„Ja.“ Dann ging sie"),
        (["„", "Ja", "“,", "sagte sie"], "„Ja“, sagte sie"),
        (["„", "Ich habe", "‚", "ja", "‘", "gesagt", "“", "."], "„Ich habe ‚ja‘ gesagt“."),
        (["„", "Er sagt", "‚", "nein", "‘", "“", "und"], "„Er sagt ‚nein‘“ und"),
        (["„", "Er sagt", "‚", "nein", "“", "und"], "„Er sagt ‚nein“ und"),
        (["„", "Ja", "“", "heißt", "“", "yes", "”", "."], "„Ja“ heißt “yes”."),
        (["„", "Tak", "”", "to", "“", "yes", "”"], "„Tak” to “yes”"),
        (['„Ja"', "heißt", "“", "yes", "”"], '„Ja" heißt “yes”'),
        (["„", "Ja", '"', "heißt", "“", "yes", "”"], '„Ja" heißt “yes”'),
        (["“", "Hello", "”", "she said"], "“Hello” she said"),
        (["she said", ",", "“", "I", "‘", "love", "’", "it", "”"], "she said, “I ‘love’ it”"),
        (["‚", "geht’s", "‘", "so"], "‚geht’s‘ so"),
        (["«", "Oui", "»", "dit-il"], "«Oui» dit-il"),
        (["« Oui", "» dit-il"], "« Oui» dit-il"),
        (["dit-il", "»", "et", "«", "Non", "»"], "dit-il» et «Non»"),
        (["«", "Non", "»", "et", "«", "Oui"], "«Non» et «Oui"),
        (["oui", "»", "et «non", "«", "oui"], "oui» et «non «oui"),
        (["»", "Ja", "«", "sagte er", "»", "und", "«"], "»Ja« sagte er »und«"),
        (["er", "»", "sagte", "«", "ja", "»ja"], "er »sagte« ja »ja"),
        (["»", "Er sagt", "›", "ja", "‹", "«", "und"], "»Er sagt ›ja‹« und"),
    ],
)
def test_a_quotation_mark_stands_at_the_side_that_the_text_tells(messages: list[str], wanted: str) -> None:
    assert said(*messages) == wanted


@pytest.mark.parametrize(
    ("messages", "wanted"),
    [
        ([Text("„one", 1.0), Text("“", 1.3), EndText(1.4)], 1.4),
        ([Text("„one", 1.0), EndText(1.4), Text("“", 1.5), EndText(1.6)], 1.4),
        ([Text("„one", 1.0), Text("“", 1.3), Text("„", 1.3), EndText(1.4)], None),
        ([Text("»", 0.5), Text("one", 1.0), Text("«", 1.3), EndText(1.4)], 1.4),
        ([Text("„one", 1.0), Text("“", 1.1, 7), EndText(1.4)], 1.4),
    ],
)
def test_the_end_after_a_closing_mark_is_that_of_the_word(messages: list[AnyMessage], wanted: float | None) -> None:
    [word] = [word for word in words(*messages) if "one" in word.text]
    assert (word.start_s, word.stop_s, word.timing) == (1.0, wanted, "exact")


STYLES = ["“”‘’", "„“‚‘", "„”‚’", "«»‹›", "»«›‹", "«»“”", "„“»«", "„”«»", "»«‚‘"]
"""Marks of a quotation, and of one in it."""
plain = st.sampled_from(["a", "don’t", "10", "%", "été", "so,", "end."])


@st.composite
def quoting(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """A text with quotations of one style, which may hold another each; and messages that say it."""
    outer, outer_end, inner, inner_end = draw(st.sampled_from(STYLES))
    text: list[str] = []
    for _ in range(draw(st.integers(1, 4))):
        inside = draw(st.lists(plain, min_size=1, max_size=4))
        if draw(st.booleans()):
            inside = _quoted(inside, inner, inner_end)
        text += [*draw(st.lists(plain, max_size=3)), *_quoted(inside, outer, outer_end)]
    text += draw(st.lists(plain, max_size=3))
    marks = outer + outer_end + inner + inner_end
    messages: list[str] = []
    for token in text:
        word = token.strip(marks)
        before, after = token.split(word)
        pieces = [*before, word, *after] if draw(st.booleans()) else [token]
        if messages and draw(st.booleans()):
            pieces[0] = f"{messages.pop()} {pieces[0]}"
        messages += pieces
    return text, messages


def _quoted(text: list[str], mark: str, end: str) -> list[str]:
    text = [mark + text[0], *text[1:]]
    return [*text[:-1], text[-1] + end]


@given(quoting())
def test_a_detached_quotation_mark_comes_back_in_every_style(quoted: tuple[list[str], list[str]]) -> None:
    text, messages = quoted
    assert said(*messages) == " ".join(text)


@given(st.lists(st.text(st.sampled_from("„“”‚‘’«»‹›\"'(a.-"), min_size=1, max_size=3), max_size=8))
def test_what_a_word_is_does_not_depend_on_the_quotation_marks_around_it(tokens: list[str]) -> None:
    assert [role == "word" for role in roles_of(tokens)] == ["a" in token for token in tokens]
