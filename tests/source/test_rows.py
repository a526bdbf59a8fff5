"""Recordings inside of Parquet files: every row in any order and by many threads, with bounded memory; and files that
are damaged, replaced or elsewhere."""

from __future__ import annotations

import io
import os
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import AttemptError, AudioMissing, AudioUnreadable, OutputError, RecordingTooLong, SourceChanged
from pipeline.source import FileInfo, Listed, Sources
from pipeline.source.protocol import Content
from pipeline.source.row_group import Passed, RowGroup
from tests.data_sets import AUDIO, Row, damaged, write_rows

MIB = 1 << 20
LARGE = pa.struct([("path", pa.string()), ("bytes", pa.large_binary())])


def fetched(sources: Sources, path: str, max_bytes: int = 1 << 30) -> bytes:
    file = io.BytesIO()
    info = sources.fetch(path, file, max_bytes)  # type: ignore[arg-type]
    assert info.size_bytes == len(file.getvalue())
    assert info.version == sources.stat(path).version
    return file.getvalue()


def rows_of(sizes: list[int]) -> list[Row]:
    return [Row(f"{n}.flac", random.Random(n).randbytes(size)) for n, size in enumerate(sizes)]


class Memory:
    """A store in memory."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = objects
        self.reads: list[tuple[int, int]] = []

    def stat(self, address: str) -> FileInfo:
        data = self._data(address)
        return FileInfo(str(hash(data)), len(data), 1.0)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        for name in sorted(self.objects):
            if name > after:
                yield Listed(name, self.stat(prefix + name))

    def get(self, address: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> Content:
        info = self.stat(address)
        if version not in (None, info.version):
            raise SourceChanged("the object was replaced")
        data = self._data(address)[start:stop]
        self.reads.append((start, start + len(data)))
        return Content(info, iter([data[: len(data) // 2], data[len(data) // 2 :]]))

    def close(self) -> None:
        pass

    def _data(self, address: str) -> bytes:
        name = address.rpartition("/")[2]
        if name not in self.objects:
            raise AudioMissing(f"there is no {address}")
        return self.objects[name]


def with_store(**objects: bytes) -> tuple[Sources, Memory]:
    sources, store = Sources(), Memory(**objects)
    sources._stores["s3"] = store
    return sources, store


@settings(max_examples=12, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3_000), min_size=1, max_size=40),
    group_rows=st.integers(1, 12),
    seed=st.integers(0, 1 << 30),
    threads=st.sampled_from([1, 8]),
    kind=st.sampled_from([AUDIO, LARGE]),
    compression=st.sampled_from(["none", "snappy", "zstd"]),
    in_store=st.booleans(),
)
def test_every_row_in_any_order(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    group_rows: int,
    seed: int,
    threads: int,
    kind: Any,
    compression: str,
    in_store: bool,
) -> None:
    rows = rows_of(sizes)
    path = tmp_path_factory.mktemp("rows") / "x.parquet"
    write_rows(path, rows, group_rows, kind=kind, compression=compression)
    sources, _ = with_store(**{"x.parquet": path.read_bytes()})
    name = "s3://bucket/data/x.parquet" if in_store else str(path)
    order = [*range(len(rows))] * 2
    random.Random(seed).shuffle(order)
    with sources, ThreadPoolExecutor(threads) as pool:
        assert [*pool.map(lambda n: fetched(sources, f"{name}#row={n}"), order)] == [rows[n].audio for n in order]


def test_rows_of_a_group_have_one_length_so_that_a_run_takes_them_in_their_order(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "x.parquet", rows_of([500, 40_000, 7, 90_000, 10, 100]), 3)
    with Sources() as sources:
        found = [sources.stat(f"{path}#row={n}") for n in range(6)]
    assert [*map(len, ({*found[:3]}, {*found[3:]}))] == [1, 1]
    assert {one.version for one in found} == {Sources().stat(str(path)).version}
    for first, sizes in ((found[0], 40_507), (found[5], 90_110)):
        assert first.size_bytes is not None
        assert sizes / 3 <= first.size_bytes <= sizes / 3 + 100
        assert first.estimated_s == first.size_bytes / 16_000


@pytest.mark.slow
def test_a_group_is_neither_read_twice_nor_held(tmp_path: Path) -> None:
    rows = rows_of([MIB // 4] * 120)
    path = write_rows(tmp_path / "x.parquet", rows, 120, use_content_defined_chunking=True, compression="none")
    sources, store = with_store(**{"x.parquet": path.read_bytes()})
    before, most, lock = pa.total_allocated_bytes(), 0, threading.Lock()

    def one(n: int) -> bool:
        nonlocal most
        is_right = fetched(sources, f"s3://bucket/x.parquet#row={n}") == rows[n].audio
        with lock:
            most = max(most, pa.total_allocated_bytes() - before)
        return is_right

    order = [
        n
        for start in range(0, 120, 16)
        for n in random.Random(start).sample(range(start, min(120, start + 16)), k=min(16, 120 - start))
    ]
    with sources, ThreadPoolExecutor(16) as pool:
        assert all(pool.map(one, order))
    assert most < 20 * MIB  # of 30
    assert sum(stop - start for start, stop in store.reads) < 1.05 * len(store.objects["x.parquet"]) + MIB
    assert max(stop - start for start, stop in store.reads) < 5 * MIB
    assert pa.total_allocated_bytes() - before < MIB  # closed


def test_small_groups_are_read_once_though_their_rows_are_asked_for_in_turn(tmp_path: Path) -> None:
    rows = rows_of([5_000] * 60)
    path = write_rows(tmp_path / "x.parquet", rows, 10)
    sources, store = with_store(**{"x.parquet": path.read_bytes()})
    with sources:
        for n in [group * 10 + row for row in range(10) for group in range(6)]:
            assert fetched(sources, f"s3://bucket/x.parquet#row={n}") == rows[n].audio
    assert sum(stop - start for start, stop in store.reads) < 1.1 * path.stat().st_size + 65_536  # the footer


def test_what_is_passed_by_is_bounded() -> None:
    passed = Passed(100)
    for n in range(50):
        passed.put(1, n, pa.py_buffer(bytes(30)))
    assert [n for n in range(50) if passed.pop(1, n)] == [47, 48, 49]
    opened = []

    def read() -> Iterator[Any]:
        opened.append(0)
        for n in range(10):
            opened[-1] = n
            yield pa.py_buffer(bytes([n]) * 30)

    group = RowGroup(10, read, passed)  # type: ignore[arg-type]
    assert [group.take(n).to_pybytes()[0] for n in (9, 8, 0, 1, 3, 2)] == [9, 8, 0, 1, 3, 2]
    assert opened == [9, 3]  # 9 and 8 in the first reading, the others in a second one


def test_errors_of_a_reading_reach_who_asked_and_the_next_one_begins_anew() -> None:
    fails = [True]

    def read() -> Iterator[Any]:
        yield pa.py_buffer(b"0")
        if fails.pop() if fails else False:
            raise AudioUnreadable("broken")
        yield pa.py_buffer(b"1")

    group = RowGroup(2, read, Passed(100))  # type: ignore[arg-type]
    assert group.take(0).to_pybytes() == b"0"
    with pytest.raises(AudioUnreadable, match="broken"):
        group.take(1)
    assert group.take(1).to_pybytes() == b"1"


def test_a_replaced_file_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = rows_of([100] * 10), rows_of([0] * 5 + [200] * 10)
    path = write_rows(tmp_path / "x.parquet", old, 10)
    with Sources() as sources:
        assert fetched(sources, f"{path}#row=0") == old[0].audio
        write_rows(tmp_path / "y.parquet", new, 10).replace(path)
        monkeypatch.setattr("pipeline.source.rows.STATUS_KEPT_S", 0.0)
        assert fetched(sources, f"{path}#row=9") == new[9].audio
        path.unlink()
        with pytest.raises(AudioMissing, match=r"there is no file .*x\.parquet"):
            fetched(sources, f"{path}#row=9")


@pytest.mark.parametrize("in_store", [False, True])
def test_a_file_that_changes_while_it_is_read_gives_no_row_of_either(tmp_path: Path, in_store: bool) -> None:
    pages: dict[str, Any] = {"use_content_defined_chunking": True, "compression": "none"}
    old, new = rows_of([3 * MIB] * 3), rows_of([0, 2 * MIB, 2 * MIB])
    path = write_rows(tmp_path / "x.parquet", old, 10, **pages)
    sources, store = with_store(**{"x.parquet": path.read_bytes()})
    name = "s3://bucket/x.parquet" if in_store else str(path)
    with sources:
        assert fetched(sources, f"{name}#row=0") == old[0].audio
        write_rows(path, new, 10, **pages)  # in place, within the time for which the version is kept
        store.objects["x.parquet"] = path.read_bytes()
        assert fetched(sources, f"{name}#row=2") == new[2].audio


def test_what_cannot_be_fetched_is_named(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "x.parquet", [Row("a", b"abc"), Row("b.flac", None), Row(None, bytes(2 * MIB))])
    plain = write_rows(tmp_path / "plain.parquet", [Row("a", None)], kind=pa.struct([("path", pa.string())]))
    (tmp_path / "text.parquet").write_text("no Parquet")
    (tmp_path / "folder.parquet").mkdir()
    sources, _ = with_store()
    for address, error, words in (
        (f"{path}#row=1", AudioUnreadable, "row 1 has no audio"),
        (f"{path}#row=3", AudioUnreadable, "there is no row 3; its 3 rows count from 0"),
        (f"{path}#row=2", RecordingTooLong, r"takes 2,097,\d{3} bytes, more than the 1,048,576 bytes"),
        (f"{plain}#row=0", AudioUnreadable, "has no column of recordings"),
        (f"{tmp_path}/text.parquet#row=0", AudioUnreadable, "the Parquet file is damaged"),
        (f"{tmp_path}/folder.parquet#row=0", AudioUnreadable, "no regular file"),
        (f"{tmp_path}/none.parquet#row=0", AudioMissing, "there is no file"),
        ("s3://bucket/none.parquet#row=0", AudioMissing, "there is no s3://bucket/none.parquet"),
    ):
        with pytest.raises(error, match=words):
            sources.fetch(address, io.BytesIO(), MIB)  # type: ignore[arg-type]


class Full(io.BytesIO):
    def write(self, _: object) -> int:
        raise OSError(28, "No space left on device")


def test_a_row_that_could_not_be_written_is_not_read_again(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "x.parquet", rows_of([1_000] * 5))
    sources, store = with_store(**{"x.parquet": path.read_bytes()})
    with sources, pytest.raises(OutputError, match="No space left"):
        sources.fetch("s3://bucket/x.parquet#row=3", Full(), MIB)  # type: ignore[arg-type]
    count = len(store.reads)
    sources.stat("s3://bucket/x.parquet#row=3")
    assert fetched(sources, "s3://bucket/x.parquet#row=3") == rows_of([1_000] * 5)[3].audio
    assert len(store.reads) <= count + 3  # closing forgot it


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 30), kind=st.sampled_from(["cut", "flip", "zeros", "footer"]))
def test_damage_is_an_error_of_the_row_or_of_no_row(
    tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str
) -> None:
    chance = random.Random(seed)
    path = tmp_path_factory.mktemp("rows") / "x.parquet"
    rows = rows_of([chance.randrange(2_000) for _ in range(12)])
    write_rows(path, rows, 5, compression=chance.choice(["none", "zstd"]))
    path.write_bytes(damaged(path.read_bytes(), kind, chance))
    with Sources() as sources:
        for n in range(12):
            error = None
            try:
                fetched(sources, f"{path}#row={n}")
            except AttemptError as raised:
                error = raised
            assert error is None or (isinstance(error, AudioUnreadable) and str(path) in str(error)), error


def test_ordering_of_waiting_rows() -> None:
    """Rows that several threads wait for are read in their order, whoever asked first."""
    begun, go_on = threading.Event(), threading.Event()
    served: list[int] = []

    def read() -> Iterator[Any]:
        for n in range(20):
            if n == 1:
                begun.set()
                go_on.wait(10)
            served.append(n)
            yield pa.py_buffer(bytes([n]))

    group = RowGroup(20, read, Passed(0))  # type: ignore[arg-type]
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(group.take, 1)
        begun.wait(10)
        others = [pool.submit(group.take, n) for n in (9, 3, 7, 5)]
        while len(group._waited_for) < 4:
            os.sched_yield()
        go_on.set()
        assert [one.result(10).to_pybytes()[0] for one in (first, *others)] == [1, 9, 3, 7, 5]
    assert all(a < b for a, b in pairwise(served))  # one pass
