"""Hugging Face data sets in object stores and on web servers: read by parts, never copied as a whole."""

from __future__ import annotations

import io
import random
from itertools import chain
from pathlib import Path

import pytest

from pipeline.errors import EmptyFolder, ManifestError
from pipeline.manifest import inputs_of
from pipeline.model import NamedByPath, Utterance
from pipeline.source import Sources
from pipeline.source.protocol import Content
from tests.data_sets import Row, write_rows
from tests.manifest.reading import good
from tests.manifest.stored import Stored

MIB = 1 << 20
ROWS = [Row(f"{n}.flac", random.Random(n).randbytes(MIB), f"text {n}") for n in range(8)]


class Counting(Stored):
    """Counts the bytes it hands out."""

    handed_out = 0

    def get(self, address: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> Content:
        content = super().get(address, start, stop, version=version)
        data = b"".join(content.chunks)
        self.handed_out += len(data)
        return Content(content.info, iter([data]))


def shards_at(folder: str, tmp_path: Path) -> dict[str, bytes]:
    return {
        f"{folder}train-{n:05d}-of-00002.parquet": write_rows(
            tmp_path / "x.parquet", ROWS[4 * n :][:4], 2, compression="none"
        ).read_bytes()
        for n in range(2)
    }


def read(argument: str, sources: Sources) -> list[Utterance]:
    return good([*chain.from_iterable(inputs_of([argument], sources))])


@pytest.mark.parametrize("argument", ["s3://bucket", "s3://bucket/data/", "s3://bucket/data"])
def test_a_prefix_of_shards(tmp_path: Path, argument: str) -> None:
    stored = Counting(shards_at("s3://bucket/data/", tmp_path) | {"s3://bucket/data/README.md": b"read me"})
    sources = stored.sources()
    (part,) = inputs_of([argument], sources)
    rows = good([*part])
    shard = "s3://bucket/data/train-00001-of-00002.parquet"
    assert [row.id for row in rows] == [row.path for row in ROWS]
    assert rows[5] == NamedByPath(id="5.flac", audio=f"{shard}#row=1", reference="text 5")
    assert part.covers("anything")
    assert stored.handed_out < MIB  # of 8
    file = io.BytesIO()
    with sources:
        sources.fetch(rows[5].audio, file, 2 * MIB)  # type: ignore[arg-type]
    assert file.getvalue() == ROWS[5].audio


def test_a_prefix_with_a_recording_stays_what_it_is(tmp_path: Path) -> None:
    stored = Stored(shards_at("s3://bucket/data/", tmp_path) | {"s3://bucket/x/a.wav": b""})
    assert [row.id for row in read("s3://bucket/", stored.sources())] == ["x/a.wav"]
    stored = Stored({"s3://bucket/a.parquet": b"no Parquet"})
    with pytest.raises(EmptyFolder, match="no audio below this prefix"):
        read("s3://bucket/", stored.sources())


def test_a_hidden_file_is_no_shard(tmp_path: Path) -> None:
    shard = write_rows(tmp_path / "x.parquet", ROWS[:2]).read_bytes()
    sources = Stored({"s3://bucket/x.parquet": shard, "s3://bucket/.y.parquet": shard}).sources()
    assert [row.id for row in read("s3://bucket/", sources)] == ["0.flac", "1.flac"]


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    objects = shards_at("s3://bucket/", tmp_path)
    second = "s3://bucket/train-00001-of-00002.parquet"
    with pytest.raises(ManifestError, match=rf"{second}: not readable as Parquet: .*; write or upload it again"):
        read("s3://bucket/", Stored(objects | {second: b"PAR1"}).sources())


def test_a_file_at_a_signed_url(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "x.parquet", [*ROWS, Row(None, b"last")], 4, compression="none")
    address = "https://host/x.parquet?v=2"
    stored = Counting({address: path.read_bytes()})
    sources = stored.sources()
    rows = read(f"{address}&X-Amz-Signature=secret", sources)
    assert rows[0] == NamedByPath(id="0.flac", audio=f"{address}#row=0", reference="text 0", line=1)
    assert rows[8].id == "x.parquet#row=8"
    assert "secret" not in repr(rows)
    assert stored.handed_out < MIB
    file = io.BytesIO()
    sources.fetch(rows[8].audio, file, MIB)  # type: ignore[arg-type]
    assert file.getvalue() == b"last"


def test_paths_of_rows_without_bytes_count_from_the_file(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "x.parquet", [Row("clips/a.wav", None), Row("s3://other/b.wav", None)])
    stored = Stored({"s3://bucket/data/x.parquet": path.read_bytes()})
    assert [row.audio for row in read("s3://bucket/data/x.parquet", stored.sources())] == [
        "s3://bucket/data/clips/a.wav",
        "s3://other/b.wav",
    ]
