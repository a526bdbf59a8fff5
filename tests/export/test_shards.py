"""Which shard of a data set a row is in, where shards are full after one row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest

from pipeline.export import data_set
from pipeline.model import Transcript
from tests.export.nights import Output, exported, killed_export, spoken

pytestmark = pytest.mark.slow
OPTIONS = {"options": {"audio": False, "split_by": None}}


@pytest.fixture(autouse=True)
def small_shards() -> Iterator[None]:
    with patch.multiple(data_set, SHARD_BYTES=1, ROWS_AT_ONCE=1):
        yield


@pytest.fixture
def out(tmp_path: Path) -> Output:
    return Output(tmp_path / "out")


def row(id_: str) -> Transcript:
    return spoken(id_, f"/a/{id_}.wav", id_)


def ids(to: Path) -> list[list[str]]:
    return [pq.read_table(path)["id"].to_pylist() for path in sorted(to.glob("data/*.parquet"))]


def test_a_row_that_comes_before_others_moves_these_into_the_next_shard(out: Output, tmp_path: Path) -> None:
    out.write({1: [row("b")]}, ["a", "b"])
    exported(out.folder, "hf", tmp_path / "to", **OPTIONS)
    out.write({1: [row("b")], 2: [row("a")]}, [])
    assert exported(out.folder, "hf", tmp_path / "to", **OPTIONS).total == 2
    assert ids(tmp_path / "to") == [["a"], ["b"]]
    out.write({2: [row("a")]}, [])
    exported(out.folder, "hf", tmp_path / "to", **OPTIONS)
    assert ids(tmp_path / "to") == [["a"]]


def test_a_row_before_all_others_has_a_place_also_where_the_first_shard_is_gone(out: Output, tmp_path: Path) -> None:
    out.write({1: [row("a")], 2: [row("b")]}, ["a", "b"])
    exported(out.folder, "hf", tmp_path / "to", **OPTIONS)
    for part in ({2: [row("b")]}, {1: [row("a")], 2: [row("b")]}):
        out.write(part, [])
        exported(out.folder, "hf", tmp_path / "to", **OPTIONS)
    assert [id_ for shard in ids(tmp_path / "to") for id_ in shard] == ["a", "b"]


@pytest.mark.parametrize("step", range(5))
def test_rows_of_a_file_that_is_gone_go_also_after_a_kill(out: Output, tmp_path: Path, step: int) -> None:
    out.write({1: [row("a")], 2: [row("b")], 3: [row("c")]}, ["a", "b", "c"])
    exported(out.folder, "hf", tmp_path / "to", **OPTIONS)
    out.write({1: [spoken("a", "/a/a.wav", "new")]}, [])
    killed_export(step, out.folder, "hf", tmp_path / "to", **OPTIONS)
    exported(out.folder, "hf", tmp_path / "to", **OPTIONS)
    assert ids(tmp_path / "to") == [["a"]]
