"""Parquet manifests, as pandas, datasets and our own exports write them."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ManifestError
from pipeline.model import Utterance
from tests.manifest.reading import bad, good, read_manifest


def written(folder: Path, table: Any) -> str:
    path = folder / "m.parquet"
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path)
    return str(path)


def test_a_full_row_fills_every_field(tmp_path: Path) -> None:
    when = pa.array([datetime.datetime(2025, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)], pa.timestamp("ns", "UTC"))
    source = written(
        tmp_path,
        {
            "id": ["a"],
            "audio": pa.array(["x.wav"]).dictionary_encode(),
            "reference": ["Hi"],
            "language": ["DE"],
            "offset_s": [1],
            "duration_s": pa.array([2.5], pa.float32()),
            "channel": pa.array([1], pa.int8()),
            "speaker": ["Ann"],
            "age": [33],
            "tags": [["x", "y"]],
            "when": when,
            "raw": [b"\x00\xff"],
            "nothing": pa.nulls(1),
            "__index_level_0__": [7],
        },
    )
    (row,) = good(list(read_manifest(source)))
    assert row.metadata.pop("when").startswith("2025-01-02 03:04:05")
    assert row == Utterance(
        id="a",
        audio=str(tmp_path / "x.wav"),
        reference="Hi",
        language="de",
        offset_s=1.0,
        duration_s=2.5,
        channel=1,
        metadata={"speaker": "Ann", "age": "33", "tags": '["x","y"]'},
        line=1,
    )


def test_bad_rows_are_named_by_their_number(tmp_path: Path) -> None:
    source = written(tmp_path, {"audio": ["a.wav", None, "c.wav"], "offset_s": [0.0, 1.0, float("nan")]})
    assert bad(list(read_manifest(source))) == [
        (2, "`audio` is empty; name the recording's file."),
        (3, "`offset_s` is nan; it must be a finite number of seconds."),
    ]


def test_numbers_serve_as_ids(tmp_path: Path) -> None:
    rows = good(list(read_manifest(written(tmp_path, {"id": [1, 2], "audio_filepath": ["a.wav", "b.wav"]}))))
    assert [row.id for row in rows] == ["1", "2"]


def test_rows_come_in_order_over_many_batches(tmp_path: Path) -> None:
    table = pa.table({"audio": [f"{n}.wav" for n in range(5_000)]})
    pq.write_table(table, tmp_path / "m.parquet", row_group_size=700)
    rows = good(list(read_manifest(str(tmp_path / "m.parquet"))))
    assert [(row.id, row.line) for row in rows] == [(f"{n}.wav", n + 1) for n in range(5_000)]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"path": ["x.wav"]}, "no column `audio`; rename `path`"),
        ({"audio": [{"bytes": 1, "path": "x"}]}, "column `audio` is struct"),
        ({"audio": pa.nulls(1)}, "column `audio` is null; it must be text"),
        ({"audio": ["x.wav"], "offset_s": ["1"]}, "column `offset_s` is string; it must be numbers"),
        ({"audio": ["x.wav"], "id": [1.5]}, "column `id` is double"),
        (pa.table([["x.wav"], ["a"], ["b"]], names=["audio", "n", "n"]), "two columns are named `n`"),
    ],
)
def test_a_manifest_with_wrong_columns_is_an_error(tmp_path: Path, table: Any, words: str) -> None:
    with pytest.raises(ManifestError) as caught:
        list(read_manifest(written(tmp_path, table)))
    assert words in str(caught.value)


def test_a_file_that_is_no_parquet_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.parquet").write_text("audio\nx.wav\n")
    with pytest.raises(ManifestError, match="not readable as Parquet"):
        list(read_manifest(str(tmp_path / "m.parquet")))


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    source = Path(written(tmp_path, {"audio": [f"{n}-{n * n}.wav" for n in range(50_000)]}))
    content = bytearray(source.read_bytes())
    content[1_000:3_000] = b"\xa5" * 2_000
    source.write_bytes(content)
    with pytest.raises(ManifestError, match="not readable as Parquet"):
        list(read_manifest(str(source)))


def bytes_read() -> int:
    """What this process has read from files so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts what was read in /proc")
def test_the_first_row_comes_before_its_row_group_is_read_whole(tmp_path: Path) -> None:
    text = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(100_000)]  # hardly compresses
    source = tmp_path / "m.parquet"
    pq.write_table(pa.table({"audio": text}), source, row_group_size=len(text))
    before = bytes_read()
    rows = read_manifest(str(source))
    next(rows)
    assert bytes_read() - before < source.stat().st_size / 2
    assert sum(1 for _ in rows) == len(text) - 1
