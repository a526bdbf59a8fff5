"""Times with and without the decoder's delay: which of both a service does is found out, and rows have true times."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.server.options import Times
from tests.batch import batch, jsonl_of, write_wav
from tests.servers import start_server

FRAME_S = 0.08
WORLDS: dict[Times, str] = {"delayed": "on", "audio": "off"}


def recordings(folder: Path, count: int, seconds: float = 2.5) -> Path:
    for number in range(count):
        write_wav(folder / f"{number:03d}.wav", seed=number, seconds=seconds)
    return folder


def published(out: Path) -> list[dict[str, Any]]:
    """The rows, which are the same in both formats."""
    rows = sorted(jsonl_of(out), key=lambda row: str(row["id"]))
    parts = pq.read_table(out / "transcripts").sort_by("id").to_pylist()
    assert [(row["id"], row["words"], row["segments"], row["issues"]) for row in parts] == [
        (row["id"], row["words"], row["segments"], row["issues"]) for row in rows
    ]
    return rows


def off_by(rows: list[dict[str, Any]]) -> float:
    """How far the worst time is from the truth: a word for each second of the audio."""
    assert rows
    worst = 0.0
    for row in rows:
        assert [segment["start_s"] for segment in row["segments"]][:1] == [word["start_s"] for word in row["words"]][:1]
        for second, word in enumerate(row["words"]):
            stop_s = min(second + 1, row["duration_s"])
            worst = max(worst, abs(word["start_s"] - second), abs(word["stop_s"] - stop_s))
    return worst


def told(out: Path) -> tuple[str, bool]:
    found = json.loads((out / "summary.json").read_text())["delay_correction"]
    return found["applied"], found["decided"]


@pytest.mark.parametrize("delay", [7, 48])
@pytest.mark.parametrize("times", WORLDS)
@pytest.mark.parametrize("count", [3, 26])
def test_auto_finds_out_which_it_is(tmp_path: Path, times: Times, delay: int, count: int) -> None:
    folder, out = recordings(tmp_path / "audio", count), tmp_path / "out"
    shutil.copy(folder / "001.wav", folder / "copy.wav")
    with start_server(times=times) as server:
        setting = f"service.json_config.delay_in_frames={delay}"
        options = ("--set", setting, "--set", "sink.rows_per_part=2", "--concurrency", "4")
        assert batch("run", folder, "--out", out, *options, server=server).exit == 0
        rows = published(out)
        assert len(rows) == count + 1
        assert off_by(rows) <= FRAME_S
        assert {row["status"] for row in rows} == {"ok"}
        assert told(out) == (WORLDS[times], count >= 20)
        again = batch("run", folder, "--out", out, *options, server=server)
        assert (again.exit, published(out)) == (0, rows)
        assert server.stats()["requests"] == count
