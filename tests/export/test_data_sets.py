"""`gradium-batch export --format hf` as a user does it, read by `datasets`: two nights, several formats of audio."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from pipeline.audio.decode import decode
from pipeline.errors import UsageError
from pipeline.export.export import ExportOptions, export
from tests.acceptance.test_docs import BLOCK, ROOT
from tests.audio.forms import RATE, encoded, plain, sentence, written
from tests.batch import batch, jsonl_of, run_command
from tests.readers.conftest import Load
from tests.readers.outputs import write_output
from tests.records import transcript
from tests.servers import RunningServer

FORMS = {
    "whole.wav": plain(),
    "stereo.wav": plain(channels=2, rate=16_000),
    "music.mp3": encoded("libmp3lame", "mp3"),
    "phone.m4a": encoded("aac", "ipod", layout="stereo"),
    "web.webm": encoded("libopus", "webm", rate=48_000),
    "call.flac": written("FLAC", "PCM_24", channels=2),
}
ROWS = [
    ("whole", "whole.wav", "", "", "", "train"),
    ("stereo", "stereo.wav", "", "", "", "train"),
    ("music", "music.mp3", "", "", "", "test-clean"),
    ("phone", "phone.m4a", "", "", "", "train"),
    ("web", "web.webm", "", "", "", "test-clean"),
    ("agent", "call.flac", "", "", "0", "train"),
    ("caller", "call.flac", "0.5", "1.25", "1", "train"),
    ("start", "phone.m4a", "0", "0.75", "", "test-clean"),
    ("end", "music.mp3", "1.5", "", "", ""),
]


def write_manifest(folder: Path, rows: Sequence[tuple[str, ...]]) -> Path:
    path = folder / "m.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "audio", "offset_s", "duration_s", "channel", "part"), *rows])
    return path


def samples_of(row: dict[str, Any], folder: Path) -> Any:
    """The 16-bit samples of a row by the decoders of the run, which leave the sample rate as it is at 24 kHz."""
    track = decode(row["audio"], str(folder / "t"), row["channel"] or 0, allow_truncated=False).tracks[0]
    first = round(row["offset_s"] * RATE)
    samples = np.fromfile(track.path, "<i2")[first:]
    return samples if row["span_s"] is None else samples[: round(row["duration_s"] * RATE)]


def check_rows(loaded: dict[str, Any], out: Path, ids: set[str], tmp_path: Path) -> None:
    """Each row once, in its split, with the words and the samples that belong together."""
    known = {row["id"]: row for row in jsonl_of(out)}
    found: set[str] = set()
    for split, rows in loaded.items():
        for row in rows:
            mine = known[row["id"]]
            assert row["id"] not in found
            found.add(row["id"])
            assert row["text"] == mine["text"]
            assert [word["text"] for word in row["words"]] == [word["text"] for word in mine["words"]]
            part = json.loads(row["metadata"]).get("part", "")
            assert split == (part.replace("-", ".") or "unassigned")
            name, data = row["audio"]["path"], row["audio"]["bytes"]
            audio, rate = soundfile.read(io.BytesIO(data), dtype="int32", always_2d=True)
            assert abs(len(audio) / rate - mine["duration_s"]) < 0.01
            if name == Path(mine["audio"]).name:
                assert data == Path(mine["audio"]).read_bytes()
            elif rate == RATE:
                sent = samples_of(mine, tmp_path)
                assert len(audio) == len(sent)
                assert np.abs(audio[:, 0] / 65_536 - sent).max() <= 0.5  # 24 bits, which a run rounds to 16
    assert found == ids


@pytest.mark.slow
def test_two_nights(tmp_path: Path, load_dataset: Load, server: RunningServer) -> None:
    from datasets import Audio

    speech = sentence()
    for number, (name, make) in enumerate(FORMS.items()):
        (tmp_path / name).write_bytes(make(np.roll(speech, 1_000 * number)))
    out, to = tmp_path / "out", tmp_path / "set"
    export = ("export", out, "--format", "hf", "--split-by", "part", "--to", to)

    def loaded() -> dict[str, Any]:
        splits = load_dataset(str(to), split=None)
        return {split: rows.cast_column("audio", Audio(decode=False)) for split, rows in splits.items()}

    manifest = write_manifest(tmp_path, ROWS)
    assert batch("run", manifest, "--out", out, server=server).exit == 0
    done = batch(*export)
    assert done.exit == 0, done.stderr
    first = loaded()
    check_rows(first, out, {row[0] for row in ROWS}, tmp_path)
    assert [row["id"] for row in first["train"]] == ["whole", "stereo", "phone", "agent", "caller"]
    as_they_are = {row["id"] for rows in first.values() for row in rows if not row["audio"]["path"].endswith(".flac")}
    assert as_they_are == {"whole", "stereo", "music"}

    before = {path: path.stat().st_mtime_ns for path in to.rglob("*.*") if path.is_file()}
    assert batch(*export).exit == 0
    assert {path: path.stat().st_mtime_ns for path in to.rglob("*.*") if path.is_file()} == before

    # the second night: a recording is another one, one is gone, a row is new, one has moved to another split
    (tmp_path / "whole.wav").write_bytes(FORMS["whole.wav"](speech[::-1]))
    (tmp_path / "web.webm").unlink()
    rows = [row if row[0] != "agent" else (*row[:5], "test-clean") for row in ROWS]
    write_manifest(tmp_path, [*rows, ("late", "call.flac", "1.0", "0.5", "", "train")])
    assert batch("run", manifest, "--out", out, server=server).exit in (0, 3)
    done = batch(*export)
    assert done.exit == 0, done.stderr
    gone = {"web": next(row for row in first["test.clean"] if row["id"] == "web")}
    second = loaded()
    [kept] = [row for row in second["test.clean"] if row["id"] == "web"]
    assert kept == gone["web"]
    without = {split: [row for row in rows if row["id"] != "web"] for split, rows in second.items()}
    check_rows(without, out, {row[0] for row in ROWS} - {"web"} | {"late"}, tmp_path)
    assert [row["id"] for row in second["train"]] == ["whole", "stereo", "phone", "caller", "late"]


@pytest.mark.slow
def test_a_recording_that_changed_after_the_run_is_not_exported_with_its_old_words(
    tmp_path: Path,
    load_dataset: Load,
    server: RunningServer,
) -> None:
    for name in ("whole.wav", "stereo.wav"):
        (tmp_path / name).write_bytes(FORMS[name](sentence()))
    manifest = write_manifest(tmp_path, ROWS[:2])
    out = tmp_path / "out"
    assert batch("run", manifest, "--out", out, server=server).exit == 0
    (tmp_path / "whole.wav").write_bytes(FORMS["whole.wav"](sentence()[::-1]))
    done = batch("export", out, "--format", "hf", "--to", tmp_path / "set")
    assert "changed" in done.stderr
    assert [row["id"] for row in load_dataset(str(tmp_path / "set")).select_columns("id")] == ["stereo"]
    (tmp_path / "whole.wav").write_bytes(FORMS["whole.wav"](sentence()))
    os.utime(tmp_path / "whole.wav")
    assert batch("export", out, "--format", "hf", "--to", tmp_path / "set").exit == 0
    assert [row["id"] for row in load_dataset(str(tmp_path / "set")).select_columns("id")] == ["whole", "stereo"]


def splits_of(to: Path) -> dict[str, list[str]]:
    """The ids of each split by the names of the shards."""
    found: dict[str, list[str]] = {}
    for path in sorted(to.glob("data/*.parquet")):
        found.setdefault(path.name.partition("-")[0], []).extend(pq.read_table(path)["id"].to_pylist())
    return found


@pytest.mark.slow
def test_splits_of_two_nights_are_compared_with_each_other(tmp_path: Path) -> None:
    def night(**values: str | None) -> dict[str, list[str]]:
        """An output with a part for each row, exported; the splits of its ids."""
        metadata = {id_: {} if value is None else {"set": value} for id_, value in values.items()}
        rows = [msgspec.structs.replace(transcript(id_), metadata=metadata[id_]) for id_ in values]
        out = write_output(tmp_path / "out", rows, formats=("parquet",), rows_per_part=1)
        (out / "checkpoint.sqlite").unlink()
        export(out, ExportOptions(format="hf", to=tmp_path / "set", options={"audio": False, "split_by": "set"}))
        return splits_of(tmp_path / "set")

    with pytest.raises(UsageError, match="no row has a column set"):
        night(a=None)
    assert night(a="dev-a") == {"dev.a": ["a"]}
    assert night(a="dev-a", b=None) == {"dev.a": ["a"], "unassigned": ["b"]}  # the new rows have no value
    with pytest.raises(UsageError, match=r'"dev-a".*dev\.a|dev\.a.*"dev-a"'):
        night(a="dev-a", b=None, c="dev.a")
    assert splits_of(tmp_path / "set") == {"dev.a": ["a"], "unassigned": ["b"]}
    assert night(a="dev.a", b=None, c="dev.a") == {"dev.a": ["a", "c"], "unassigned": ["b"]}
    assert night(a="dev.a", b=None, c="DEV") == {"DEV": ["c"], "dev.a": ["a"], "unassigned": ["b"]}
    with pytest.raises(UsageError, match="would both be"):
        night(a="Dev", b=None, c="DEV")


@pytest.mark.slow
@pytest.mark.usefixtures("_hugging_face")
def test_the_example_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = (ROOT / "docs/exports.md").read_text("utf-8").partition("## Hugging Face")[2]
    examples = {match[1]: match[3] for match in list(BLOCK.finditer(section))[:2]}
    for name in ("manifests", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    for line in examples["sh"].splitlines():
        done = run_command(*line.split()[1:], cwd=tmp_path, GRADIUM_BATCH_LOCAL__RECOGNIZER="fingerprint")
        assert done.exit == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    exec(compile(examples["python"], "example", "exec"), {})  # noqa: S102
    assert "rain-16k.wav" in capsys.readouterr().out
