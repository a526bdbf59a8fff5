"""Whatever is written in ids, texts and metadata reaches every reader as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.model import Transcript
from tests.readers.outputs import full, write_output

Found = list[tuple[str, str, str | dict[str, str]]]
COLUMNS = ["id", "reference", "metadata"]
texts = st.text(st.characters(codec="utf-8"), max_size=20)
rows = st.lists(
    st.builds(
        lambda id_, text, metadata: msgspec.structs.replace(
            full(1), id=id_, text=text, reference=text, metadata=metadata
        ),
        texts.filter(bool),
        texts,
        st.dictionaries(texts, texts, max_size=4),
    ),
    min_size=1,
    max_size=20,
)


@pytest.mark.slow
@pytest.mark.usefixtures("_hugging_face")
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows)
def test_any_text_comes_through(tmp_path_factory: pytest.TempPathFactory, rows: list[Transcript]) -> None:
    expected = [(row.id, row.reference, row.metadata) for row in rows]
    for reader, found in read(tmp_path_factory.mktemp("any"), rows):
        decoded = [(*one[:2], json.loads(one[2]) if isinstance(one[2], str) else one[2]) for one in found]
        assert decoded == expected, reader


def read(folder: Path, rows: list[Transcript]) -> Iterator[tuple[str, Found]]:
    import datasets
    import duckdb
    import pandas as pd
    import polars as pl

    both = write_output(folder / "both", rows, formats=("parquet", "jsonl"))
    lines = write_output(folder / "lines", rows, formats=("jsonl",))
    for out in (both, lines):
        connection = duckdb.connect()
        connection.execute((out / "views.sql").read_text("utf-8"))
        yield "duckdb", connection.execute("SELECT id, reference, metadata FROM transcripts").fetchall()
        loaded = datasets.load_dataset(str(out), split="train", cache_dir=str(folder / "cache"))
        yield "datasets", [tuple(row[column] for column in COLUMNS) for row in loaded]
    yield "polars", pl.read_parquet(both / "transcripts/part-*.parquet").select(COLUMNS).rows()
    for frame in (
        pd.read_parquet(both / "transcripts"),
        pd.read_json(both / "transcripts.jsonl", lines=True, dtype=False),
    ):
        yield "pandas", list(frame[COLUMNS].itertuples(index=False, name=None))
