"""TextGrids read back by a reader written from Praat's manual: what Praat refuses, it refuses."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.export.formats.format import Recording
from pipeline.export.formats.spoken import spoken
from pipeline.export.formats.textgrid import TextGrid
from pipeline.model import Transcript, Word
from tests.export.formats.rows import row_of, rows

NUMBER = r"(\d+(?:\.\d+)?)"
Tier = list[tuple[float, float, str]]


def read(text: str) -> dict[str, Tier]:
    """The tiers of a TextGrid in the long text format, by name."""
    assert text.isprintable() or {char for char in text if not char.isprintable()} <= {"\n", "\u00a0"}
    lines = iter(text.split("\n"))

    def value(pattern: str) -> str:
        line = next(lines)
        found = re.fullmatch(pattern, line.strip())
        assert found is not None, (pattern, line)
        return found[1] if found.re.groups else ""

    value('File type = "ooTextFile"')
    value('Object class = "TextGrid"')
    value("")
    assert float(value(f"xmin = {NUMBER}")) == 0
    stop = float(value(f"xmax = {NUMBER}"))
    assert stop > 0
    value(r"tiers\? <exists>")
    tiers: dict[str, Tier] = {}
    count = int(value(r"size = (\d+)"))
    value(r"item \[\]:")
    for number in range(1, count + 1):
        value(rf"item \[{number}\]:")
        value('class = "IntervalTier"')
        tier = tiers.setdefault(value('name = "(.*)"'), [])
        assert float(value(f"xmin = {NUMBER}")) == 0
        assert float(value(f"xmax = {NUMBER}")) == stop
        for place in range(1, int(value(r"intervals: size = (\d+)")) + 1):
            value(rf"intervals \[{place}\]:")
            start, end = float(value(f"xmin = {NUMBER}")), float(value(f"xmax = {NUMBER}"))
            label = value('text = "((?:[^"]|"")*)"')
            tier.append((start, end, label.replace('""', '"')))
        assert tier[0][0] == 0
        assert tier[-1][1] == stop
        assert all(start < end for start, end, _ in tier)
        assert all(before[1] == after[0] for before, after in pairwise(tier))
    assert len(tiers) == count
    assert [*lines] == [""]
    return tiers


def tiers_of(*found: Transcript) -> dict[str, Tier]:
    return read(TextGrid().document(Recording(audio="/a.wav", rows=found)).text)


def labels(tier: Tier) -> list[str]:
    return [label for _, _, label in tier if label]


@settings(max_examples=20)
@given(rows())
def test_each_word_is_an_interval(row: Transcript) -> None:
    tiers = tiers_of(row)
    segments = spoken((row,))
    channels = sorted({segment.channel for segment in segments})
    assert len(tiers) == 2 * max(1, len(channels))
    for channel in channels:
        number = f" {channel + 1}" if len(channels) > 1 else ""
        own = [segment for segment in segments if segment.channel == channel]
        words = [word for segment in own for word in segment.words]
        assert labels(tiers[f"words{number}"]) == [word.text for word in words]
        assert labels(tiers[f"segments{number}"]) == [segment.text for segment in own]
        starts = [start for start, _, label in tiers[f"words{number}"] if label]
        for place, (start, word) in enumerate(zip(starts, words, strict=True)):
            assert word.start_s - 1e-9 <= start <= word.start_s + 0.001 * place + 1e-9
        edges = {edge for start, end, label in tiers[f"words{number}"] if label for edge in (start, end)}
        assert {edge for one in tiers[f"segments{number}"] if one[2] for edge in one[:2]} <= edges


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 9_000)), max_size=12), st.integers(0, 60_000))
def test_times_are_exact_where_words_follow_each_other(gaps: list[tuple[int, int]], offset_ms: int) -> None:
    """`gaps`: the silence before each word and its length, in milliseconds."""
    words, at = [], 0
    for number, (silence, length) in enumerate(gaps):
        start, at = at + silence, at + silence + length
        words.append(Word(text=f"word{number}", start_s=start / 1000, stop_s=at / 1000))
    found = row_of("a", words, offset_s=offset_ms / 1000, duration_s=at / 1000 + 1)
    spans = [(start, end) for start, end, label in tiers_of(found)["words"] if label]
    assert spans == [(word.start_s, word.stop_s) for segment in spoken((found,)) for word in segment.words]


def test_words_that_begin_together_follow_each_other() -> None:
    words = [Word(text=text, start_s=1.0, stop_s=stop) for text, stop in [("a", 2.0), ("b", 1.0), ("c", 1.5)]]
    assert tiers_of(row_of("a", words, duration_s=2.0))["words"] == [
        (0.0, 1.0, ""),
        (1.0, 1.001, "a"),
        (1.001, 1.002, "b"),
        (1.002, 1.5, "c"),
        (1.5, 2.0, ""),
    ]


def test_rows_of_one_recording_share_its_clock() -> None:
    words = [Word(text="hi", start_s=0.5, stop_s=1.0)]
    spans = [row_of(f"a{offset}", words, offset_s=offset, duration_s=2.0) for offset in (0.0, 10.0)]
    tiers = tiers_of(*spans)
    assert [span for span in tiers["words"] if span[2]] == [(0.5, 1.0, "hi"), (10.5, 11.0, "hi")]
    assert tiers["words"][-1][1] == 12.0


@pytest.mark.parametrize("text", ['say "no"', 'x"', '"', "a\\b", "\u4f60\u597d"])
def test_quotes_are_doubled(text: str) -> None:
    tiers = tiers_of(row_of("a", [Word(text=text, start_s=0.0, stop_s=1.0)]))
    assert labels(tiers["words"]) == labels(tiers["segments"]) == [text]


def test_a_line_end_in_a_text_is_a_blank() -> None:
    assert labels(tiers_of(row_of("a", [Word(text="a\nb\u2028c", start_s=0.0, stop_s=1.0)]))["words"]) == ["a b c"]


def test_a_recording_without_words_has_empty_tiers() -> None:
    assert tiers_of(row_of("a", duration_s=2.0)) == {"words": [(0.0, 2.0, "")], "segments": [(0.0, 2.0, "")]}
