"""A ledger begun before it had a `residency`, and continued: every reader loads all of it, and no credit is lost."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import OutputError
from pipeline.sink.parts import AttemptParts
from tests.asked import Asked
from tests.batch import Corpus, Finished, batch
from tests.earlier import archive, corpus
from tests.readers.conftest import Load
from tests.readers.test_duckdb import Session

EU = "pinned; zone=eu"
Go = Callable[[], Finished]
Row = tuple[str, int, str, float, str | None]


@pytest.fixture(
    params=[*(pytest.param(kind, marks=pytest.mark.slow) for kind in archive.KINDS[1:]), "both", "format 2"]
)
def begun(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, tuple[Any, ...]]:
    """(an output of an earlier version, how to run on)."""
    if request.param != "format 2":
        manifest, out = archive.unpack(request.param, tmp_path)
        return out, ("run", manifest, "--out", out, *corpus.SETTINGS, *archive.FORMATS[request.param])
    calls, out = Corpus(tmp_path / "audio", count=5), tmp_path / "out"
    asked = ("run", calls.folder, "--out", out, "--set", "sink.rows_per_part=2")
    with Asked(recognizer="fingerprint") as service:
        assert batch(*asked, server=service).exit == 0
    for path in (out / "attempts").glob("part-*"):
        forget_residency(path)
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db, db:
        assert db.execute("UPDATE facts SET value = 2 WHERE key = 'output_format'").rowcount == 1
    calls.add(7)
    return out, asked


def forget_residency(path: Path) -> None:
    rows = pq.read_table(path).drop_columns(["residency"])
    kept = {**(rows.schema.metadata or {})}
    kept.pop(b"huggingface", None)
    pq.write_table(rows.replace_schema_metadata(kept), path)


def ledger(out: Path) -> list[Row]:
    """All rows of the ledger, whichever columns their part has."""
    parts = [pq.ParquetFile(path).read().to_pylist() for path in sorted((out / "attempts").glob("part-*.parquet"))]
    return [row_of(row) for part in parts for row in part]


def row_of(row: Any) -> Row:
    return row["id"], row["clip"], row["outcome"], row["credits"], row.get("residency")


def go_on(asked: tuple[Any, ...]) -> Finished:
    with Asked(recognizer="fingerprint", headers={"x-gradium-residency": EU}) as service:
        return batch(*asked, server=service)


def spent(out: Path) -> float:
    return float(json.loads(batch("status", out, "--json").stdout)["credits"])


@pytest.mark.slow
def test_every_reader_loads_it(begun: tuple[Path, tuple[Any, ...]], load_dataset: Load) -> None:
    out, asked = begun
    before, had = ledger(out), spent(out)
    done = go_on(asked)
    assert done.exit in (0, 3), done.stderr
    found = ledger(out)
    assert set(before) < set(found)
    assert {row[-1] for row in before} == {None}
    assert EU in {row[-1] for row in found}, "of what was sent now"
    credits_ = sum(row[3] for row in found)
    assert spent(out) == pytest.approx(credits_)
    assert credits_ == pytest.approx(had + done.figures["credits"], abs=0.1), "rounded in the last line"

    if (out / "transcripts").exists():
        assert [row_of(row) for row in load_dataset(str(out), "attempts")] == found
        assert [row_of(row) for row in load_dataset(str(out), "attempts", streaming=True)] == found
    files = str(out / "attempts/part-*.parquet")
    assert [row_of(row) for row in load_dataset("parquet", data_files=files)] == found
    session = Session(out / "views.sql")
    query = "SELECT id, clip, outcome, credits, residency FROM attempts"
    assert sorted(session.rows(query), key=str) == sorted(found, key=str)
    assert session.rows("DESCRIBE attempts")[-1][0] == "residency"
    assert session.rows("SELECT round(sum(credits), 6) FROM spend_by_day") == [(round(credits_, 6),)]
    assert [row_of(row) for row in pl.read_parquet(files).iter_rows(named=True)] == found
    assert pl.scan_parquet(files).select(pl.sum("credits")).collect().item() == pytest.approx(credits_)
    assert [row_of(row) for row in pa.parquet.read_table(out / "attempts").to_pylist()] == found
    assert pd.read_parquet(out / "attempts")["residency"].notna().sum() == sum(row[-1] == EU for row in found)

    assert batch("rebuild", out, "--force").exit == 0
    assert spent(out) == pytest.approx(credits_)
    assert "converting" not in go_on(asked).stderr, "and only once"
    assert ledger(out)[: len(found)] == found


@pytest.mark.slow
def test_a_conversion_that_was_cut_short_goes_on(
    begun: tuple[Path, tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, asked = begun
    before, convert = ledger(out), AttemptParts.convert

    def fails(parts: AttemptParts, part: int, had: int) -> None:
        if part == 2:
            raise OutputError("the disk is full")
        convert(parts, part, had)

    with monkeypatch.context() as patched:
        patched.setattr(AttemptParts, "convert", fails)
        assert go_on(asked).exit == 1
    assert ledger(out) == before, "nothing was sent"
    assert go_on(asked).exit in (0, 3)
    assert ledger(out)[: len(before)] == before
    columns = {tuple(pq.read_schema(path).names) for path in (out / "attempts").glob("part-*.parquet")}
    assert len(columns) == 1


def test_what_only_reads_takes_it_as_it_is(begun: tuple[Path, tuple[Any, ...]]) -> None:
    out, _ = begun
    files = {path: path.read_bytes() for path in (out / "attempts").iterdir()}
    id_ = ledger(out)[0][0]
    [first, *_] = json.loads(batch("show", out, "--id", id_, "--json").stdout)["attempts"]
    assert first["residency"] is None
    assert {path: path.read_bytes() for path in files} == files
