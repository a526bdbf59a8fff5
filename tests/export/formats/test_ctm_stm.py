"""CTM and STM read back by readers written from NIST's description of the formats."""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

import pytest
from hypothesis import given, settings

from pipeline.export.formats.ctm import Ctm
from pipeline.export.formats.fields import name
from pipeline.export.formats.stm import Stm
from pipeline.model import Transcript, Word
from tests.export.formats.rows import exported, many, plain, row_of, words_of

IGNORED = "IGNORE_TIME_SEGMENT_IN_SCORING"


class Marked(NamedTuple):
    name: str
    channel: str
    start_s: float
    stop_s: float
    words: list[str]
    speaker: str = ""


def fields_of(data: bytes) -> list[list[str]]:
    """The fields of all lines: none of them blank, a comment, or with another blank than those between fields."""
    assert data == b"" or data.endswith(b"\n")
    lines = [line.decode() for line in data.split(b"\n")[:-1]]
    for line in lines:
        assert not line.startswith((";", "*"))
        assert line.split() == line.split(" ")
    return [line.split() for line in lines]


def word_of(field: str) -> str:
    """A word as sclite takes it; refuses what it would take for something else."""
    assert not {*field} & {*"{};\\"}
    assert field != "@"
    assert not field.startswith("<")
    return field


def read_ctm(data: bytes) -> list[Marked]:
    found = []
    for recording, channel, start, duration, word in fields_of(data):
        assert float(start) >= 0
        assert float(duration) >= 0
        found.append(Marked(recording, channel, float(start), float(start) + float(duration), [word_of(word)]))
    return in_order(found)


def read_stm(data: bytes) -> list[Marked]:
    found = []
    for recording, channel, speaker, start, stop, *words in fields_of(data):
        assert 0 <= float(start) < float(stop)
        assert words
        found.append(Marked(recording, channel, float(start), float(stop), [*map(word_of, words)], speaker))
    return in_order(found)


def in_order(found: list[Marked]) -> list[Marked]:
    """As `LC_ALL=C sort -k1,1 -k2,2 -k3,3n` has them."""
    assert found == sorted(found, key=lambda one: (one.name.encode(), one.channel.encode(), one.start_s))
    return found


@settings(max_examples=20)
@given(many())
def test_a_ctm_has_each_word_once_with_its_time(rows: list[Transcript]) -> None:
    [data] = exported(Ctm(), rows)
    read = {key: [*group] for key, group in groupby(read_ctm(data), key=lambda one: (one.name, one.channel))}
    wanted = {
        (name(row.id), str(channel + 1)): words for row in rows for channel, words in words_of(row).items() if words
    }
    assert read.keys() == wanted.keys()
    for key, words in wanted.items():
        assert [plain(one.words[0]) for one in read[key]] == [plain(word.text) for word in words]
        for one, word in zip(read[key], words, strict=True):
            assert one.start_s == pytest.approx(word.start_s, abs=0.000501)
            assert one.stop_s == pytest.approx(word.stop_s, abs=0.000501)


@settings(max_examples=20)
@given(many())
def test_references_name_what_the_ctm_names(rows: list[Transcript]) -> None:
    """sclite scores what has a reference, and nothing else."""
    references, _ = exported(Stm(), rows)
    read = {(one.name, one.channel): one for one in read_stm(references)}
    assert len(read) == len(read_stm(references))
    [words] = exported(Ctm(), rows)
    assert {(one.name, one.channel) for one in read_ctm(words)} <= read.keys()
    for row in rows:
        channels = sorted(words_of(row)) or [row.channel or 0]
        for channel in channels:
            one = read[name(row.id), str(channel + 1)]
            scored = row.reference is not None and len(channels) == 1
            said = " ".join(map(plain, one.words))
            assert said == (" ".join(map(plain, (row.reference or "").split())) if scored else IGNORED)
            assert one.start_s == pytest.approx(row.offset_s, abs=0.000501)
            assert one.stop_s == pytest.approx(row.offset_s + row.duration_s, abs=0.000501)


@settings(max_examples=20)
@given(many())
def test_the_segments_of_an_stm_have_each_word_once(rows: list[Transcript]) -> None:
    _, transcripts = exported(Stm(), rows)
    read: dict[tuple[str, str], list[str]] = {}
    for one in read_stm(transcripts):
        read.setdefault((one.name, one.channel), []).extend(map(plain, one.words))
    assert read == {
        (name(row.id), str(channel + 1)): [plain(word.text) for word in words]
        for row in rows
        for channel, words in words_of(row).items()
    }


def test_words_keep_their_order_where_the_times_of_channels_are_out_of_order() -> None:
    words = [Word(text=str(channel), start_s=1.0, stop_s=2.0, channel=channel) for channel in (9, 1, 10)]
    [data] = exported(Ctm(), [row_of("a", words, channels=11)])
    assert data == b"a 10 1.000 1.000 9\na 11 1.000 1.000 10\na 2 1.000 1.000 1\n"


def test_a_reference_that_reads_as_an_order_is_none() -> None:
    references, _ = exported(Stm(), [row_of("a", reference=IGNORED)])
    assert [one.words for one in read_stm(references)] == [[IGNORED.replace("_", "-")]]


def test_a_speaker_is_named_where_one_is_known() -> None:
    words = [Word(text="hi", start_s=0.0, stop_s=1.0)]
    files = exported(Stm(), [row_of("a", words, reference="hi", metadata={"speaker": "agent 1"})])
    assert [one.speaker for data in files for one in read_stm(data)] == ["agent%201"] * 2
