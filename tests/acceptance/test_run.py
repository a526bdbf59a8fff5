"""A manifest becomes transcripts: the command as a user runs it, on what is new, known, changed."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from tests.batch import Corpus, batch, errors_of, jsonl_of, jsonl_rows_of, rows_of, table_of, write_wav
from tests.servers import RunningServer


def columns(names: str) -> list[str]:
    return names.split()


def requests_of(server: RunningServer) -> int:
    return int(server.stats()["requests"])


def test_a_folder_becomes_one_row_per_recording(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=20)
    result = batch("run", corpus.folder, "--out", out, server=server)
    assert result.exit == 0, result.stderr
    assert rows_of(out) == corpus.texts
    assert jsonl_rows_of(out) == corpus.texts
    assert errors_of(out) == {}
    assert result.figures["done"] == 20
    assert result.figures["exit"] == 0
    assert result.stdout == ""


def test_jsonl_rows_equal_the_parquet_rows(server: RunningServer, tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "audio"
    write_wav(folder / "a.wav", seed=1, seconds=2.5)
    manifest = tmp_path / "m.csv"
    manifest.write_text("audio,reference,speaker\naudio/a.wav,one two,Ann\n")
    assert batch("run", manifest, "--out", out, server=server).exit == 0
    [by_parquet] = table_of(out).to_pylist()
    [by_jsonl] = jsonl_of(out)
    by_jsonl["finished_at"] = datetime.fromisoformat(by_jsonl["finished_at"])
    by_parquet["metadata"] = json.loads(by_parquet["metadata"])
    assert by_parquet == by_jsonl
    assert by_jsonl["metadata"] == {"speaker": "Ann"}
    assert by_jsonl["wer"] is not None
    assert len(by_jsonl["words"]) == 3
    assert [word["start_s"] for word in by_jsonl["words"]] == [0.0, 1.0, 2.0]


def test_the_tables_have_the_contracts_columns(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    schema = table_of(out).schema
    assert schema.names == [
        "id",
        "audio",
        "text",
        "words",
        "segments",
        "duration_s",
        "offset_s",
        "span_s",
        "channel",
        "sample_rate",
        "channels",
        "status",
        "issues",
        "language",
        "model",
        "service",
        "audio_hash",
        "config_hash",
        "request_ids",
        "attempts",
        "latency_s",
        "credits",
        "run_id",
        "finished_at",
        "reference",
        "wer",
        "metadata",
    ]
    word = schema.field("words").type.value_type
    assert {field.name: field.type for field in word} == {
        "text": pa.string(),
        "start_s": pa.float64(),
        "stop_s": pa.float64(),
        "channel": pa.int16(),
        "stream_id": pa.int32(),
        "clip": pa.int32(),
        "timing": pa.string(),
    }
    assert {field.name: field.type for field in schema.field("segments").type.value_type} == {
        "text": pa.string(),
        "start_s": pa.float64(),
        "stop_s": pa.float64(),
        "channel": pa.int16(),
    }
    assert schema.field("finished_at").type == pa.timestamp("us", tz="UTC")
    assert schema.field("metadata").type == pa.string()
    assert table_of(out, "attempts").schema.names == [
        "id",
        "clip",
        "attempt",
        "run_id",
        "started_at",
        "latency_s",
        "http_status",
        "code",
        "outcome",
        "billed",
        "credits",
        "bytes_sent",
        "request_id",
        "residency",
    ]
    [attempt] = table_of(out, "attempts").to_pylist()
    assert attempt["credits"] == 1.5
    assert attempt["billed"] == "yes"


def test_a_second_run_sends_nothing(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=5)
    batch("run", corpus.folder, "--out", out, server=server)
    before = requests_of(server)
    again = batch("run", corpus.folder, "--out", out, server=server)
    assert again.exit == 0
    assert again.figures["done"] == 5
    assert requests_of(server) == before
    assert rows_of(out) == corpus.texts


def test_only_what_is_new_is_sent(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=5)
    batch("run", corpus.folder, "--out", out, server=server)
    before = requests_of(server)
    corpus.add(77)
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    assert requests_of(server) == before + 1
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_a_changed_file_replaces_its_row(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=5)
    batch("run", corpus.folder, "--out", out, server=server)
    before = requests_of(server)
    corpus.texts["00002.wav"] = write_wav(corpus.folder / "00002.wav", seed=999)
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    assert requests_of(server) == before + 1
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_a_touched_file_is_not_sent_again(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    batch("run", corpus.folder, "--out", out, server=server)
    before = requests_of(server)
    os.utime(corpus.folder / "00001.wav", (1, 1))
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    assert requests_of(server) == before


def test_another_language_redoes_everything(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    batch("run", corpus.folder, "--out", out, server=server)
    before = requests_of(server)
    assert batch("run", corpus.folder, "--out", out, "--set", "service.language=fr", server=server).exit == 0
    assert requests_of(server) == before + 3
    assert set(table_of(out)["language"].to_pylist()) == {"fr"}
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_another_concurrency_redoes_nothing(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    batch("run", corpus.folder, "--out", out, server=server)
    before = requests_of(server)
    assert batch("run", corpus.folder, "--out", out, "--concurrency", "2", server=server).exit == 0
    assert requests_of(server) == before


def test_only_all_sends_everything_again(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    batch("run", corpus.folder, "--out", out, server=server)
    before = requests_of(server)
    assert batch("run", corpus.folder, "--out", out, "--only", "all", server=server).exit == 0
    assert requests_of(server) == before + 3
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_rows_go_into_parts_of_the_configured_size(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=25)
    args = ("run", corpus.folder, "--out", out, "--set", "sink.rows_per_part=10")
    assert batch(*args, server=server).exit == 0
    assert [path.name for path in sorted((out / "transcripts").iterdir())] == [
        f"part-{number:06d}.parquet" for number in (1, 2, 3)
    ]
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_a_row_that_left_the_manifest_keeps_its_transcript(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    batch("run", corpus.folder, "--out", out, server=server)
    (corpus.folder / "00000.wav").unlink()
    result = batch("run", corpus.folder, "--out", out, server=server)
    assert result.exit == 0
    assert result.figures["done"] == 2
    assert "1 no longer in the manifest" in result.stderr
    assert rows_of(out) == corpus.texts


def test_a_limit_stops_with_its_own_status_and_the_next_run_goes_on(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=6)
    first = batch("run", corpus.folder, "--out", out, "--limit", "4", server=server)
    assert first.exit == 4
    assert first.figures["done"] == 4
    assert first.figures["left"] == 2
    assert batch("run", corpus.folder, "--out", out, "--limit", "4", server=server).exit == 0
    assert rows_of(out) == corpus.texts


def test_a_manifest_on_stdin(server: RunningServer, tmp_path: Path, out: Path) -> None:
    text = write_wav(tmp_path / "a.wav", seed=3)
    row = json.dumps({"id": "x", "audio": str(tmp_path / "a.wav")})
    assert batch("run", "-", "--out", out, server=server, stdin=row + "\n").exit == 0
    assert rows_of(out) == {"x": text}


def test_out_defaults_to_runs_and_the_manifests_stem(server: RunningServer, tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "calls", count=1)
    assert batch("run", corpus.folder, server=server, cwd=tmp_path).exit == 0
    assert rows_of(tmp_path / "runs" / "calls") == corpus.texts


def test_the_summary_tells_the_run(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=4, seconds=1.0)
    batch("run", corpus.folder, "--out", out, server=server)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["done"] == summary["new"] == summary["requests"] == 4
    assert summary["credits"] == 12.0
    assert summary["audio_s"] == 4.0
    assert (out / "runs" / f"{summary['run_id']}.json").read_text() == (out / "summary.json").read_text()


def test_one_format_only(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    args = ("run", corpus.folder, "--out", out, "--set", 'sink.formats=["jsonl"]')
    assert batch(*args, server=server).exit == 0
    assert jsonl_rows_of(out) == corpus.texts
    assert not (out / "transcripts").exists()
    assert batch(*args, "--only", "all", server=server).exit == 0
    assert jsonl_rows_of(out) == corpus.texts
    other = batch("run", corpus.folder, "--out", out, server=server)
    assert other.exit == 2
    assert "sink.formats: this output was begun with jsonl" in other.stderr
