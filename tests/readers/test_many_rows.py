"""30,000 rows, of which the first 10,000 have nothing that may be missing: no reader infers its types from them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

from tests.acceptance.test_docs import ROOT
from tests.readers.conftest import Load
from tests.readers.outputs import as_loaded, attempts, failures, night, write_output
from tests.readers.test_recipes import OUT, RECIPES, carry_out

pytestmark = pytest.mark.slow

ROWS = 30_000
BARE = 10_000
LOOKED_AT = (0, BARE - 1, BARE, BARE + 1, BARE + 5, BARE + 21, ROWS - 1)


@pytest.fixture(scope="module", params=[("parquet", "jsonl"), ("jsonl",)], ids="+".join)
def workspace(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    (folder / "manifests").symlink_to(ROOT / "manifests")
    failed = failures(*(f"failed-{number}" for number in range(100)))
    write_output(
        folder / OUT, list(night(ROWS, BARE)), failed, attempts("a", "b"), formats=request.param, rows_per_part=7_000
    )
    return folder


@pytest.fixture(scope="module")
def expected() -> dict[int, dict[str, Any]]:
    return {number: as_loaded(row) for number, row in enumerate(night(ROWS, BARE)) if number in LOOKED_AT}


def decoded(row: dict[str, Any]) -> dict[str, Any]:
    metadata = row["metadata"]
    return row | {"metadata": json.loads(metadata) if isinstance(metadata, str) else metadata}


def check(rows: Iterable[dict[str, Any]], expected: dict[int, dict[str, Any]]) -> None:
    """The rows in their order, each there."""
    found, count = {}, 0
    for number, row in enumerate(rows):
        count += 1
        if number in LOOKED_AT:
            found[number] = decoded(row)
    assert count == ROWS
    assert found == expected


@pytest.mark.parametrize("streaming", [False, True], ids=["loaded", "streamed"])
def test_datasets(workspace: Path, load_dataset: Load, expected: dict[int, Any], streaming: bool) -> None:
    out = str(workspace / OUT)
    check(load_dataset(out, streaming=streaming), expected)
    assert len(list(load_dataset(out, "errors", streaming=streaming))) == 100
    if (workspace / OUT / "transcripts").exists():
        parts = load_dataset("parquet", data_files=f"{out}/transcripts/*.parquet", streaming=streaming)
        check(parts, expected)


def test_duckdb(workspace: Path, expected: dict[int, Any]) -> None:
    connection = duckdb.connect()
    connection.execute((workspace / OUT / "views.sql").read_text("utf-8"))
    table = connection.sql("FROM transcripts ORDER BY id").to_arrow_table()
    check(table.to_pylist(), expected)
    words = sum(len(row.words) for row in night(ROWS, BARE))
    assert connection.execute("SELECT count(*), count(DISTINCT id) FROM words").fetchall() == [(words, ROWS - BARE)]
    assert connection.execute("SELECT count(*), count(error) FROM utterances").fetchall() == [(ROWS + 100, 100)]


def test_frames(workspace: Path, expected: dict[int, Any]) -> None:
    issues = Counter(issue for row in night(ROWS, BARE) for issue in row.issues)
    if (workspace / OUT / "transcripts").exists():
        frame = pd.read_parquet(workspace / OUT / "transcripts")
        lazy = pl.scan_parquet(workspace / OUT / "transcripts/part-*.parquet")
        check(lazy.collect().iter_rows(named=True), expected)
    else:
        frame = pd.read_json(workspace / OUT / "transcripts.jsonl", lines=True, dtype=False)
        lines = pl.read_ndjson(workspace / OUT / "transcripts.jsonl", infer_schema_length=None)
        assert lines["words"].list.len().sum() == sum(len(row.words) for row in night(ROWS, BARE))
    assert len(frame) == ROWS
    assert frame.issues.explode().value_counts().to_dict() == issues
    assert [frame.text[number] for number in LOOKED_AT] == [expected[number]["text"] for number in LOOKED_AT]


@pytest.mark.usefixtures("_hugging_face")
def test_the_recipes(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    has_parts = (OUT / "transcripts").exists()
    for recipe in RECIPES:
        kind, text = map(str, recipe.values)
        if has_parts or kind == "sql":  # those in Python read parts
            carry_out(kind, text)
    with Path("nemo.json").open("rb") as file:
        assert sum(1 for _ in file) == ROWS - BARE
