"""SRT and VTT as files: what is empty, what would be markup, how long three hours take."""

from __future__ import annotations

import html
import itertools
import time

import pysubs2
import pytest

from pipeline.export.formats.cue_limits import CueLimits
from pipeline.export.formats.format import Recording
from pipeline.export.formats.subtitles import SubRip, WebVTT
from pipeline.model import Word
from tests.export.formats.nights_of_words import HOSTILE, row, spoken_text
from tests.export.formats.subtitle_reading import as_said, squeezed
from tests.export.formats.test_cues import STORY, check, of

LIMITS = CueLimits()


def said(*texts: str) -> Recording:
    return of([Word(text=text, start_s=n * 0.5, stop_s=n * 0.5 + 0.4) for n, text in enumerate(texts)])


def test_a_recording_without_words_has_a_valid_file_without_cues() -> None:
    assert SubRip(LIMITS).document(said()).text == ""
    assert WebVTT(LIMITS).document(said()).text == "WEBVTT\n\n"
    assert WebVTT(LIMITS).document(said("\x00", "\u200e")).text == "WEBVTT\n\n"


def test_the_files_are_as_their_formats_are() -> None:
    assert (
        SubRip(LIMITS).document(said("Fish", "&", "chips")).text == "1\n00:00:00,000 --> 00:00:01,400\nFish & chips\n\n"
    )
    vtt = "WEBVTT\n\n1\n00:00:00.000 --> 00:00:01.400\nFish &amp; chips\n\n"
    assert WebVTT(LIMITS).document(said("Fish", "&", "chips")).text == vtt
    turns = of([*spoken_text("Call?"), *spoken_text("Yes.", start=0.6, channel=1)])
    assert "<v Channel 0>- Call?</v>\n<v Channel 1>- Yes.</v>\n" in WebVTT(LIMITS).document(turns).text
    assert "\n- Call?\n- Yes.\n" in SubRip(LIMITS).document(turns).text


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_pysubs2_reads_the_words_back_whatever_they_look_like(kind: str) -> None:
    for pair in [*itertools.product(HOSTILE, repeat=2)][::5]:
        words = ["A", *pair, *pair, "z", *pair]
        recording = said(*("".join(word.split()) for word in words))
        format_ = SubRip(LIMITS) if kind == "srt" else WebVTT(LIMITS)
        events = pysubs2.SSAFile.from_string(format_.document(recording).text, kind)
        text = " ".join(event.plaintext for event in events)
        shown = as_said(text) if kind == "srt" else html.unescape(text)
        assert squeezed(shown) == squeezed("".join(words)), pair


def test_an_arrow_is_only_between_times() -> None:
    for format_ in (SubRip(LIMITS), WebVTT(LIMITS)):
        text = format_.document(said("a", "-->", "00:00:01,000-->00:00:02.000")).text
        assert len([line for line in text.splitlines() if "-->" in line]) == 1


def test_a_number_as_the_last_line_is_not_taken_for_that_of_a_cue() -> None:
    # words so long that the number cannot be in the line before it
    for text in (f"{'x' * 40} 2026", f"{'x' * 40} 5"):
        check(of(spoken_text(text)))


def test_a_written_space_stays_within_its_word() -> None:
    word = Word(text="Bonjour!", start_s=0.0, stop_s=0.5, written="Bonjour\u00a0!")
    more = Word(text="Quoi?", start_s=0.5, stop_s=1.0, written="Quoi ?")
    cues, _ = check(of([word, more]), CueLimits(line_chars=9))
    assert [cue.lines for cue in cues] == [["Bonjour\u00a0!", "Quoi ?"]]


def test_times_beyond_those_of_subtitles_are_counted_and_warn_nobody() -> None:
    late = of([Word(text="late", start_s=360_000.0, stop_s=360_001.0)])
    document = SubRip(LIMITS).document(late)
    assert "99:59:59,999 --> 99:59:59,999\nlate" in document.text
    assert document.exceeded == {"cues after 99:59:59, the last time that subtitles have": 1}


@pytest.mark.slow
def test_three_hours_take_seconds() -> None:
    recording = Recording(audio="a.wav", rows=(row(spoken_text(STORY * 400)),))
    began = time.process_time()
    document = WebVTT(LIMITS).document(recording)
    assert time.process_time() - began < 10
    assert document.text.count("-->") == 2000
