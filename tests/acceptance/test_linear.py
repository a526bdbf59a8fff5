"""What a run writes and reads grows as the rows do: each file is written anew at most once, however many rows change.

Counts bytes and openings of files, which are the same on every machine, and no time.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.batch import environment, jsonl_of, jsonl_rows_of, rows_of, table_of, write_wav
from tests.forked import Forked
from tests.servers import RunningServer

BOTH, PARTS, LINES = '["parquet","jsonl"]', '["parquet"]', '["jsonl"]'
WATCHED = """
import pathlib, sys
log, real_replace, real_open = open(sys.argv.pop(1), "a"), pathlib.Path.replace, pathlib.Path.open

def note(what, path):
    path = pathlib.Path(path)
    print(what, f"{path.parent.name}/{path.name}", file=log, flush=True)

def replace(self, target):
    note("written", target)
    return real_replace(self, target)

def opened(self, mode="r", *args, **kwargs):
    if mode == "rb":
        note("read", self)
    return real_open(self, mode, *args, **kwargs)

pathlib.Path.replace, pathlib.Path.open = replace, opened
import pipeline.cli
try:
    pipeline.cli.main()
finally:
    log.write(pathlib.Path("/proc/self/io").read_text())
    log.close()
"""


class Done:
    """What a run did: how often it wrote a file as a whole or read one, and the bytes that it wrote."""

    def __init__(self, log: Path, exit_status: int) -> None:
        lines = [line.split(" ", 1) for line in log.read_text().splitlines()]
        self.wrote = next(int(number) for what, number in lines if what == "wchar:")
        self.written, self.read = (
            Counter(name for what, name in lines if what == kind) for kind in ("written", "read")
        )
        self.exit = exit_status

    def most(self, counted: Counter[str]) -> int:
        """How often the transcripts' most frequent file was."""
        return max((count for name, count in counted.items() if "transcripts" in name), default=0)


class Archive:
    """Rows over a few recordings, in parts of few rows."""

    def __init__(self, base: Path, server: RunningServer, formats: str = BOTH, per_part: int = 50) -> None:
        self.base, self.out, self.manifest = base, base / "out", base / "m.csv"
        base.mkdir(exist_ok=True)
        self._server = server
        self._settings = ("--set", f"sink.formats={formats}", "--set", f"sink.rows_per_part={per_part}")
        self._runs = 0

    def rows(self, count: int, tag: str, recordings: int = 4, *, first: int = 0) -> None:
        """A manifest of so many rows."""
        for number in range(first, first + recordings):
            if not (path := self.base / "audio" / f"{number}.wav").exists():
                write_wav(path, seed=number, seconds=4)
        lines = (f"r{n:05d},audio/{first + n % recordings}.wav,{tag}\n" for n in range(count))
        self.manifest.write_text("id,audio,tag\n" + "".join(lines))

    def run(self, *args: str, of: Path | None = None) -> Done:
        self._runs += 1
        log, told = self.base / f"log-{self._runs}", self.base / f"stderr-{self._runs}"
        words = ["run", str(of or self.manifest), "--out", str(self.out), "--progress", "off", *self._settings, *args]
        with Path(os.devnull).open("r+b") as null, told.open("wb") as stderr:
            fds = [null.fileno(), null.fileno(), stderr.fileno()]
            process = Forked("python", [WATCHED, str(log), *words], environment(self._server), None, fds)
            done = Done(log, process.wait())
        assert done.exit == 0, told.read_text()
        return done

    def tags(self) -> set[str]:
        """What the output says in the column `tag`, in each of its formats."""
        found: set[str] = set()
        if (self.out / "transcripts").exists():
            found |= {json.loads(row)["tag"] for row in table_of(self.out)["metadata"].to_pylist()}
        if (self.out / "transcripts.jsonl").exists():
            found |= {row["metadata"]["tag"] for row in jsonl_of(self.out)}
        return found


def same_in_both(out: Path) -> dict[str, str]:
    rows = rows_of(out)
    assert jsonl_rows_of(out) == rows
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("formats", [BOTH, PARTS, LINES])
def test_a_changed_column_costs_bytes_as_the_rows_do(tmp_path: Path, server: RunningServer, formats: str) -> None:
    wrote = []
    for count in (200, 400, 800):
        archive = Archive(tmp_path / str(count), server, formats)
        archive.rows(count, "old")
        archive.run()
        archive.rows(count, "new")
        done = archive.run()
        assert archive.tags() == {"new"}
        assert done.most(done.written) == 1
        wrote.append(done.wrote)
    few, more, most = wrote
    assert most - more < 2.5 * (more - few), wrote


def refreshed(archive: Archive) -> None:
    archive.rows(400, "new")


def refreshed_with_new_rows(archive: Archive) -> None:
    archive.rows(600, "new", recordings=6)


def redone(archive: Archive) -> tuple[str, ...]:
    archive.rows(400, "new")
    return ("--only", "all")


def redone_of_other_recordings(archive: Archive) -> None:
    archive.rows(400, "new", recordings=8, first=4)


@pytest.mark.slow
@pytest.mark.parametrize("formats", [BOTH, PARTS, LINES])
@pytest.mark.parametrize("change", [refreshed, refreshed_with_new_rows, redone, redone_of_other_recordings])
def test_each_file_is_written_anew_at_most_once(
    tmp_path: Path, server: RunningServer, change: Any, formats: str
) -> None:
    archive = Archive(tmp_path / "a", server, formats)
    archive.rows(400, "old")
    archive.run()
    args = change(archive) or ()
    done = archive.run(*args)
    assert archive.tags() == {"new"}
    assert done.most(done.written) == 1
    again = archive.run()
    assert again.most(again.written) == 0


@pytest.mark.slow
@pytest.mark.parametrize("form", ["folder", "csv"])
@pytest.mark.parametrize("formats", [BOTH, LINES])
def test_an_archive_that_was_renamed_reads_each_part_a_few_times(
    tmp_path: Path, server: RunningServer, formats: str, form: str
) -> None:
    archive = Archive(tmp_path / "a", server, formats)
    folder, count = archive.base / "audio", 200
    for number in range(count):
        write_wav(folder / f"{number:03d}.wav", seed=number, seconds=0.1)

    def run() -> Done:
        if form == "folder":
            return archive.run(of=folder)
        archive.manifest.write_text("audio\n" + "".join(f"audio/{path.name}\n" for path in sorted(folder.iterdir())))
        return archive.run()

    run()
    texts = {Path(id_).name: text for id_, text in jsonl_rows_of(archive.out).items()}
    before = server.stats()["requests"]
    for number in range(count):  # in an order that is unlike that of the parts
        (folder / f"{number:03d}.wav").rename(folder / f"n{number * 77 % count:03d}.wav")
    done = run()
    assert server.stats()["requests"] == before
    assert done.most(done.written) == 1
    if formats == BOTH:
        assert done.most(done.read) <= 6
    now = {Path(id_).name: text for id_, text in jsonl_rows_of(archive.out).items()}
    assert now == {f"n{int(name[:3]) * 77 % count:03d}.wav": text for name, text in texts.items()}
    if formats == BOTH:
        same_in_both(archive.out)


@pytest.mark.slow
def test_many_recordings_of_one_content_are_renamed_one_by_one(tmp_path: Path, server: RunningServer) -> None:
    archive, count = Archive(tmp_path / "a", server), 450
    folder = archive.base / "audio"
    write_wav(folder / "000.wav", seed=1, seconds=0.1)
    for number in range(1, count):
        shutil.copy(folder / "000.wav", folder / f"{number:03d}.wav")
    archive.run(of=folder)
    for path in sorted(folder.iterdir()):
        path.rename(folder / f"n{path.name}")
    archive.run(of=folder)
    assert sorted(same_in_both(archive.out)) == [f"n{number:03d}.wav" for number in range(count)]


@pytest.mark.parametrize("formats", [BOTH, LINES])
def test_copies_of_what_is_done_read_it_a_few_times(tmp_path: Path, server: RunningServer, formats: str) -> None:
    archive = Archive(tmp_path / "a", server, formats, per_part=1000)
    archive.rows(4, "one")
    archive.run()
    archive.rows(400, "one")
    before = server.stats()["requests"]
    done = archive.run()
    assert server.stats()["requests"] == before
    assert len(jsonl_rows_of(archive.out)) == 400
    assert 0 < done.most(done.read) <= 4
