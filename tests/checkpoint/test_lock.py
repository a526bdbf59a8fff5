"""The lock of an output folder while others take it, and the folder, away."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pipeline.checkpoint import hold_output, lock
from pipeline.errors import OutputError, OutputGone


def test_a_folder_that_goes_between_opening_the_lock_and_taking_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a refused first run takes it away, which cannot be made to happen at that very moment."""
    out = tmp_path / "out"
    out.mkdir()
    opened: list[int] = []

    def open_and_lose(folder: Path) -> int:
        opened.append(really_open(folder))
        shutil.rmtree(folder)
        return opened[-1]

    really_open = lock._open
    monkeypatch.setattr(lock, "_open", open_and_lose)
    with pytest.raises(OutputError, match="was removed just now; run the same command again"), hold_output(out):
        pass
    assert len(opened) == 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])


def test_a_lock_that_was_taken_away_meanwhile_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def open_and_lose(folder: Path) -> int:
        nonlocal calls
        calls += 1
        descriptor = really_open(folder)
        if calls == 1:
            (folder / "run.lock").unlink()
        return descriptor

    really_open = lock._open
    monkeypatch.setattr(lock, "_open", open_and_lose)
    with hold_output(tmp_path) as held:
        assert held.is_there
        assert (tmp_path / "run.lock").read_text().startswith(f"pid {os.getpid()}, started ")
    assert calls == 2


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_of_the_folder_that_is_removed_or_replaced_is_noticed(tmp_path: Path, is_replaced: bool) -> None:
    path, other = tmp_path / "checkpoint.sqlite", tmp_path / "other"
    path.touch()
    other.touch()
    with hold_output(tmp_path) as held:
        held.watch(path)
        held.check()
        if is_replaced:
            other.rename(path)
        else:
            path.unlink()
        with pytest.raises(OutputGone, match=r"run.lock or checkpoint, was removed or replaced"):
            held.check()
