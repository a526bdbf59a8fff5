"""Files of an output appear whole or not at all; and all but appending works in a store that is no folder."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pytest

from pipeline.checkpoint import Checkpoint, Finished, Store
from pipeline.errors import DamagedFile, OutputError
from pipeline.model import Transcript
from pipeline.run.delay import DelayCorrection
from pipeline.run.publish import Publisher
from pipeline.sink import FolderStore, Sink
from pipeline.sink.lines import Lines
from tests.records import failure, scanned, transcript


class MemoryStore:
    """What an object store would be: whole files by name, and no appending."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def location(self, name: str = "") -> str:
        return f"memory:{name}"

    def names(self, pattern: str) -> list[str]:
        return [name for name in self.files if fnmatch(name, pattern)]

    def size(self, name: str) -> int | None:
        return len(self.files[name]) if name in self.files else None

    @contextmanager
    def read(self, name: str) -> Iterator[BinaryIO]:
        yield BytesIO(self.files[name])

    @contextmanager
    def put(self, name: str) -> Iterator[BinaryIO]:
        written = BytesIO()
        yield written
        self.files[name] = written.getvalue()

    def remove(self, name: str) -> None:
        self.files.pop(name, None)

    def remove_unfinished(self, *patterns: str) -> None:
        pass

    def append(self, name: str, lines: Iterable[bytes], committed: int) -> None:
        return None


def no_space_after(content: bytes) -> Iterator[bytes]:
    yield content
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_after_an_error_the_old_content_stays_and_nothing_else(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with store.put("runs/a.json") as file:
        file.write(b"old")
    with pytest.raises(OutputError), store.put("runs/a.json") as file:
        file.writelines(no_space_after(b"new"))
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["a.json"]
    with store.read("runs/a.json") as file:
        assert file.read() == b"old"


def test_content_is_on_disk_before_it_has_its_name_and_the_name_is_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        steps.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    with FolderStore(tmp_path).put("a") as file:
        file.write(b"x")
    assert steps == ["sync .a.tmp", "rename", f"sync {tmp_path.name}"]


def test_what_a_killed_process_left_is_removed_and_nothing_of_others(tmp_path: Path) -> None:
    for name in (".a.json.tmp", ".mine.tmp", "a.json"):
        (tmp_path / name).touch()
    FolderStore(tmp_path).remove_unfinished("a.json", "missing/part-*")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.tmp", "a.json"]


def test_appending_drops_what_lies_behind_the_committed_bytes(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    assert store.append("lines", [b"one\n", b"two\n"], 0) == 8
    with (tmp_path / "lines").open("ab") as file:
        file.write(b"half a li")
    assert store.append("lines", [b"three\n"], 8) == 14
    assert (tmp_path / "lines").read_bytes() == b"one\ntwo\nthree\n"


def test_lines_that_do_not_fit_on_the_disk_leave_no_half_of_one(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.append("lines", [b"one\n"], 0)
    with pytest.raises(OutputError, match=r"No space left on device .*lines\); .* fix this and run the same command"):
        store.append("lines", no_space_after(b"x" * 100_000), 4)
    assert (tmp_path / "lines").read_bytes() == b"one\n"


@pytest.mark.parametrize("name", ["summary.json", "runs/a.json"])
def test_an_output_folder_that_was_removed_is_not_made_again(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="No such file or directory"), FolderStore(tmp_path / "out").put(name):
        pass
    assert not (tmp_path / "out").exists()


def test_what_the_system_refuses_is_told_with_the_file(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=rf"{tmp_path} cannot be .*No such file .*/a\); .* gradium-batch rebuild"),
        FolderStore(tmp_path).read("a"),
    ):
        pass


def test_a_damaged_line_is_told_with_its_number_and_a_torn_one_is_not(tmp_path: Path) -> None:
    lines = Lines(FolderStore(tmp_path), "lines", Transcript)
    size = lines.write([transcript("a"), transcript("b")])
    path = tmp_path / "lines"
    path.write_bytes(path.read_bytes() + b'{"id": "half')
    assert [row.id for row in lines.rows()] == ["a", "b"]
    assert [(end, row.id) for end, row in lines.rows_behind(size // 2)] == [(size, "b")]
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(DamagedFile, match=r"lines is damaged: line 3: .*; restore it, or run gradium-batch rebuild"):
        list(lines.rows())
    damaged: list[bytes] = []
    assert [row.id for row in lines.rows(on_damage=damaged.append)] == ["a", "b"]
    assert damaged == [b'{"id": "half\n']


def test_an_output_is_published_into_a_store_that_cannot_append(tmp_path: Path) -> None:
    store = MemoryStore()
    sink = Sink(store, ("parquet", "jsonl"))

    async def publish(texts: dict[str, str]) -> None:
        checkpoint.scan([scanned(id_, config=str(texts)) for id_ in texts], "m.csv")
        checkpoint.merge(("all",))
        checkpoint.apply(
            [
                Finished(n=one.n, transcript=transcript(one.utterance.id, texts[one.utterance.id]))
                for one in checkpoint.next_rows(None, 100)
            ]
        )
        journal = Store(checkpoint)
        publisher = Publisher(journal, sink, 2, DelayCorrection("auto", Path()))
        await publisher.tidy()
        await publisher.finish()
        journal.release()

    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        asyncio.run(publish({"a": "one", "b": "two", "c": "three"}))
        asyncio.run(publish({"b": "other"}))
        sink.check(checkpoint.parts("transcripts"), checkpoint.parts("attempts"), len(store.files["transcripts.jsonl"]))
    sink.write_errors(lambda: iter([failure("d")]))
    texts = {"a": "one", "b": "other", "c": "three"}
    assert {row.id: row.text for row in sink.lines.rows()} == texts
    assert {row.id: row.text for part in sink.parts.numbers() for row in sink.rows(part)} == texts
    assert sorted(store.files) == [
        "errors.jsonl",
        "errors.parquet",
        "transcripts.jsonl",
        "transcripts/part-000001.parquet",
        "transcripts/part-000002.parquet",
    ]


FULL_DISK = """
import resource, sys
from pathlib import Path
from pipeline.errors import OutputError
from pipeline.sink import FolderStore

store = FolderStore(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    store.append("lines", (b"%099d\\n" % n for n in range(1_000)), 100)
except OutputError:
    print("refused")
"""


def test_an_append_that_finds_the_disk_full_leaves_what_was_committed(tmp_path: Path) -> None:
    committed = b"c" * 99 + b"\n"
    (tmp_path / "lines").write_bytes(committed)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "refused\n", done.stderr
    assert (tmp_path / "lines").read_bytes() == committed
