"""Whatever changed in an output, and wherever an export was killed: the next one leaves what a new one would write."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.checkpoint import Checkpoint
from pipeline.export import data_set
from pipeline.model import Transcript
from tests.export.nights import Output, exported, killed_export, spoken, tree

LINES, DOCUMENTS, SHARDS = ("csv", "nemo", "ctm", "kaldi", "lhotse", "stm"), ("txt", "srt"), ("hf",)
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108 much is flushed here
NAMES = ("/a/x/talk.wav", "/a/x/talk.mp3", "/a/y/talk.wav", "/a/TALK.flac", "/b/other", "/a/x/talk.wav.opus")
WORDS = ("yes", "no", "rain", "Zo\u00eb", '"quote"', "b,c", "\u65e5\u672c")


@st.composite
def nights(draw: st.DrawFn) -> list[dict[int, list[Transcript]]]:
    """What an output holds night after night: rows in parts, in any order."""
    ids = [f"id {number}" if number % 3 else f"id{number}" for number in range(draw(st.integers(1, 8)))]
    found: list[dict[int, list[Transcript]]] = []
    rows: dict[str, Transcript] = {}
    for _ in range(draw(st.integers(2, 4))):
        for id_ in draw(st.lists(st.sampled_from(ids), unique=True)):
            if draw(st.booleans()) or id_ not in rows:
                audio = draw(st.sampled_from(NAMES))
                words = " ".join(draw(st.lists(st.sampled_from(WORDS), max_size=4)))
                offset_s = draw(st.sampled_from((0.0, 0.0, 10.0, 20.5)))
                speaker = draw(st.sampled_from(("ann", "bob", "")))
                status = draw(st.sampled_from(("ok", "suspect")))
                more: dict[str, Any] = {"offset_s": offset_s, "sample_rate": 16_000, "status": status}
                rows[id_] = spoken(id_, audio, words, metadata={"speaker": speaker}, **more)
            else:
                del rows[id_]
        parts: dict[int, list[Transcript]] = {}
        for id_ in draw(st.permutations(sorted(rows))):
            part = draw(st.integers(1, 3))
            parts.setdefault(part, []).append(rows[id_])
        found.append(parts)
    return found


def held(format_: str, folder: Path) -> object:
    """What an export holds: of shards the rows of each split in their order, which shards they are in may differ."""
    if format_ not in SHARDS:
        return {name: gzip.decompress(held) if name.endswith(".gz") else held for name, held in tree(folder).items()}
    splits: dict[str, list[Any]] = {}
    for path in sorted(folder.glob("data/*.parquet")):
        splits.setdefault(path.name.split("-")[0], []).extend(pq.read_table(path).to_pylist())
    return {split: rows for split, rows in splits.items() if rows}


def options_of(format_: str) -> dict[str, Any]:
    return {"options": {"audio": False, "split_by": "speaker"}} if format_ in SHARDS else {}


def check(
    format_: str, lives: list[dict[int, list[Transcript]]], *, lines_only: bool = False, between: Any = None,
    shard_bytes: int = data_set.SHARD_BYTES, only_ok: Sequence[bool] = (False,) * 4,
) -> None:  # fmt: skip
    full = patch.multiple(data_set, SHARD_BYTES=shard_bytes, ROWS_AT_ONCE=1 if shard_bytes == 1 else 200)
    with tempfile.TemporaryDirectory(dir=MEMORY) as name, full:
        base = Path(name)
        out = Output(base / "out", lines_only=lines_only)
        ids = [f"id {number}" if number % 3 else f"id{number}" for number in reversed(range(8))]
        for night, parts in enumerate(lives):
            out.write(parts, ids[:6])  # the others are in no manifest
            options = options_of(format_) | {"only_ok": only_ok[night]}
            if between is not None:
                between(out.folder, base / "to", options)
            exported(out.folder, format_, base / "to", **options)
            exported(out.folder, format_, base / f"new {night}", **options)
            assert held(format_, base / "to") == held(format_, base / f"new {night}")
            before = {path: path.stat().st_mtime_ns for path in (base / "to").rglob("*") if path.is_file()}
            again = exported(out.folder, format_, base / "to", **options)
            assert (again.written, again.removed) == (0, 0)
            assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("format_", [*LINES, *DOCUMENTS, *SHARDS])
@pytest.mark.parametrize("lines_only", [False, True])
@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True)
@given(lives=nights(), only_ok=st.lists(st.booleans(), min_size=4, max_size=4))
def test_an_export_that_goes_on_holds_what_a_new_one_would(
    format_: str, lines_only: bool, lives: list[dict[int, list[Transcript]]], only_ok: list[bool]
) -> None:
    check(format_, lives, lines_only=lines_only, only_ok=only_ok)


@pytest.mark.parametrize("shard_bytes", [1, 700])
@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(lives=nights())
def test_full_shards_are_followed_by_others(shard_bytes: int, lives: list[dict[int, list[Transcript]]]) -> None:
    check("hf", lives, shard_bytes=shard_bytes)


@pytest.mark.parametrize("format_", [*LINES, *DOCUMENTS, *SHARDS])
@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True)
@given(lives=nights(), step=st.integers(0, 20))
def test_an_export_that_was_killed_is_finished(
    format_: str, lives: list[dict[int, list[Transcript]]], step: int
) -> None:
    def between(out: Path, to: Path, options: dict[str, Any]) -> None:
        killed_export(step, out, format_, to, **options)

    check(format_, lives, between=between, shard_bytes=700)


def test_rows_that_are_gone_leave_also_where_another_shard_is_missing(tmp_path: Path) -> None:
    rows = [spoken(id_, f"/a/{id_}.wav", "yes", metadata={"speaker": speaker}) for id_, speaker in ("1a", "2b", "3b")]
    out, to = Output(tmp_path / "out"), tmp_path / "to"
    out.write({1: rows[:2], 2: rows[2:]}, ["1", "2", "3"])
    exported(out.folder, "hf", to, **options_of("hf"))
    (to / "data/a-00000.parquet").unlink()
    out.write({1: rows[:2]}, [])
    exported(out.folder, "hf", to, **options_of("hf"))
    assert [row["id"] for row in pq.read_table(to / "data/b-00000.parquet").to_pylist()] == ["2"]


def test_files_of_recordings_that_are_gone_leave_also_with_other_options(tmp_path: Path) -> None:
    out, to = Output(tmp_path / "out"), tmp_path / "to"
    out.write({1: [spoken("1", "/a/1.wav", "yes"), spoken("2", "/a/2.wav", "no")]}, ["1", "2"])
    exported(out.folder, "txt", to)
    out.write({1: [spoken("1", "/a/1.wav", "yes")]}, [])
    done = exported(out.folder, "txt", to, only_ok=True)
    assert [*tree(to)] == ["1.txt"]
    assert (done.total, done.removed) == (1, 1)


def test_places_of_a_checkpoint_that_was_made_anew_hide_no_row(tmp_path: Path) -> None:
    rows = [spoken(id_, f"/a/{id_}.wav", "yes") for id_ in "12345"]
    out, to = Output(tmp_path / "out"), tmp_path / "to"
    out.write({1: rows[:4]}, "1234")
    exported(out.folder, "csv", to)
    with Checkpoint(tmp_path / "new.sqlite"):
        pass
    (out.folder / "checkpoint.sqlite").write_bytes((tmp_path / "new.sqlite").read_bytes())  # into the same inode
    out.write({1: rows}, "54321")
    assert exported(out.folder, "csv", to).total == 5
    assert len((to / "transcripts.csv").read_text().splitlines()) == 6


@pytest.mark.parametrize("format_", ["csv", "lhotse", "hf"])
def test_a_condition_that_holds_for_no_row_leaves_no_row(format_: str, tmp_path: Path) -> None:
    out = Output(tmp_path / "out")
    out.write({1: [spoken("1", "/a/1.wav", "yes", sample_rate=16_000, metadata={"speaker": "ann"})]}, ["1"])
    exported(out.folder, format_, tmp_path / "to", **options_of(format_))
    exported(out.folder, format_, tmp_path / "to", where="id = '9'", **options_of(format_))
    exported(out.folder, format_, tmp_path / "new", where="id = '9'", **options_of(format_))
    assert held(format_, tmp_path / "to") == held(format_, tmp_path / "new")
