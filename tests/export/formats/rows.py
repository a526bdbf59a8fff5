"""Rows as an output may have them, and worse, for the tests of formats; and what is expected of their words."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from pipeline.export.formats.format import LineFormat
from pipeline.export.formats.spoken import SpokenWord, spoken
from pipeline.model import Transcript, Word
from pipeline.segments import segments_of, text_of
from tests.records import transcript

IDS = st.text("aB/.%;#0<>*-|'\"\\ \t\n\u00a0\u2028\u00e9\u6f22", min_size=1, max_size=6) | st.sampled_from(
    ["a-channel1", "a", "a-channel", "a-channel10", "a ", "a%20", "-channel2", "a.wav#t=10,12.5", "#0", ";;", "**"]
)
TEXTS = st.text("ab{};@\\<>#0\"'/-\u00e9\u6f22", min_size=1, max_size=3) | st.sampled_from(
    ["@", "{", "}", "/", "<ALT_BEGIN>", "<alt>", "#0", "<s>", "</s>", '"', ";;", "a\\b", "(b)", "a\u00a0b", "<O,F>"]
)
TIMES = st.integers(0, 3_000).map(lambda number: number / 1000) | st.floats(0, 3).map(lambda time: round(time, 6))


@st.composite
def rows(draw: st.DrawFn, ids: st.SearchStrategy[str] = IDS) -> Transcript:
    asked = draw(st.sampled_from([None, None, 0, 1]))
    channels = draw(st.sampled_from([None, 1, 2]))
    words = []
    for start_s in sorted(draw(st.lists(TIMES, max_size=5))):
        length = draw(st.none() | TIMES)
        words.append(
            Word(
                text=draw(TEXTS),
                start_s=start_s,
                stop_s=None if length is None else start_s + length,
                channel=0 if asked is not None or channels == 1 else draw(st.integers(0, 1)),
            )
        )
    return row_of(
        draw(ids),
        words,
        channel=asked,
        channels=channels,
        offset_s=draw(st.sampled_from([0.0, 0.0, 12.5, 3600.123456])),
        reference=draw(st.none() | st.lists(TEXTS, min_size=1, max_size=3).map(" ".join)),
        metadata=draw(st.sampled_from([{}, {"speaker": "agent 1"}, {"shape": "[1]", "text": "x"}])),
    )


def row_of(id_: str, words: Sequence[Word] = (), **fields: Any) -> Transcript:
    segments = segments_of(words)
    fields = {"duration_s": 7.0, "sample_rate": 16_000, "channels": 1, "metadata": {}, **fields}
    made = transcript(id_)
    return msgspec.structs.replace(made, words=tuple(words), segments=segments, text=text_of(segments), **fields)


def many(**options: Any) -> st.SearchStrategy[list[Transcript]]:
    return st.lists(rows(**options), min_size=1, max_size=4, unique_by=lambda row: row.id)


def exported(kind: LineFormat, found: Iterable[Transcript]) -> list[bytes]:
    """The files as the engine makes them: sorted by place, or as the manifest."""
    found = list(found)
    if found and kind.place(found[0]) is not None:
        found.sort(key=lambda row: kind.place(row) or b"")
    lines = [kind.lines(row) for row in found]
    assert all(len(one) == len(kind.files) == len(kind.header) for one in lines)
    return [head + b"".join(part) for head, part in zip(kind.header, zip(*lines, strict=True), strict=True)]


def words_of(row: Transcript) -> dict[int, list[SpokenWord]]:
    """The words of each channel by their starts."""
    found: dict[int, list[SpokenWord]] = {}
    for segment in spoken((row,)):
        found.setdefault(segment.channel, []).extend(segment.words)
    return found


def plain(text: str) -> str:
    """As a person reads it: full-width forms are the characters they stand for, and no blank is within a word."""
    return "_".join(unicodedata.normalize("NFKC", text).split())
