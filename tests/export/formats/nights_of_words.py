"""Random recordings of random words, for property tests."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from pipeline.export.formats.format import Recording
from pipeline.model import Segment, Transcript, Word
from pipeline.segments import segments_of
from tests.records import transcript

HOSTILE = (
    *("{", "}", "{x}", r"{\an8}", r"{\p1}", "<i>", "</i>", "<b", ">", "<", "<v", "&", "&amp;", "&lt;", r"\N", r"a\nb"),
    *("\\", r"\h", "-->", "00:00:01,000", "0:00:02.50", "12:30.50", "42", "7", "WEBVTT", "NOTE", "-", "--", "\ufeff"),
    *("\x00", "a\x1bb", "\x7f", "a\u0085b", "\u202e", "e\u0301", "\u0301", "[Script", "STYLE", "1:2:3,4", "a\u00a0b"),
)
PLAIN = ("I", "a", "no", "yes,", "house", "there.", "Dr.", "really?", "incomprehensibilities", "it;", "and", "so", "of")
RIGHT_TO_LEFT = ("שלום", "עולם.", "مرحبا", "بالعالم،", "iPhone", "אבג,", "123")
CJK = ("我", "们", "今天", "去", "公园。", "日本語", "です。", "カタカナ", "한국어", "\uff21\uff22\uff23", "。")

texts = st.one_of(
    st.sampled_from(PLAIN),
    st.sampled_from(PLAIN),
    st.sampled_from(HOSTILE),
    st.sampled_from(RIGHT_TO_LEFT),
    st.sampled_from(CJK),
    st.text(max_size=8),
    st.integers(30, 200).map(lambda size: "x" * size),
)
silences = st.sampled_from((0.0, 0.0, 0.01, 0.05, 0.2, 0.7, 1.5, 4.0, 30.0, 3600.0))
lengths = st.sampled_from((0.0, 0.0004, 0.01, 0.1, 0.15, 0.3, 0.3, 0.6, 1.2, 60.0, None))


@st.composite
def rows(draw: st.DrawFn, channels: int = 2, more: bool = True) -> Transcript:
    """A row whose words have no end, zero length, a minute; which are fast, slow, at once, in any script."""
    own = st.one_of(texts, texts, st.sampled_from(PLAIN)) if more else st.sampled_from(PLAIN)
    said: list[Word] = []
    for channel in range(channels):
        now = draw(silences)
        for text, silence, length in draw(st.lists(st.tuples(own, silences, lengths), max_size=20)):
            # words of a row have no white space, and end within its audio
            stop = None if length is None else round(now + length, 3)
            said.append(Word(text="".join(text.split()), start_s=round(now, 3), stop_s=stop, channel=channel))
            now += silence + (0.2 if length is None else length)
    return row(said, joined=draw(st.booleans()))


def row(words: list[Word], *, joined: bool = False, **more: Any) -> Transcript:
    """A row of these words, its segments as a run makes them or (`joined`) as another program might, without spaces."""
    words = sorted(words, key=lambda word: word.start_s)
    segments = segments_of(words)
    if joined:
        segments = tuple(
            Segment(text=one.text.replace(" ", ""), start_s=one.start_s, stop_s=one.stop_s, channel=one.channel)
            for one in segments
        )
    end = max((word.stop_s or word.start_s for word in words), default=0.0)
    return msgspec.structs.replace(
        transcript("x"), words=tuple(words), segments=segments, duration_s=end + 0.5, text="", **more
    )


@st.composite
def recordings(draw: st.DrawFn, channels: int = 2, more: bool = True) -> Recording:
    """One to three spans of a recording, one after another."""
    found, offset = [], 0.0
    for one in draw(st.lists(rows(channels, more), min_size=1, max_size=3)):
        found.append(msgspec.structs.replace(one, offset_s=offset))
        offset = round(offset + one.duration_s, 3)
    return Recording(audio="a.wav", rows=tuple(found))


def spoken_text(text: str, start: float = 0.0, words_per_min: float = 150.0, channel: int = 0) -> list[Word]:
    """The words of a text at an even pace, with a pause after each sentence."""
    step, said = 60 / words_per_min, []
    for word in text.split():
        said.append(Word(text=word, start_s=round(start, 3), stop_s=round(start + 0.8 * step, 3), channel=channel))
        start += step * (2 if word[-1] in ".?!" else 1)
    return said
