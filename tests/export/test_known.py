"""Rows that are taken out of an output leave all its exports, wherever one was killed before."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.export.known import remove_rows
from tests.export.nights import Output, exported, killed, killed_export, spoken, tree

FORMATS = ("csv", "nemo", "lhotse", "kaldi", "txt", "srt", "hf")
RARE = "xylophone"


def rows_of(word: str) -> list[Any]:
    more: dict[str, Any] = {"sample_rate": 16_000}
    return [
        spoken("1", "/calls/a.wav", word, **more),
        spoken("2", "/calls/b.wav", "two", **more),
        spoken("3", "/calls/a.wav", "three", offset_s=60.0, **more),
    ]


def options_of(format_: str) -> dict[str, Any]:
    return {"options": {"audio": False}} if format_ == "hf" else {}


def words_in(folder: Path) -> str:
    """All that the files of a folder hold, of any name."""
    found = []
    for name, held in tree(folder).items():
        if name.endswith(".gz"):
            found.append(gzip.decompress(held).decode())
        elif held[:4] == b"PAR1":
            found.append(str(pq.read_table(folder / name).to_pylist()) if held[-4:] == b"PAR1" else "")
        found.append(held.decode("utf-8", "replace"))
    return "\n".join(found)


@pytest.mark.parametrize("format_", FORMATS)
def test_removed_rows_leave_an_export_and_the_others_stay(format_: str, tmp_path: Path) -> None:
    out, to = Output(tmp_path / "out"), tmp_path / "to"
    out.write({1: rows_of(RARE)}, "123")
    exported(out.folder, format_, to, **options_of(format_))
    assert RARE in words_in(to)
    assert remove_rows(out.folder, ["1"], lambda audio: False) == []
    assert RARE not in words_in(to)
    assert "two" in words_in(to)
    out.write({1: rows_of(RARE)[1:]}, "123")
    exported(out.folder, format_, to, **options_of(format_))
    exported(out.folder, format_, tmp_path / "new", **options_of(format_))
    assert RARE not in words_in(to)
    if format_ != "hf":
        assert tree(to).keys() == tree(tmp_path / "new").keys()
    assert "three" in words_in(to)


def change_options(out: Output, to: Path, format_: str) -> dict[str, Any]:
    return options_of(format_) | {"where": "id <> '9'"}


def change_words(out: Output, to: Path, format_: str) -> dict[str, Any]:
    out.write({1: rows_of(f"{RARE} again")}, "123")
    return options_of(format_)


def edit_files(out: Output, to: Path, format_: str) -> dict[str, Any]:
    for path in [*to.rglob("*")]:
        if path.is_file() and path.suffix not in (".parquet", ".gz"):
            path.write_text(path.read_text() + "corrected")
    return options_of(format_) | {"overwrite": True}


@pytest.mark.slow
@pytest.mark.parametrize("before", [change_options, change_words, edit_files])
@pytest.mark.parametrize("format_", FORMATS)
def test_they_leave_it_also_where_an_export_was_killed(
    format_: str, before: Callable[[Output, Path, str], dict[str, Any]], tmp_path: Path
) -> None:
    for step in range(40):
        folder = tmp_path / str(step)
        folder.mkdir()
        out, to = Output(folder / "out"), folder / "to"
        out.write({1: rows_of(RARE)}, "123")
        exported(out.folder, format_, to, **options_of(format_))
        more = before(out, to, format_)
        is_whole = killed_export(step, out.folder, format_, to, **more)
        said = remove_rows(out.folder, ["1"], lambda audio: False)
        assert bool(said) == (RARE in words_in(to)), step
        assert not said or before is edit_files
        for _ in said:  # they are somebody's own by now
            shutil.rmtree(to)
            to.mkdir()
        out.write({1: rows_of(RARE)[1:]}, "123")
        exported(out.folder, format_, to, **more)
        assert "three" in words_in(to)
        assert "two" in words_in(to)
        if is_whole:
            return
    raise AssertionError("the export has more steps")


@pytest.mark.slow
@pytest.mark.parametrize("format_", FORMATS)
def test_they_leave_it_where_taking_them_out_was_killed(format_: str, tmp_path: Path) -> None:
    for step in range(40):
        folder = tmp_path / str(step)
        folder.mkdir()
        out, to = Output(folder / "out"), folder / "to"
        out.write({1: rows_of(RARE)}, "123")
        exported(out.folder, format_, to, **options_of(format_))
        is_whole = killed(step, lambda out=out: remove_rows(out.folder, ["1"], lambda audio: False))  # type: ignore[misc]
        assert remove_rows(out.folder, ["1"], lambda audio: False) == []
        assert RARE not in words_in(to), step
        if is_whole:
            return
    raise AssertionError("it has more steps")


def test_one_that_cannot_be_changed_is_named(tmp_path: Path) -> None:
    if not os.geteuid():
        pytest.skip("root may write everywhere")
    out, to = Output(tmp_path / "out"), tmp_path / "to"
    out.write({1: rows_of(RARE)}, "123")
    exported(out.folder, "csv", to)
    to.chmod(0o500)
    [said] = remove_rows(out.folder, ["1"], lambda audio: False)
    assert str(to) in said
