"""From messages to words: ends find their words, the decoder's delay is off, odd streams are flagged or refused."""

from __future__ import annotations

import pytest

from pipeline.errors import ConcurrencyLimit, EmptyAnswer, KeyRefused, ServerFault, StreamError
from pipeline.gradium.wire import AnyMessage, EndOfStream, EndText, Error, Ready, Step, Text
from pipeline.gradium.words import WordCollector
from pipeline.model import Word


def listened(*messages: AnyMessage, delay_s: float = 0.0) -> WordCollector:
    collector = WordCollector(delay_s)
    collector.take(messages)
    return collector


def words(*messages: AnyMessage, delay_s: float = 0.0, duration_s: float = 300.0) -> list[Word]:
    return list(listened(*messages, delay_s=delay_s).words(duration_s=duration_s, channel=0, clip=0)[0])


def issues(*messages: AnyMessage, delay_s: float = 0.0, duration_s: float = 300.0) -> tuple[str, ...]:
    return listened(*messages, delay_s=delay_s).words(duration_s=duration_s, channel=0, clip=0)[1]


def times(found: list[Word]) -> list[tuple[str, float, float | None]]:
    return [(word.text, word.start_s, word.stop_s) for word in found]


def test_a_word_ends_with_the_end_that_follows_it() -> None:
    found = words(Text("one", 1.0, 0), EndText(1.4, 0), Text("two", 2.0, 0), EndText(2.5, 0), EndOfStream())
    assert times(found) == [("one", 1.0, 1.4), ("two", 2.0, 2.5)]


def test_each_stream_has_its_own_ends() -> None:
    found = words(
        Text("a", 1.0, 0),
        Text("b", 1.1, 1),
        Text("c", 1.2),
        EndText(1.9, 1),
        EndText(1.8),
        EndText(1.7, 0),
    )
    assert times(found) == [("a", 1.0, 1.7), ("b", 1.1, 1.9), ("c", 1.2, 1.8)]
    assert [word.stream_id for word in found] == [0, 1, None]


def test_an_end_belongs_to_the_last_word_of_its_stream_only() -> None:
    found = words(Text("one", 1.0, 0), Text("two", 2.0, 0), EndText(2.5, 0), EndText(3.5, 0), EndText(9.0, 7))
    assert times(found) == [("one", 1.0, None), ("two", 2.0, 2.5)]


def test_without_an_end_a_word_has_none() -> None:
    assert times(words(Text("one", 1.0, 0), EndText(1.4, 0), Text("last", 2.0, 0))) == [
        ("one", 1.0, 1.4),
        ("last", 2.0, None),
    ]


def test_an_end_without_a_time_is_used_up() -> None:
    assert times(words(Text("one", 1.0, 0), EndText(None, 0), EndText(1.5, 0))) == [("one", 1.0, None)]


def test_the_end_of_a_blank_text_is_not_given_to_the_word_before_it() -> None:
    assert times(words(Text("one", 1.0, 0), Text(" ", 2.0, 0), EndText(2.2, 0))) == [("one", 1.0, None)]


def test_the_delay_asked_for_is_taken_off() -> None:
    assert times(words(Text("one", 2.28, 0), EndText(2.78, 0), delay_s=1.28)) == [("one", 1.0, 1.5)]


def test_the_delay_that_ready_reports_beats_the_one_asked_for() -> None:
    found = words(Ready(delay_in_frames=40), Text("one", 4.2, 0), EndText(4.7, 0), delay_s=1.28)
    assert times(found) == [("one", 1.0, 1.5)]


def test_the_frame_length_that_ready_reports_holds() -> None:
    ready = Ready(delay_in_frames=10, frame_size=1600, sample_rate=16_000)
    assert times(words(ready, Text("one", 2.0, 0))) == [("one", 1.0, None)]


def test_ready_counts_even_when_it_comes_late() -> None:
    assert times(words(Text("one", 2.0, 0), Ready(delay_in_frames=10), delay_s=0.0)) == [("one", 1.2, None)]


@pytest.mark.parametrize(
    "ready",
    [
        Ready(),
        Ready(delay_in_frames=-4),
        Ready(delay_in_frames=100_000),
        Ready(delay_in_frames=10**400),
    ],
)
def test_a_delay_that_cannot_be_true_is_not_believed(ready: Ready) -> None:
    assert times(words(ready, Text("one", 2.28, 0), delay_s=1.28)) == [("one", 1.0, None)]


@pytest.mark.parametrize(
    "ready",
    [
        Ready(delay_in_frames=10, frame_size=0, sample_rate=24_000),
        Ready(delay_in_frames=10, frame_size=1920, sample_rate=0),
        Ready(delay_in_frames=10, frame_size=-1920, sample_rate=24_000),
        Ready(delay_in_frames=10, frame_size=10**400, sample_rate=1),
    ],
)
def test_a_frame_length_that_cannot_be_true_is_not_believed(ready: Ready) -> None:
    assert times(words(ready, Text("one", 1.8, 0))) == [("one", 1.0, None)]


def test_times_stay_within_the_audio() -> None:
    found = words(
        Text("early", 0.5, 0), EndText(1.0, 0), Text("late", 11.2, 0), EndText(13.0, 0), delay_s=1.28, duration_s=9
    )
    assert times(found) == [("early", 0.0, 0.0), ("late", 9.0, 9.0)]


def test_a_word_does_not_stop_before_it_starts() -> None:
    assert times(words(Text("one", 2.0, 0), EndText(1.0, 0))) == [("one", 2.0, 2.0)]


def test_words_out_of_order_are_sorted_and_flagged() -> None:
    stream = (Text("two", 2.0, 0), EndText(2.5, 0), Text("one", 1.0, 0), EndText(1.5, 0))
    assert times(words(*stream)) == [("one", 1.0, 1.5), ("two", 2.0, 2.5)]
    assert issues(*stream) == ("times_backwards",)


def test_streams_that_overlap_are_sorted_and_nothing_odd() -> None:
    stream = (Text("two", 2.0, 0), Text("one", 1.0, 1), Text("three", 3.0, 0))
    assert [word.text for word in words(*stream)] == ["one", "two", "three"]
    assert issues(*stream) == ()


def test_words_at_one_time_keep_the_order_they_came_in() -> None:
    stream = (Text("c", 1.0, 0), Text("b", 1.0, 0), Text("a", 1.0, 0))
    assert [word.text for word in words(*stream)] == ["c", "b", "a"]
    assert issues(*stream) == ()


def test_a_word_said_twice_at_one_time_is_one_word() -> None:
    one, end = Text("one", 1.0, 0), EndText(1.4, 0)
    assert times(words(one, one, end, end, Text("one", 1.5, 0), EndText(1.9, 0))) == [
        ("one", 1.0, 1.4),
        ("one", 1.5, 1.9),
    ]


def test_no_white_space_is_in_a_word() -> None:
    found = words(Text(" one\n", 1.0, 0), Text("two \t three", 2.0, 0), Text(" \u00a0", 3.0, 0), Text("", 4.0, 0))
    assert [word.text for word in found] == ["one", "two", "three"]


def test_silence_is_an_answer_with_a_flag() -> None:
    assert words(Ready(), Step(), EndOfStream()) == []
    assert issues(Ready(), Step(), EndOfStream()) == ("no_words",)


def test_nothing_at_all_is_no_answer() -> None:
    with pytest.raises(EmptyAnswer) as caught:
        words()
    assert caught.value.http_status == 200


def test_words_carry_their_channel_and_clip() -> None:
    found, *_ = listened(Text("one", 1.0, 0)).words(duration_s=9, channel=1, clip=4)
    assert (found[0].channel, found[0].clip) == (1, 4)


def test_request_id_and_model_are_kept() -> None:
    collector = listened(Ready(request_id="r-7", model_name="m-2"), Ready(), Text("one", 1.0))
    assert (collector.request_id, collector.model) == ("r-7", "m-2")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Error("internal error", 1011), ServerFault),
        (Error("Concurrency limit exceeded", 1008), ConcurrencyLimit),
        (Error("API key is revoked or expired", "1008"), KeyRefused),
        (Error(""), StreamError),
    ],
)
def test_an_error_message_ends_the_stream(error: Error, kind: type[Exception]) -> None:
    stream: list[AnyMessage] = [Ready(request_id="r-7"), Text("one", 1.0, 0), error, Text("two", 2.0, 0), EndOfStream()]
    collector = WordCollector(0.0)
    with pytest.raises(kind) as caught:
        collector.take(stream)
    assert caught.value.request_id == "r-7"  # type: ignore[attr-defined]
    assert not collector.ended


def test_nothing_after_the_end_of_the_stream_is_heard() -> None:
    collector = listened(Text("one", 1.0), EndText(1.5), EndOfStream(), Text("two", 2.0), Error(message="lost"))
    collector.take([Text("three", 3.0), Error(message="lost")])
    found, odd, _ = collector.words(duration_s=300, channel=0, clip=0)
    assert (times(list(found)), odd) == ([("one", 1.0, 1.5)], ())


def test_a_limit_is_a_refusal_before_work_only_where_nothing_was_said_before_it() -> None:
    limit = Error(message="Concurrency limit exceeded")
    with pytest.raises(ConcurrencyLimit) as first:
        listened(limit)
    with pytest.raises(ConcurrencyLimit) as late:
        listened(Step(), limit)
    assert (first.value.before_work, late.value.before_work) == (True, False)
