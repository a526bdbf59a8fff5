"""Who comes first: what always fails, or was done again lately, keeps nobody else waiting for ever."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.batch import Corpus, batch, errors_of, jsonl_of, rows_of, table_of, write_wav
from tests.servers import RunningServer, start_server

ONE_TRY = ("--set", "retry.max_attempts=1", "--set", "pool.concurrency=2")


def failing(folder: Path, names: list[str], *, kind: str = "internal_error", times: int | None = None) -> Path:
    """A faults file that strikes these recordings, each at most so many `times`."""
    path = folder / "faults.toml"
    often = "" if times is None else f"times = {times}\n"
    path.write_text("".join(f'[[fault]]\nkind = "{kind}"\nfile = "audio/{name}"\n{often}' for name in names))
    return path


@pytest.mark.slow
def test_long_recordings_that_always_fail_do_not_keep_the_others_waiting(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=6)
    bad = ["long-1.wav", "long-2.wav"]
    for seed, name in enumerate(bad):
        write_wav(corpus.folder / name, seed=100 + seed, seconds=40)
    with start_server(faults=failing(tmp_path, bad)) as server:
        for night in range(4):
            batch("run", corpus.folder, "--out", out, "--limit", "2", *ONE_TRY, server=server)
            if night == 0:
                assert set(errors_of(out)) == {*bad}  # the longest first, while nothing was tried
        assert rows_of(out) == corpus.texts
        # and only then the others again, although the short ones are done
        batch("run", corpus.folder, "--out", out, "--limit", "2", *ONE_TRY, server=server)
    requests = Counter(row["id"] for row in table_of(out, "attempts").to_pylist())
    assert {name: requests[name] for name in bad} == dict.fromkeys(bad, 2)


@pytest.mark.slow
def test_failed_ones_are_taken_in_turn(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=5)
    poisoned = "poisoned.wav"
    write_wav(corpus.folder / poisoned, seed=100, seconds=40)
    faults = failing(tmp_path, [*corpus.texts], times=1)
    faults.write_text(faults.read_text() + f'[[fault]]\nkind = "internal_error"\nfile = "audio/{poisoned}"\n')
    with start_server(faults=faults) as server:
        batch("run", corpus.folder, "--out", out, *ONE_TRY, server=server)
        assert set(errors_of(out)) == {*corpus.texts, poisoned}
        for _ in range(6):
            batch("run", corpus.folder, "--out", out, "--only", "failed", "--limit", "1", *ONE_TRY, server=server)
    assert rows_of(out) == corpus.texts
    assert Counter(row["id"] for row in table_of(out, "attempts").to_pylist())[poisoned] == 2


@pytest.mark.slow
def test_suspect_ones_are_taken_in_turn(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=6, seconds=4)
    with start_server(faults=failing(tmp_path, [*corpus.texts], kind="times_backwards")) as server:
        batch("run", corpus.folder, "--out", out, server=server)
        assert {row["status"] for row in jsonl_of(out)} == {"suspect"}
        for _ in range(3):
            batch("run", corpus.folder, "--out", out, "--only", "suspect", "--limit", "2", server=server)
    assert Counter(row["id"] for row in table_of(out, "attempts").to_pylist()) == dict.fromkeys(corpus.texts, 2)


def test_recordings_that_are_not_there_do_not_keep_the_others_waiting(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=2)
    manifest = tmp_path / "m.csv"
    rows = [f"audio/gone-{n}.wav,900" for n in range(2)] + [f"audio/{name},0.5" for name in corpus.texts]
    manifest.write_text("audio,duration\n" + "\n".join(rows) + "\n")
    for _ in range(2):
        batch("run", manifest, "--out", out, "--limit", "2", server=server)
    assert {Path(id_).name: text for id_, text in rows_of(out).items()} == corpus.texts


@pytest.mark.slow
def test_what_a_run_was_killed_over_comes_after_what_was_never_tried(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=2)
    write_wav(corpus.folder / "hangs.wav", seed=100, seconds=40)
    one = ("--limit", "1", "--set", "pool.concurrency=1", "--set", "timeouts.drain_s=0.1")
    with start_server(faults=failing(tmp_path, ["hangs.wav"], kind="hang")) as server:
        assert batch("run", corpus.folder, "--out", out, *one, "--max-duration", "1s", server=server).exit == 4
        for _ in range(2):
            batch("run", corpus.folder, "--out", out, *one, server=server)
    assert rows_of(out) == corpus.texts


@pytest.mark.slow
def test_what_is_above_the_budget_comes_after_what_was_never_tried(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=2)
    write_wav(corpus.folder / "long.wav", seed=100, seconds=40)
    budget = ("--budget", "10", "--set", "pool.concurrency=1")
    assert batch("run", corpus.folder, "--out", out, *budget, "--max-duration", "10s", server=server).exit == 4
    assert rows_of(out) == corpus.texts
    corpus.add(2)
    result = batch("run", corpus.folder, "--out", out, *budget, "--log-format", "json", server=server)
    assert "long.wav needs 120 credits: more than the budget" in result.stderr
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db:
        places = dict(db.execute("SELECT id, tries FROM utterances"))
    assert places == {"long.wav": 1, **dict.fromkeys(corpus.texts, 0)}
