"""Taking the decoder's delay off times and putting it back: exact, and as if it had been so from the start."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gradium.wire import AnyMessage, EndOfStream, EndText, Text
from pipeline.gradium.words import WordCollector
from pipeline.model import ClipTimes, Transcript, Word
from pipeline.segments import segments_of, text_of
from pipeline.times import OUTSIDE, on_other_clock, retimed, state_of

texts = st.sampled_from(["one", "two.", "Allume la", "!", "\xab", "trois quatre cinq", "s\u00ed"])
seconds = st.floats(-3.0, 14.0).map(lambda value: round(value, 3))
spoken = st.lists(st.tuples(texts, seconds, st.none() | st.floats(-0.5, 3.0), st.sampled_from([0, 1])), max_size=12)
DURATION_S = 9.0


def answered(
    said: list[tuple[str, float, float | None, int]], delay_s: float, *, late_s: float = 0.0
) -> tuple[tuple[Word, ...], ClipTimes]:
    """The words of an answer whose messages came `late_s` later than said."""
    messages: list[AnyMessage] = []
    for text, start_s, length_s, stream in said:
        messages.append(Text(text, start_s + late_s, stream))
        if length_s is not None:
            messages.append(EndText(round(start_s + length_s, 3) + late_s, stream))
    collector = WordCollector(delay_s)
    collector.take([*messages, EndOfStream()])
    words, _, times = collector.words(duration_s=DURATION_S, channel=0, clip=0)
    return words, times


def row_of(clips: list[tuple[tuple[Word, ...], ClipTimes]]) -> Transcript:
    words = sorted((word for own, _ in clips for word in own), key=lambda word: word.start_s)
    segments = segments_of(words)
    return Transcript(
        id="a",
        audio="a.wav",
        text=text_of(segments),
        words=tuple(msgspec.structs.replace(word, written=msgspec.UNSET) for word in words),
        segments=segments,
        duration_s=60.0,
        status="ok",
        issues=(),
        language="en",
        model=None,
        audio_hash="h",
        config_hash="c",
        request_ids=(),
        attempts=1,
        latency_s=0.0,
        credits=0.0,
        run_id="r",
        finished_at=datetime(2026, 11, 29, tzinfo=UTC),
        clip_times=tuple(times for _, times in clips),
    )


@given(spoken, st.sampled_from([0.56, 1.28, 3.84]))
def test_it_can_be_put_back_and_taken_off_again(
    said: list[tuple[str, float, float | None, int]], delay_s: float
) -> None:
    row = row_of([answered(said, delay_s)])
    off, on = (retimed(row, applied=applied) for applied in (False, True))
    assert (on.words, on.segments, on.text) == (row.words, row.segments, row.text)
    assert (retimed(off, applied=True), retimed(on, applied=False)) == (on, off)
    assert (retimed(off, applied=False), retimed(on, applied=True)) == (off, on), "again, it changes nothing"
    assert [word.text for word in off.words] == [word.text for word in on.words]
    assert state_of(on) is True
    assert state_of(off) is False or off.words == on.words


@given(spoken, st.sampled_from([0.56, 1.28, 3.84]))
def test_put_back_it_is_as_if_it_had_never_been_taken_off(
    said: list[tuple[str, float, float | None, int]], delay_s: float
) -> None:
    inside = [one for one in said if one[2] is not None and max(one[1], one[1] + one[2]) <= DURATION_S]
    never, _ = answered(inside, 0.0)
    row = row_of([answered(inside, delay_s)])
    words = retimed(row, applied=False).words
    assert [(one.text, one.start_s, one.stop_s) for one in words] == [
        (one.text, one.start_s, one.stop_s) for one in never
    ]


@given(
    spoken,
    spoken,
    st.integers(0, 10**8).map(lambda samples: samples / 16_000),
    st.sampled_from([0.56, 1.28]),
    st.sampled_from([0, 1]),
)
def test_on_the_clock_of_a_recording_it_is_the_same(
    first: list[tuple[str, float, float | None, int]],
    second: list[tuple[str, float, float | None, int]],
    start_s: float,
    delay_s: float,
    channel: int,
) -> None:
    words, times = answered(second, delay_s)
    by_s = round(start_s, 3)
    moved = tuple(
        msgspec.structs.replace(
            word,
            clip=1,
            channel=channel,
            start_s=round(by_s + word.start_s, 3),
            stop_s=None if word.stop_s is None else round(by_s + word.stop_s, 3),
        )
        for word in words
    )
    row = row_of([answered(first, delay_s), (moved, on_other_clock(times, start_s, 1))])
    off = retimed(row, applied=False)
    on = retimed(off, applied=True)
    assert on == retimed(row, applied=True)
    assert (on.words, on.segments, on.text) == (row.words, row.segments, row.text)
    alone = retimed(row_of([(words, times)]), applied=False)
    assert [round(word.start_s - by_s, 3) for word in off.words if word.clip == 1] == [
        word.start_s for word in alone.words
    ]


def test_other_words_are_left_alone() -> None:
    row = row_of([answered([("one", 1.5, 0.5, 0)], 1.28)])
    word = msgspec.structs.replace(row.words[0], start_s=0.5)
    other = msgspec.structs.replace(row, words=(word,))
    assert retimed(other, applied=False) == msgspec.structs.replace(other, clip_times=msgspec.UNSET)
    assert state_of(other) is None
    more = msgspec.structs.replace(row, words=(*row.words, msgspec.structs.replace(word, clip=7)))
    assert retimed(more, applied=False).words == more.words


true = st.lists(st.floats(0.0, DURATION_S - 0.1), max_size=8)


@given(true, st.sampled_from([7, 16, 48]), st.booleans())
def test_no_true_time_speaks_for_the_other_world(starts: list[float], frames: int, contain: bool) -> None:
    """Where the model is right by a frame, no answer can be mistaken, and none is flagged in its own world."""
    delay_s = frames * 0.08
    said: list[tuple[str, float, float | None, int]] = [("w", round(start, 3), 0.1, 0) for start in starts]
    words, times = answered(said, delay_s, late_s=delay_s if contain else 0.0)
    assert times.contains in (None, contain)
    assert OUTSIDE not in retimed(row_of([(words, times)]), applied=contain).issues
    if contain and max(starts, default=0.0) + 0.1 + delay_s > DURATION_S + 0.09:
        assert times.contains is True
    if not contain and min(starts, default=9.0) < delay_s - 0.09:
        assert times.contains is False


def test_a_time_outside_of_the_audio_is_flagged_and_cut() -> None:
    _, times = said = answered([("one", 1.5, 0.5, 0), ("two", 10.5, 0.5, 0)], 1.28)
    row = row_of([said])
    on = retimed(row, applied=True)
    assert (on.issues, on.status, on.words[-1].stop_s) == ((OUTSIDE,), "suspect", DURATION_S)
    assert times.outside == (True, True)
    harmless = answered([("one", 1.5, 0.5, 0), ("two", 9.8, 0.56, 0)], 1.28)
    assert retimed(row_of([harmless]), applied=True).issues == (), "a frame beyond the end"
