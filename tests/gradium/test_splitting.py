"""From messages of several words and lone punctuation to single words: no word is lost, and times are those said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.errors import StreamMalformed
from pipeline.gradium.punctuation import is_punctuation, roles_of
from pipeline.gradium.splitting import MAX_WORD
from pipeline.gradium.wire import AnyMessage, EndText, Text
from pipeline.gradium.words import WordCollector
from pipeline.model import Word

Times = list[tuple[str, float, float | None]]


def words(*messages: AnyMessage, duration_s: float = 300.0, max_words: int = 10_000) -> list[Word]:
    collector = WordCollector(0.0, max_words=max_words)
    collector.take(messages)
    return [*collector.words(duration_s=duration_s, channel=0, clip=0)[0]]


def times(found: Sequence[Word]) -> Times:
    return [(word.text, word.start_s, word.stop_s) for word in found]


def text(found: Sequence[Word]) -> str:
    return " ".join(word.written or word.text for word in found)


def said(*texts: str) -> list[Word]:
    """The words of these messages, one a second."""
    return words(*(Text(one, float(at), 0) for at, one in enumerate(texts)))


def test_the_times_of_a_message_are_spread_over_its_words_by_their_length() -> None:
    found = words(Text("Allume la lampe", 1.0, 0), EndText(2.3, 0), Text("ici", 3.0, 0), EndText(3.2, 0))
    assert times(found) == [("Allume", 1.0, 1.6), ("la", 1.6, 1.8), ("lampe", 1.8, 2.3), ("ici", 3.0, 3.2)]
    assert [word.timing for word in found] == ["spread"] * 3 + ["exact"]


def test_where_no_end_is_known_words_have_none_and_start_at_a_slow_pace_before_the_next_message() -> None:
    early = words(Text("five or", 1.0, 0), Text("six", 1.3, 0))
    assert times(early) == [("five", 1.0, None), ("or", 1.2, None), ("six", 1.3, None)]
    late = words(Text("five or", 1.0, 0), Text("six", 9.0, 0))
    assert times(late) == [("five", 1.0, None), ("or", 1.32, None), ("six", 9.0, None)]
    last = words(Text("five or", 1.0, 0), duration_s=1.12)
    assert times(last) == [("five", 1.0, None), ("or", 1.08, None)]
    other_stream = words(Text("five or", 1.0, 0), Text("six", 1.1, 1))
    assert times(other_stream)[-1] == ("or", 1.32, None)


def test_an_end_behind_the_next_message_leaves_the_words_in_order() -> None:
    found = words(Text("five or", 1.0, 0), EndText(9.0, 0), Text("six", 1.6, 0))
    assert times(found) == [("five", 1.0, 1.4), ("or", 1.4, 9.0), ("six", 1.6, None)]


def test_an_end_before_the_start_leaves_no_time() -> None:
    assert times(words(Text("five or", 2.0, 0), EndText(1.0, 0))) == [("five", 2.0, 2.0), ("or", 2.0, 2.0)]


@pytest.mark.parametrize(
    ("messages", "single", "wanted"),
    [
        (["world , and"], ["world,", "and"], "world , and"),
        (["world", ",", "and"], ["world,", "and"], "world, and"),
        (["world", ", and"], ["world,", "and"], "world, and"),
        (["Bonjour !", "Ça  va\u00a0?"], ["Bonjour!", "Ça", "va?"], "Bonjour ! Ça va ?"),
        (["¿", "Qué tal", "?", "!"], ["¿Qué", "tal?!"], "¿Qué tal?!"),
        (["say (", "yes", ")", "."], ["say", "(yes)."], "say (yes)."),
        (["one", "\u2013", "two"], ["one\u2013", "two"], "one \u2013 two"),
        (["one -", "two"], ["one-", "two"], "one - two"),
        (["wait", "…", "now"], ["wait…", "now"], "wait… now"),
        (["…", "now"], ["…now"], "… now"),
        (["-", "Oui"], ["-Oui"], "- Oui"),
        (["\u4f60\u597d", "\u3002", "\u300c", "\u597d", "\u300d"], ["\u4f60\u597d\u3002", "\u300c\u597d\u300d"],
         "\u4f60\u597d\u3002 \u300c\u597d\u300d"),
        (["l", "'", "eau"], ["l'", "eau"], "l' eau"),
        (["10", "%", "of", "A & B"], ["10", "%", "of", "A", "&", "B"], "10 % of A & B"),
        (["5", "€", "+", "5 $", "\U0001f600", "\u2764\ufe0f", "\u266a"],
         ["5", "€", "+", "5", "$", "\U0001f600", "\u2764\ufe0f", "\u266a"], "5 € + 5 $ \U0001f600 \u2764\ufe0f \u266a"),
        (["e", "\u0301", "\u200b", "a"], ["e\u0301\u200b", "a"], "e\u0301\u200b a"),
        (["said", "(", "“"], ["said(“"], "said (“"),
        ([".", "?"], [".?"], ".?"),
        (["("], ["("], "("),
        (["( ,", "so"], ["(,so"], "( , so"),
    ],
)  # fmt: skip
def test_punctuation_joins_a_word_and_the_text_reads_as_it_was_written(
    messages: list[str], single: list[str], wanted: str
) -> None:
    found = said(*messages)
    assert [word.text for word in found] == single
    assert text(found) == wanted


def test_punctuation_joins_the_word_of_its_own_stream() -> None:
    found = words(Text("one", 1.0, 0), Text("uno", 1.5, 1), Text(",", 1.8, 0), Text("¡", 1.9, 1), Text("dos", 2.0, 1))
    assert [(word.text, word.stream_id) for word in found] == [("one,", 0), ("uno", 1), ("¡dos", 1)]


@pytest.mark.parametrize(
    ("messages", "wanted"),
    [
        ([Text("one", 1.0), EndText(1.4), Text(",", 1.9), EndText(2.0)], 1.4),
        ([Text("one", 1.0), EndText(None), Text(",", 1.9), EndText(2.0)], None),
        ([Text("one", 1.0), Text(",", 1.3), EndText(1.4)], 1.4),
        ([Text("one", 1.0), Text(",", 1.3), EndText(1.4), EndText(1.9)], 1.4),
        ([Text("one", 1.0), Text("(", 1.3), EndText(1.4)], None),
        ([Text("one", 1.0), Text("“", 1.3), EndText(1.4)], None),
        ([Text("¿", 0.5), EndText(0.6), Text("one", 1.0)], None),
        ([Text("¿", 0.5), Text("one", 1.0), EndText(1.4)], 1.4),
    ],
)
def test_a_word_stops_where_it_was_said_to_stop(messages: list[AnyMessage], wanted: float | None) -> None:
    [word] = words(*messages)
    assert (word.start_s, word.stop_s, word.timing) == (1.0, wanted, "exact")


def test_the_time_of_punctuation_tells_nothing_about_words() -> None:
    collector = WordCollector(0.0)
    collector.take([Text("five or", 1.0), Text(",", 1.0), Text("six", 2.0), Text(".", 0.0), Text("!", 99.0)])
    found, issues, _ = collector.words(duration_s=9, channel=0, clip=0)
    assert (times(found), issues) == ([("five", 1.0, None), ("or,", 1.32, None), ("six.!", 2.0, None)], ())


def test_a_punctuation_message_that_comes_twice_is_one() -> None:
    mark = Text(".", 1.3, 0)
    assert text(words(Text("one", 1.0, 0), mark, mark, EndText(1.4, 0), EndText(1.4, 0))) == "one."


def test_punctuation_without_end_makes_no_word_without_end() -> None:
    found = said("so", *["."] * 3 * MAX_WORD)
    assert "".join(word.text for word in found) == "so" + "." * 3 * MAX_WORD
    assert max(len(word.text) for word in found) <= MAX_WORD
    found = said(*["("] * 2 * MAX_WORD, "so")
    assert "".join(word.text for word in found) == "(" * 2 * MAX_WORD + "so"
    with pytest.raises(StreamMalformed, match="more than the 10 words"):
        words(*(Text(".", float(at)) for at in range(11)), max_words=10)


@pytest.mark.parametrize(
    "mark",
    [
        *".,;:!?…-\u2013\u2014'\u2019\"„“”«»\u2039\u203a()[]{}¿¡·•`\u00b4",
        "...",
        "?!",
        "\u3001",
        "\u061f",
        "\u0964",
        "\uff01",
    ],
)
def test_marks_are_punctuation(mark: str) -> None:
    assert is_punctuation(mark)
    assert (roles_of([mark]) == ["opening"]) == (mark in "„“«\u2039([{¿¡")


@pytest.mark.parametrize(
    "word", [*"a7½²%&€$+=<>~|^#@*/\\_§°№♪\u2212✓", "'s", "n't", "-5", "...a", "\uff05", "\U0001f44d", "#\ufe0f\u20e3"]
)
def test_what_is_read_aloud_is_no_punctuation(word: str) -> None:
    assert not is_punctuation(word)


Marked = tuple[str, str, str]
marked = st.tuples(
    st.sampled_from(["", "", "", "¿", "(", "“", '("', "¡"]),
    st.sampled_from(["a", "été", "don't", "10", "%", "&", "\u597d", "e\u0301", "x-y", "\U0001f600", "longer"]),
    st.lists(st.sampled_from([",", ".", "!", "?", "…", ")", "”", '"', "\u3002", "..."]), max_size=3).map("".join),
)

durations = st.integers(0, 50_000).map(lambda number: number / 1000)


@st.composite
def messages_of(draw: st.DrawFn, said_words: list[Marked], stream: int) -> list[AnyMessage]:
    """Any messages that say these words: several in one, punctuation in messages of its own, ends or none."""
    texts: list[str] = []
    for before, word, after in said_words:
        pieces = [before] if before and draw(st.booleans()) else []
        pieces.append(word if pieces else before + word)
        if after and draw(st.booleans()):
            cut = draw(st.integers(0, len(after) - 1))
            pieces[-1] += after[:cut]
            pieces += [after[cut:]] if draw(st.booleans()) else [*after[cut:]]
        else:
            pieces[-1] += after
        for number, piece in enumerate(pieces):
            if texts and not number and draw(st.booleans()):
                texts[-1] += draw(st.sampled_from([" ", "  ", "\t\u00a0"])) + piece
            else:
                texts.append(piece)
    made: list[AnyMessage] = []
    at = 0.0
    for one in texts:
        at += draw(st.floats(0.01, 3))
        made.append(Text(one, at, stream))
        if draw(st.booleans()):
            made.append(EndText(draw(st.none() | st.floats(-1, 100)), stream))
    return made


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[list[Marked]], list[AnyMessage]]:
    said_words = draw(st.lists(st.lists(marked, max_size=12), min_size=1, max_size=3))
    left = [draw(messages_of(one, stream)) for stream, one in enumerate(said_words)]
    merged: list[AnyMessage] = []
    while any(left):
        merged.append(draw(st.sampled_from([one for one in left if one])).pop(0))
    return said_words, merged


@pytest.mark.slow
@given(streams(), durations)
def test_any_grouping_and_any_detached_punctuation_is_the_same_words_and_text(
    said_so: tuple[list[list[Marked]], list[AnyMessage]], duration_s: float
) -> None:
    said_words, messages = said_so
    found: dict[int | None, list[Word]] = defaultdict(list)
    everything = words(*messages, Text("end", 999.0, 99), duration_s=duration_s)
    for word in everything:
        found[word.stream_id].append(word)
    for stream, wanted in enumerate(said_words):
        assert [word.text for word in found[stream]] == ["".join(one) for one in wanted]
        assert text(found[stream]) == " ".join("".join(one) for one in wanted)
    assert [word.start_s for word in everything] == sorted(word.start_s for word in everything)
    for word in everything:
        assert 0 <= word.start_s <= (word.start_s if word.stop_s is None else word.stop_s) <= duration_s
    said_stops = {message.stop_s for message in messages if isinstance(message, EndText)}
    for one in found.values():
        for before, word in pairwise(one):
            inner = before.timing == "spread" and before.stop_s == word.start_s
            assert before.stop_s is None or inner or _is_said(before, said_stops, duration_s)


def _is_said(word: Word, stops: set[float | None], duration_s: float) -> bool:
    """Whether the service said this stop, cut to the audio and to the word's start."""
    inside = {min(max(stop, word.start_s), duration_s) for stop in stops if stop is not None}
    return any(abs(stop - word.stop_s) <= 0.002 for stop in inside if word.stop_s is not None)


anything = st.one_of(
    st.builds(Text, st.text(max_size=12), st.floats(-1e9, 1e9), st.none() | st.integers(0, 1)),
    st.builds(EndText, st.none() | st.floats(-1e9, 1e9), st.none() | st.integers(0, 1)),
)


@given(st.lists(anything), durations)
@example([Text("a b", 0.0), Text("c", -5.0), Text("(", 3.0)], 1.0)
def test_of_any_messages_no_character_is_lost_and_every_word_is_within_the_audio(
    messages: list[AnyMessage], duration_s: float
) -> None:
    texts: list[Text] = []
    for message in messages:
        if isinstance(message, Text) and message.text.split() and message != (texts[-1] if texts else None):
            texts.append(message)
    found = words(*messages, Text("end", 1e10, 99), duration_s=duration_s)
    for stream in (None, 0, 1):
        kept = "".join(word.text for word in found if word.stream_id == stream)
        assert sorted(kept) == sorted("".join("".join(one.text.split()) for one in texts if one.stream_id == stream))
    for word in found:
        assert word.text.split() == [word.text]
        assert (word.written or word.text).replace(" ", "") == word.text
        assert 0 <= word.start_s <= (word.start_s if word.stop_s is None else word.stop_s) <= duration_s
