"""Cues of any words: each word once, in order, whole; no overlap; every limit kept or counted."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.export.formats.cue_limits import CueLimits
from pipeline.export.formats.format import Document, Recording
from pipeline.export.formats.subtitles import SubRip, WebVTT
from pipeline.model import Word
from tests.export.formats.nights_of_words import recordings, row, spoken_text
from tests.export.formats.subtitle_reading import ReadCue, as_said, check_limits, check_words, read_srt, read_vtt

LIMITS = CueLimits()
STORY = """When I was young, there was an old house at the end of our street, which nobody had lived in for years. My
brother said it was haunted. I did not believe him, of course; but I never went near it after dark. One evening in
October, Dr. Smith came to dinner and told us who had owned it. Yes. He had known them well! Nobody knows why."""
some_limits = st.builds(
    CueLimits,
    line_chars=st.sampled_from((1, 12, 42, 80)),
    cjk_line_chars=st.sampled_from((1, 16, 42)),
    lines=st.integers(1, 4),
    min_s=st.sampled_from((0.0, 5 / 6, 1.5)),
    max_s=st.sampled_from((1.5, 7.0, 60.0)),
    chars_per_s=st.sampled_from((5.0, 17.0, 20.0)),
    gap_frames=st.integers(0, 4),
    fps=st.sampled_from((23.976, 25.0, 60.0)),
)
quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(recording: Recording, limits: CueLimits = LIMITS) -> tuple[list[ReadCue], Document]:
    """Both files say the same, and what `check_words` and `check_limits` hold."""
    vtt, srt = WebVTT(limits).document(recording), SubRip(limits).document(recording)
    cues = read_vtt(vtt.text)
    check_words(cues, recording.rows)
    assert vtt.exceeded == srt.exceeded == check_limits(cues, limits, recording.rows)
    assert [(cue.begin, cue.end, cue.lines) for cue in read_srt(srt.text)] == [
        (cue.begin, cue.end, [*map(as_said, cue.lines)]) for cue in cues
    ]
    return cues, vtt


def lines(recording: Recording, limits: CueLimits = LIMITS) -> list[list[str]]:
    return [cue.lines for cue in check(recording, limits)[0]]


def of(words: list[Word]) -> Recording:
    return Recording(audio="a.wav", rows=(row(words),))


@given(recordings())
@quick
def test_any_words_are_shown_once_in_order_without_overlap_and_limits_are_kept_or_counted(recording: Recording) -> None:
    check(recording)


@given(recordings(channels=1), some_limits)
@quick
def test_other_limits_are_kept_or_counted_too(recording: Recording, limits: CueLimits) -> None:
    check(recording, limits)


@pytest.mark.slow
@given(recordings(), some_limits)
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_words_with_any_limits(recording: Recording, limits: CueLimits) -> None:
    check(recording, limits)


def test_cues_end_with_sentences_and_clauses_and_their_lines_are_balanced() -> None:
    shown = lines(of(spoken_text(STORY)))
    assert shown == [
        ["When I was young, there was an old", "house at the end of our street,"],
        ["which nobody had lived in for years.", "My brother said it was haunted."],
        ["I did not believe him, of course;", "but I never went near it after dark."],
        ["One evening in October, Dr. Smith came", "to dinner and told us who had owned it."],
        ["Yes. He had known them well!", "Nobody knows why."],
    ]


def test_a_pause_parts_cues_where_there_is_no_punctuation() -> None:
    said = [*spoken_text("so that was the plan we had"), *spoken_text("and then it began to rain", start=4.0)]
    assert lines(of(said)) == [["so that was the plan we had"], ["and then it began to rain"]]


def test_what_can_be_read_in_time_stays_within_all_limits() -> None:
    assert not check(of(spoken_text(STORY * 5)))[1].exceeded


def test_400_words_a_minute_are_too_fast_and_shown_in_time_all_the_same() -> None:
    cues, document = check(of(spoken_text(STORY * 5, words_per_min=400)))
    assert document.exceeded["cues faster than 20 characters a second"] > len(cues) / 2
    assert document.exceeded.keys() <= {"cues faster than 20 characters a second", "gaps shorter than 2 frames"}
    assert {cue.begin for cue in cues} <= {150 * n for n in range(1000)}


def test_no_word_begins_after_its_cue() -> None:
    slow = [Word(text="so", start_s=0.9 * n, stop_s=0.9 * n + 0.9) for n in range(40)]
    cues, document = check(of(slow))
    assert sum(len(line.split()) for cue in cues for line in cue.lines) == 40
    assert all((len(" ".join(cue.lines).split()) - 1) * 900 + 600 <= cue.end - cue.begin for cue in cues)
    assert not document.exceeded


def test_a_word_of_a_minute_is_shown_as_long_as_a_cue_may_be() -> None:
    said = [*spoken_text("and he sang"), Word(text="Ah!", start_s=2.0, stop_s=62.0), *spoken_text("Then", start=63.0)]
    cues, document = check(of(said))
    assert [(cue.begin, cue.end, cue.lines) for cue in cues] == [
        (0, 7000, ["and he sang Ah!"]),
        (63_000, 63_834, ["Then"]),
    ]
    assert not document.exceeded


def test_one_word_in_an_hour_is_not_shown_before_it_is_said() -> None:
    cues, document = check(of([Word(text="Hello?", start_s=3000.0, stop_s=3000.2)]))
    assert [(cue.begin, cue.end) for cue in cues] == [(3_000_000, 3_000_834)]
    assert not document.exceeded


def test_words_without_ends_are_kept_together_and_shown_until_the_next_ones() -> None:
    said = [Word(text=text, start_s=n * 0.4) for n, text in enumerate(["we", "saw", "him", "there"])]
    cues, document = check(of([*said, Word(text="Later.", start_s=300.0)]))
    assert [(cue.begin, cue.end, cue.lines) for cue in cues] == [
        (0, 7000, ["we saw him there"]),
        (300_000, 300_834, ["Later."]),
    ]
    assert not document.exceeded


def test_many_words_at_one_moment_follow_each_other() -> None:
    said = [Word(text=f"word{n}.", start_s=5.0, stop_s=5.0) for n in range(60)]
    cues, document = check(of(said))
    assert 4 < len(cues) < 10
    assert cues[-1].begin - 5000 <= 40 * len(cues)
    assert document.exceeded["cues shorter than 0.83 s"] == len(cues) - 1


def test_a_word_longer_than_a_line_has_a_cue_of_its_own_and_is_counted() -> None:
    long = Word(text="x" * 50, start_s=1.0, stop_s=4.0)
    cues, document = check(of([*spoken_text("He said"), long, *spoken_text("and left.", start=4.0)]))
    assert [cue.lines for cue in cues] == [["He said"], ["x" * 50], ["and left."]]
    assert document.exceeded == {"lines longer than 42 characters": 1}


def test_the_gap_is_given_up_before_a_cue_gets_too_short() -> None:
    said = [*spoken_text("Nonsensical."), *spoken_text("Impossible.", start=0.85)]
    cues, document = check(of(said), CueLimits(line_chars=12, lines=1))
    assert (cues[0].begin, cues[0].end, cues[1].begin) == (0, 834, 850)
    assert document.exceeded == {"gaps shorter than 2 frames": 1}


def test_two_short_turns_share_a_cue_with_a_line_for_each_speaker() -> None:
    said = [*spoken_text("Did you call him?"), *spoken_text("Yes.", start=1.7, channel=1)]
    cues, _ = check(of(said))
    assert [cue.turns for cue in cues] == [[(0, ["- Did you call him?"]), (1, ["- Yes."])]]


def test_longer_turns_have_cues_of_their_own() -> None:
    first = "I went to the office this morning and nobody was there."
    second = "That is strange, because I was there all day long."
    cues, _ = check(of([*spoken_text(first), *spoken_text(second, start=6.0, channel=1)]))
    assert [[channel for channel, _ in cue.turns] for cue in cues] == [[0], [1]]
    assert not any(line.startswith("-") for cue in cues for line in cue.lines)


def test_two_who_speak_at_once_have_a_line_each() -> None:
    one = spoken_text("we could meet on Monday at ten")
    other = spoken_text("no wait I am away until Tuesday", start=0.1, channel=1)
    assert lines(of(one + other)) == [["- we could meet on Monday at ten", "- no wait I am away until Tuesday"]]


def test_the_dash_is_counted() -> None:
    for size in range(38, 46):
        one = spoken_text(" ".join(["x" * (size - 21), "y" * 20]), words_per_min=30)
        shown, document = check(of([*one, *spoken_text("z", start=2.0, channel=1)]))
        assert (len(shown) == 1) == (size <= 40)
        assert not document.exceeded


def test_rows_of_channels_of_one_recording_are_told_together() -> None:
    rows = (row(spoken_text("Who is it?"), channel=0), row(spoken_text("Me.", start=1.4), channel=1))
    cues, _ = check(Recording(audio="a.wav", rows=rows))
    assert [cue.turns for cue in cues] == [[(0, ["- Who is it?"]), (1, ["- Me."])]]


def test_chinese_and_japanese_are_counted_by_their_width_and_keep_their_spelling() -> None:
    said = [
        Word(text=one, start_s=n * 0.3, stop_s=n * 0.3 + 0.3)
        for n, one in enumerate("今天天气很好我们一起去公园散步吧。" * 2)
    ]
    shown = [line for cue in lines(Recording(audio="a.wav", rows=(row(said, joined=True),))) for line in cue]
    assert "".join(shown) == "今天天气很好我们一起去公园散步吧。" * 2
    assert max(map(len, shown)) <= 16
    assert len(shown) == 4
    spaced = [line for cue in lines(of(said)) for line in cue]
    assert spaced[0].startswith("今 天 天")


def test_a_line_that_begins_in_the_other_direction_is_marked() -> None:
    said = spoken_text("אמרתי לו שאני רוצה לקנות עכשיו את הטלפון iPhone החדש של החברה הזאת.")
    marked = 0
    for line_chars in range(8, 40):
        text = WebVTT(CueLimits(line_chars=line_chars)).document(of(said)).text
        for line in (line for cue in read_vtt(text) for line in cue.lines):
            assert ("\u200f" in line) == line.startswith("\u200f") == ("iPhone" in line[:7])
            marked += "\u200f" in line
    assert marked > 3
    mixed = of(spoken_text("They said it is called עברית and so it is called now."))
    assert "\u200e" not in WebVTT(LIMITS).document(mixed).text
    assert "\u200e\u05e2\u05d1" in WebVTT(CueLimits(line_chars=10)).document(mixed).text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"line_chars": 0}, "--line-chars: give a whole number from 1 to 1000, not 0"),
        ({"lines": 1.5}, "--lines: give a whole number from 1 to 10, not 1.5"),
        ({"min_s": -1}, "--min-s: give a number from 0 to 60, not -1"),
        ({"max_s": float("nan")}, "--max-s: give a number from 0.1 to 600, not nan"),
        ({"fps": 0}, "--fps: give a number from 1 to 1000, not 0"),
        ({"chars_per_s": "20"}, "--chars-per-s: give a number from 0.1 to 1000, not '20'"),
        ({"min_s": 8.0}, "--min-s 8 is more than --max-s 7: no cue could keep both limits"),
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        CueLimits(**wrong)  # type: ignore[arg-type]
    assert str(refused.value) == said
