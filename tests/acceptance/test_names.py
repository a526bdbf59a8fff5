"""Known recordings under other ids: whatever changes places with what, nothing is sent again."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.test_interrupted import kill
from tests.batch import Corpus, batch, jsonl_of, jsonl_rows_of, rows_of, start_batch
from tests.servers import RunningServer

COUNT = 90  # rows are looked at 16 at a time, by several workers, and lie in several parts
PARTS = ("--set", "sink.rows_per_part=20")


class Numbered:
    """A manifest whose ids are row numbers, over recordings that keep their names."""

    def __init__(self, base: Path, count: int = COUNT) -> None:
        self.corpus = Corpus(base / "audio", count)
        for path in self.corpus.folder.iterdir():  # all of one length already, as chunks of a data set are
            os.utime(path, ns=(10**18, 10**18))
        self.names = [*self.corpus.texts]
        self.path = base / "numbered.csv"
        self.write()

    def write(self) -> Path:
        rows = "".join(f"{number},audio/{name}\n" for number, name in enumerate(self.names))
        self.path.write_text(f"id,audio\n{rows}")
        return self.path

    @property
    def texts(self) -> dict[str, str]:
        return {str(number): self.corpus.texts[name] for number, name in enumerate(self.names)}

    def write_as(self, names: Sequence[str]) -> None:
        self.names = [*names]
        self.write()


def shuffled(names: Sequence[str]) -> list[str]:
    return random.Random(12).sample(names, len(names))


ORDERS: dict[str, Callable[[Sequence[str]], Sequence[str]]] = {
    "reversed": lambda names: names[::-1],
    "shuffled": shuffled,
    "rotated by one": lambda names: [*names[1:], names[0]],
    "shifted by half": lambda names: [*names[len(names) // 2 :], *names[: len(names) // 2]],
    "swapped in pairs": lambda names: [name for at in range(0, len(names), 2) for name in names[at : at + 2][::-1]],
}


@pytest.mark.slow
@pytest.mark.parametrize("formats", ['["parquet","jsonl"]', '["jsonl"]'])
@pytest.mark.parametrize("order", ORDERS)
def test_known_recordings_in_another_order_are_not_sent_again(
    server: RunningServer, tmp_path: Path, out: Path, order: str, formats: str
) -> None:
    numbered = Numbered(tmp_path)
    more = (*PARTS, "--set", f"sink.formats={formats}")
    assert batch("run", numbered.path, "--out", out, *more, server=server).exit == 0
    before = server.stats()["requests"]
    numbered.write_as(ORDERS[order](numbered.names))
    assert '"requests":0' in batch("check", numbered.path, "--out", out, *more, "--json", server=server).stdout
    assert batch("run", numbered.path, "--out", out, *more, server=server).exit == 0
    assert server.stats()["requests"] == before
    assert jsonl_rows_of(out) == numbered.texts
    if "parquet" in formats:
        assert rows_of(out) == numbered.texts


@pytest.mark.slow
def test_a_row_put_in_at_the_top_of_a_numbered_list_is_the_only_one_sent(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    numbered = Numbered(tmp_path)
    batch("run", numbered.path, "--out", out, *PARTS, server=server)
    before = server.stats()["requests"]
    new = numbered.corpus.add(COUNT).name
    numbered.write_as([new, *numbered.names])
    assert batch("run", numbered.path, "--out", out, *PARTS, server=server).exit == 0
    assert server.stats()["requests"] - before == 1
    assert rows_of(out) == jsonl_rows_of(out) == numbered.texts


@pytest.mark.slow
def test_rows_that_change_places_a_few_a_night_are_not_sent_again(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    numbered = Numbered(tmp_path, 6)
    batch("run", numbered.path, "--out", out, server=server)
    before = server.stats()["requests"]
    numbered.write_as(numbered.names[::-1])
    for _ in range(6):
        assert batch("run", numbered.path, "--out", out, "--limit", "1", server=server).exit in (0, 4)
        assert '"requests":0' in batch("check", numbered.path, "--out", out, "--json", server=server).stdout
    assert server.stats()["requests"] == before
    assert rows_of(out) == jsonl_rows_of(out) == numbered.texts


@pytest.mark.slow
def test_rows_that_change_places_while_runs_are_killed_are_not_sent_again(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    numbered = Numbered(tmp_path)
    batch("run", numbered.path, "--out", out, *PARTS, server=server)
    before = server.stats()["requests"]
    for order in ("reversed", "shuffled", "rotated by one"):
        numbered.write_as(ORDERS[order](numbered.names))
        process = start_batch("run", numbered.path, "--out", out, *PARTS, server=server)
        while process.poll() is None and not replaced(out):
            pass
        kill(process)
    assert batch("run", numbered.path, "--out", out, *PARTS, server=server).exit == 0
    assert server.stats()["requests"] == before
    assert rows_of(out) == jsonl_rows_of(out) == numbered.texts


def replaced(out: Path) -> int:
    with closing(sqlite3.connect(f"file:{out / 'checkpoint.sqlite'}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM replaced").fetchone()[0])


@pytest.mark.slow
def test_settings_that_are_changed_and_changed_back_are_paid_once_each(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=30)
    before = server.stats()["requests"]
    for language, requests in (("en", 30), ("fr", 60), ("en", 60), ("fr", 60)):
        more = ("--set", f"service.language={language}")
        assert batch("run", corpus.folder, "--out", out, *PARTS, *more, server=server).exit == 0
        assert server.stats()["requests"] - before == requests
        assert {row["language"] for row in jsonl_of(out)} == {language}
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


@pytest.mark.slow
def test_what_was_replaced_survives_a_rebuild(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=5)
    for language in ("en", "fr"):
        batch("run", corpus.folder, "--out", out, "--set", f"service.language={language}", server=server)
    before = server.stats()["requests"]
    assert batch("rebuild", out, "--force").exit == 0
    assert batch("run", corpus.folder, "--out", out, "--set", "service.language=en", server=server).exit == 0
    assert server.stats()["requests"] == before
