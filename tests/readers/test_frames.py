"""pandas and Polars: the columns and their types."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from tests.readers.outputs import as_loaded, attempts, failures, night, write_output

ROWS = list(night(60, 20))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return write_output(tmp_path / "out", ROWS, failures("a"), attempts("a", "b"), rows_per_part=25)


def test_pandas_reads_each_folder_and_file(out: Path) -> None:
    frame = pd.read_parquet(out / "transcripts")
    assert list(frame.id) == [row.id for row in ROWS]
    assert [tuple(issues) for issues in frame.issues] == [row.issues for row in ROWS]  # a column, not an attribute
    assert [len(words) for words in frame.words] == [len(row.words) for row in ROWS]
    assert list(pd.read_parquet(out / "errors.parquet").id) == ["a"]
    assert pd.read_parquet(out / "attempts").credits.sum() == 12.0


def test_no_column_is_hidden_by_what_pandas_has(out: Path) -> None:
    frame = pd.read_parquet(out / "transcripts")
    assert [name for name in frame.columns if not isinstance(getattr(frame, name), pd.Series)] == []


def test_pandas_has_the_types_of_the_columns(out: Path) -> None:
    kinds = pd.read_parquet(out / "transcripts").dtypes
    assert str(kinds["finished_at"]) == "datetime64[us, UTC]"
    assert {str(kinds[name]) for name in ("duration_s", "offset_s", "span_s", "wer", "credits")} == {"float64"}
    assert {str(kinds[name]) for name in ("id", "text", "language", "reference", "metadata")} == {"str"}
    exact = pd.read_parquet(out / "transcripts", dtype_backend="pyarrow")
    assert [str(kind) for kind in exact.dtypes[["channel", "sample_rate"]]] == ["int16[pyarrow]", "int32[pyarrow]"]


def test_polars_reads_parts_and_lines_alike(out: Path) -> None:
    parts = pl.read_parquet(out / "transcripts/part-*.parquet")
    assert parts["id"].to_list() == [row.id for row in ROWS]
    assert parts["words"].list.len().to_list() == [len(row.words) for row in ROWS]
    assert parts["segments"].to_list() == [as_loaded(row)["segments"] for row in ROWS]
    assert parts["finished_at"].to_list() == [row.finished_at for row in ROWS]
    lines = pl.read_ndjson(out / "transcripts.jsonl", infer_schema_length=None)
    assert lines["text"].to_list() == parts["text"].to_list()
    assert pl.scan_parquet(out / "attempts/part-*.parquet").select(pl.sum("credits")).collect().item() == 12.0
