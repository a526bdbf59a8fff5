"""A stereo call with a speaker on each channel reads as turns."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.batch import batch, jsonl_of, table_of
from tests.beeps import RECOGNIZER, beeps, write
from tests.servers import start_server

CALL = [
    (0, "able baker cast", 0.5),
    (1, "dog easy", 2.0),
    (0, "fox george how item", 3.2),
    (1, "jig", 3.7),
    (1, "king love mike", 6.0),
    (0, "nan", 8.5),
]
"""(channel, words, start). The `jig` is said while the other one talks."""
TURNS = [(0, "able baker cast"), (1, "dog easy"), (0, "fox george how item"), (1, "jig king love mike"), (0, "nan")]
TIMES = [(0.5, 1.3), (2.0, 2.5), (3.2, 4.3), (3.7, 6.8), (8.5, 8.7)]
EACH_S = 0.3


@pytest.mark.parametrize("max_clip_s", [300, 6])
def test_a_call_of_two_speakers_reads_turn_after_turn(tmp_path: Path, out: Path, max_clip_s: int) -> None:
    said: dict[int, list[tuple[str, float]]] = {0: [], 1: []}
    for channel, text, start in CALL:
        said[channel] += [(word, start + n * EACH_S) for n, word in enumerate(text.split())]
    write(tmp_path / "audio/call.wav", beeps(said[0], 10, 24_000), beeps(said[1], 10, 24_000))
    split = ("--set", "audio.channels=split", "--set", f"audio.max_clip_s={max_clip_s}")
    with start_server(recognizer=RECOGNIZER) as server:
        assert batch("run", tmp_path / "audio", "--out", out, *split, server=server).exit == 0
    [row] = table_of(out).to_pylist()
    assert [(segment["channel"], segment["text"]) for segment in row["segments"]] == TURNS
    assert [(segment["start_s"], segment["stop_s"]) for segment in row["segments"]] == [
        pytest.approx(times, abs=0.08) for times in TIMES
    ]
    assert row["text"] == " ".join(text for _, text in TURNS)
    assert [word["start_s"] for word in row["words"]] == sorted(word["start_s"] for word in row["words"])
    assert (row["channels"], row["sample_rate"], row["channel"]) == (2, 24_000, None)
    [line] = jsonl_of(out)
    assert (line["text"], line["segments"]) == (row["text"], row["segments"])
