"""An output of an earlier version: a run converts it, sends nothing for that, and loses nothing."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.schema import CLOSED_JSONL, JSONL_BYTES
from pipeline.errors import OutputError
from pipeline.run.rewrite import Rewriter
from pipeline.sink.lines import Lines
from pipeline.sink.parquet import Table
from pipeline.sink.sink import Sink
from tests.batch import batch, errors_of, jsonl_of
from tests.earlier import archive, corpus
from tests.earlier.rows import assert_converted, rows
from tests.servers import RunningServer, start_server

REFUSES = """[[fault]]
kind = "policy"
message = "The audio could not be decoded: it holds no speech data"
file = "{}"
"""


def run(kind: str, manifest: Path, out: Path, *more: str, server: RunningServer) -> Any:
    return batch("run", manifest, "--out", out, *corpus.SETTINGS, *archive.FORMATS[kind], *more, server=server)


def counted(out: Path) -> tuple[int, int]:
    """The words of all references, and their errors, as the checkpoint sums them up."""
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db:
        found: tuple[int, int] = db.execute("SELECT sum(ref_words), sum(ref_errors) FROM utterances").fetchone()
    return found


@pytest.mark.parametrize("kind", archive.KINDS)
def test_a_run_converts_it_and_sends_nothing_for_that(tmp_path: Path, server: RunningServer, kind: str) -> None:
    manifest, out = archive.unpack(kind, tmp_path)
    before, requests = rows(out), server.stats()["requests"]
    done = run(kind, manifest, out, "--id", "one", server=server)
    assert (done.exit, server.stats()["requests"]) == (0, requests)
    assert f"converting {4 if kind == 'lines' else 6} files" in done.stderr, "three of them are the ledger's"
    after = rows(out)
    assert_converted(before, after)
    assert after.keys() - before.keys() == {"late-0", "late-1", "late-2"}, "answered before the run was killed"
    assert after["late-0"]["text"]
    wrong = [row for row in after.values() if row["wer"] is not None]
    assert counted(out) == (8, round(sum(row["wer"] * len(row["reference"].split()) for row in wrong)))
    again = run(kind, manifest, out, "--id", "one", server=server)
    assert (again.exit, "converting" in again.stderr) == (0, False)


@pytest.mark.parametrize("kind", archive.KINDS)
def test_the_night_goes_on_from_where_it_was_killed(tmp_path: Path, kind: str) -> None:
    manifest, out = archive.unpack(kind, tmp_path)
    before = rows(out)
    refuses = "".join(REFUSES.format(manifest.with_name(f"{name}.wav")) for name in ("refused", "breaks"))
    with start_server(faults=refuses) as server:
        night = run(kind, manifest, out, server=server)
        assert night.exit == 3
        assert server.stats()["audio_s"] == pytest.approx(16.06, abs=0.1), "what the killed run left of one recording"
        assert run(kind, manifest, out, server=server).figures["audio_s"] == 0
    after = rows(out)
    assert_converted(before, after)
    assert after.keys() - before.keys() == {"late-0", "late-1", "late-2", "halves"}
    assert (after["halves"]["sample_rate"], after["halves"]["channels"]) == (corpus.RATE, 1)
    if kind == "both":
        assert errors_of(out) == {"refused": "AudioRefused", "breaks": "AudioRefused", "missing": "AudioMissing"}
        metadata = pq.read_table(out / "errors.parquet").to_pylist()[0]["metadata"]
        assert json.loads(metadata) == jsonl_of(out, "errors.jsonl")[0]["metadata"]


@pytest.mark.parametrize("kind", archive.KINDS)
@pytest.mark.parametrize(
    "step", [(Lines, "write"), (Table, "replace"), (Sink, "rewrite_lines"), (Checkpoint, "recount")]
)
def test_a_conversion_that_fails_leaves_what_there_is(
    tmp_path: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch, kind: str, step: tuple[type, str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OutputError("the disk is full")

    manifest, out = archive.unpack(kind, tmp_path)
    before, requests = rows(out), server.stats()["requests"]
    with monkeypatch.context() as patched:
        patched.setattr(*step, full)
        failed = run(kind, manifest, out, "--id", "one", server=server)
    if failed.exit:
        assert failed.exit == 1
        assert rows(out, same=False).keys() >= before.keys(), "nothing is gone"
    done = run(kind, manifest, out, "--id", "one", server=server)
    assert (done.exit, server.stats()["requests"]) == (0, requests), done.stderr
    assert_converted(before, rows(out))
    assert rows(out).keys() - before.keys() == {"late-0", "late-1", "late-2"}


def test_a_conversion_that_is_repeated_loses_no_row_that_waits(
    tmp_path: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another program held the checkpoint just when the size of the JSONL was to be recorded."""
    convert = Rewriter.convert

    def repeated(rewriter: Rewriter, part: int) -> None:
        convert(rewriter, part)
        rewriter._checkpoint.set_fact(JSONL_BYTES, CLOSED_JSONL)
        convert(rewriter, part)

    manifest, out = archive.unpack("lines", tmp_path)
    before, requests = rows(out), server.stats()["requests"]
    monkeypatch.setattr(Rewriter, "convert", repeated)
    assert run("lines", manifest, out, "--id", "one", server=server).exit == 0
    assert server.stats()["requests"] == requests
    assert_converted(before, rows(out))
    assert rows(out).keys() - before.keys() == {"late-0", "late-1", "late-2"}


@pytest.mark.parametrize("kind", ["lines", "both"])
def test_a_line_that_was_cut_is_dropped_as_by_any_run(tmp_path: Path, server: RunningServer, kind: str) -> None:
    manifest, out = archive.unpack(kind, tmp_path)
    before = rows(out)
    with (out / "transcripts.jsonl").open("ab") as file:
        file.write(b'{"id":"late-0","audio')
    assert run(kind, manifest, out, "--id", "one", server=server).exit == 0
    assert_converted(before, rows(out))


def test_a_damaged_line_stops_the_run_and_costs_no_other_line(tmp_path: Path, server: RunningServer) -> None:
    manifest, out = archive.unpack("lines", tmp_path)
    before, path = rows(out), out / "transcripts.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"status":"ok"', b'"status":"OK"', 1))
    damaged = path.read_bytes()
    done = run("lines", manifest, out, "--id", "two", server=server)
    assert (done.exit, path.read_bytes()) == (1, damaged)
    assert "run gradium-batch rebuild" in done.stderr
    assert batch("rebuild", out).exit == 0
    assert run("lines", manifest, out, "--id", "two", server=server).exit == 0
    assert_converted({id_: row for id_, row in before.items() if id_ != "one"}, rows(out))


@pytest.mark.parametrize("kind", archive.KINDS)
@pytest.mark.parametrize("converted", [False, True])
def test_rebuild_takes_both_versions(tmp_path: Path, server: RunningServer, kind: str, converted: bool) -> None:
    manifest, out = archive.unpack(kind, tmp_path)
    before, requests = rows(out), server.stats()["requests"]
    if converted:
        run(kind, manifest, out, "--id", "one", server=server)
    assert batch("rebuild", out, "--force").exit == 0
    done = run(kind, manifest, out, "--id", "one", server=server)
    assert (done.exit, server.stats()["requests"]) == (0, requests), done.stderr
    assert_converted(before, rows(out))
    assert run(kind, manifest, out, server=server).figures["audio_s"] == pytest.approx(16.06, abs=0.1)


@pytest.mark.parametrize("kind", archive.KINDS)
def test_rebuild_without_the_old_checkpoint(tmp_path: Path, server: RunningServer, kind: str) -> None:
    """What only the checkpoint knew is taken from the manifest."""
    manifest, out = archive.unpack(kind, tmp_path)
    before, requests = rows(out), server.stats()["requests"]
    (out / "checkpoint.sqlite").unlink()
    assert batch("rebuild", out).exit == 0
    done = run(kind, manifest, out, "--limit", "1", "--id", "one", server=server)
    assert (done.exit, server.stats()["requests"]) == (0, requests), done.stderr
    assert_converted(before, rows(out))


def test_what_only_reads_takes_it_as_it_is(tmp_path: Path, server: RunningServer) -> None:
    manifest, out = archive.unpack("both", tmp_path)
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert json.loads(batch("show", out, "--id", "call", "--json").stdout)["transcript"]["issues"] == []
    assert json.loads(batch("status", out, "--json").stdout)["done"] == 16
    planned = batch("check", manifest, "--out", out, *corpus.SETTINGS, "--json", server=server)
    assert json.loads(planned.stdout)["requests"] <= 3
    assert {path: path.read_bytes() for path in files} == files


def test_an_earlier_version_refuses_what_was_converted(tmp_path: Path, server: RunningServer) -> None:
    """By the version of the checkpoint, which it compares with its own."""
    manifest, out = archive.unpack("both", tmp_path)
    run("both", manifest, out, "--id", "one", server=server)
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] > 7


def test_a_copy_of_an_earlier_row_has_the_columns_of_today(tmp_path: Path, server: RunningServer) -> None:
    manifest, out = archive.unpack("both", tmp_path)
    shutil.copy(manifest.with_name("two.wav"), manifest.with_name("again.wav"))
    with manifest.open("a", encoding="utf-8") as file:
        file.write("again,again.wav,en,,,,,gradium;batch,Max,\n")
    requests = server.stats()["requests"]
    assert run("both", manifest, out, "--id", "again", server=server).exit == 0
    assert server.stats()["requests"] == requests
    copy = rows(out)["again"]
    assert (copy["text"], copy["service"]) == (rows(out)["two"]["text"], "local:fingerprint")
    assert (copy["offset_s"], copy["span_s"], copy["metadata"]["speaker"]) == (0.0, None, "Max")
