"""Lhotse's manifests under the rules of its `validate_recordings_and_supervisions`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from pipeline.export.formats.lhotse import Lhotse
from pipeline.model import Transcript, Word
from tests.export.formats.rows import exported, many, row_of, words_of

FIELDS = {"id", "recording_id", "start", "duration", "channel", "text", "language", "speaker", "custom", "alignment"}


def read(rows: list[Transcript]) -> tuple[dict[str, Any], list[Any]]:
    recordings, supervisions = (
        [json.loads(line) for line in data.split(b"\n")[:-1]] for data in exported(Lhotse(), rows)
    )
    by_id = {one["id"]: one for one in recordings}
    assert len(by_id) == len(recordings)
    for one in recordings:
        assert {*one} == {"id", "sources", "sampling_rate", "num_samples", "duration"}
        assert abs(one["num_samples"] / one["sampling_rate"] - one["duration"]) < 1e-9
        assert one["duration"] > 0
        [source] = one["sources"]
        assert {*source} == {"type", "channels", "source"}
        assert source["type"] == "file"
    assert len({one["id"] for one in supervisions}) == len(supervisions)
    for one in supervisions:
        assert {*one} <= FIELDS
        recording = by_id[one["recording_id"]]
        assert one["duration"] > 0
        assert 0 <= one["start"] <= one["start"] + one["duration"] <= recording["duration"] + 1e-3
        channels = one["channel"] if isinstance(one["channel"], list) else [one["channel"]]
        assert {*channels} <= {*recording["sources"][0]["channels"]}
        assert all(type(value) in (str, float, int) for value in one["custom"].values())
    return by_id, supervisions


@settings(max_examples=20)
@given(many())
def test_the_manifests_are_valid_and_have_each_word_once(rows: list[Transcript]) -> None:
    recordings, supervisions = read(rows)
    assert [*recordings] == [row.id for row in rows]
    for row in rows:
        assert recordings[row.id]["sources"][0]["source"] == row.audio
        own = [one for one in supervisions if one["recording_id"] == row.id]
        words = words_of(row)
        assert len(own) == max(1, len(words))
        for one, spoken in zip(own, [words[channel] for channel in sorted(words)] or [[]], strict=True):
            assert (one["start"], one["duration"]) == (row.offset_s, row.duration_s)
            assert [(text, start) for text, start, _ in one["alignment"]["word"]] == [
                (word.text, word.start_s) for word in spoken
            ]
            for word, (_, start, duration) in zip(spoken, one["alignment"]["word"], strict=True):
                assert start + duration == pytest.approx(word.stop_s, abs=1e-6)
            assert one["text"].split() == " ".join(word.text for word in spoken).split()


WORD = [Word(text="hi", start_s=0.5, stop_s=1.0)]


def test_a_span_counts_from_the_start_of_its_recording() -> None:
    recordings, [one] = read([row_of("a", WORD, offset_s=10.0, span_s=2.0, duration_s=2.0, sample_rate=8_000)])
    assert recordings["a"]["num_samples"] == 96_000
    assert recordings["a"]["duration"] == 12.0
    assert (one["start"], one["duration"]) == (10.0, 2.0)
    assert one["alignment"] == {"word": [["hi", 10.5, 0.5]]}


@pytest.mark.parametrize(
    ("fields", "channel"),
    [
        ({"channels": 1}, 0),
        ({"channels": 2}, [0, 1]),
        ({"channels": 2, "channel": 0}, 0),
        ({"channels": 2, "channel": 1}, 1),
        ({"channels": None}, 0),
        ({"channels": None, "channel": 1}, 1),
    ],
)
def test_a_supervision_is_of_the_channels_that_it_was_heard_in(fields: dict[str, Any], channel: object) -> None:
    _, [one] = read([row_of("a", WORD, **fields)])
    assert one["channel"] == channel


def test_what_is_known_of_a_row_is_custom() -> None:
    _, [one] = read([row_of("a", WORD, reference="hi", wer=0.0, metadata={"speaker": "agent", "topic": "x"})])
    assert one["custom"] == {"speaker": "agent", "topic": "x", "status": "ok", "reference": "hi", "wer": 0.0}
    assert one["speaker"] == "agent"


def test_a_row_of_an_earlier_version_is_left_out() -> None:
    assert exported(Lhotse(), [row_of("a", WORD, sample_rate=None)]) == [b"", b""]


def test_no_row_has_the_id_of_a_channel_of_another() -> None:
    call = [*WORD, Word(text="hello", start_s=0.7, channel=1)]
    rows = [row_of("a", call, channels=2), row_of("a-channel1", WORD), row_of("a-channel1-channel1", WORD)]
    _, supervisions = read(rows)
    assert [one["recording_id"] for one in supervisions] == ["a", "a", "a-channel1", "a-channel1-channel1"]
