"""The main job on real speech: the shipped sample corpus, the shipped configuration, the embedded server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.batch import batch, jsonl_of, rows_of, table_of

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_sample_corpus_is_understood(out: Path) -> None:
    args = ("run", ROOT / "manifests/sample.csv", "--config", ROOT / "configs/local.toml", "--out", out)
    result = batch(*args)
    assert result.exit == 0, result.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["done"] >= 12
    assert summary["wer"] < 0.15
    assert "WER" in result.stderr
    for row in table_of(out).to_pylist():
        starts = [word["start_s"] for word in row["words"]]
        assert starts == sorted(starts)
        # half a second of silence at most on either side: the decoder's delay of 1.28 s is off
        assert starts[0] < 0.8
        assert row["words"][-1]["stop_s"] <= row["duration_s"]
        assert row["duration_s"] - row["words"][-1]["stop_s"] < 0.8

    page = (ROOT / "README.md").read_text("utf-8")
    shown = json.loads(page.split("```json\n")[1].split("```")[0])
    [row] = [row for row in jsonl_of(out) if row["id"] == shown["id"]]
    assert shown.pop("audio").endswith(row["audio"].removeprefix(str(ROOT)))
    as_shown = {name: value[:1] if isinstance(value, list) else value for name, value in row.items() if name in shown}
    assert as_shown == shown, "the row in README.md is that of the sample"
    told = page.split("## Six words")[1].split("##")[0].count("**: ")
    assert told == 6

    again = batch(*args)
    assert again.exit == 0
    assert "sent    nothing" in again.stderr


def test_the_samples_other_manifests_name_the_same_recordings(out: Path) -> None:
    for manifest in ("sample.jsonl", "sample"):
        forecast = batch("check", ROOT / "manifests" / manifest, "--out", out, "--json")
        assert forecast.exit == 0
        assert json.loads(forecast.stdout)["requests"] == json.loads(forecast.stdout)["rows"] >= 12


@pytest.mark.slow
def test_no_figure_has_more_decimals_than_it_means(out: Path) -> None:
    local = ("--set", "service.url=local", "--set", "local.recognizer=fingerprint")
    sample = ("manifests/sample.csv", *local, "--out", out)
    told = [batch("check", *sample, "--json", cwd=ROOT).stdout]
    told.append(batch("run", *sample, "--log-format", "json", "--budget", "70.1", cwd=ROOT).stderr)
    told.append(batch("check", *sample, "--json", "--budget", "40.7", cwd=ROOT).stdout)
    assert batch("run", *sample, cwd=ROOT).exit == 0
    told += [batch("status", out, "--json").stdout, *(path.read_text() for path in out.glob("*.json*"))]
    found = [number for text in told for number in re.findall(r"[:\[]\s*(-?\d+\.\d+(?:e-?\d+)?)\b", text)]
    assert len(found) > 200
    assert [number for number in found if not re.fullmatch(r"-?\d+\.\d{1,6}", number)] == []
    attempts = table_of(out, "attempts").to_pylist()
    assert [one for one in attempts if one["credits"] != round(one["credits"], 6)] == []


@pytest.mark.slow
def test_a_folder_through_the_embedded_server(out: Path, tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    for name in ("rain-16k.wav", "keys.ogg"):
        (tmp_path / "audio" / name).write_bytes((ROOT / "manifests/sample" / name).read_bytes())
    result = batch("run", tmp_path / "audio", "--config", ROOT / "configs/local.toml", "--out", out)
    assert result.exit == 0, result.stderr
    assert sorted(rows_of(out)) == ["keys.ogg", "rain-16k.wav"]
