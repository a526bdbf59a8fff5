"""The file systems of this machine as a source of recordings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import AudioMissing, AudioUnreadable
from pipeline.source import IRREGULAR, Entry, Sources
from pipeline.source.local import LocalFiles, file_version_at, same_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    path.write_bytes(bytes(32_000))
    os.utime(path, ns=(5, 5))
    return path


def test_a_file_has_a_version_a_size_and_a_rough_length(file: Path) -> None:
    found = LocalFiles().stat(str(file))
    assert (found.size_bytes, found.estimated_s, found.is_regular) == (32_000, 1.0, True)
    assert LocalFiles().stat(str(file)) == found


@pytest.mark.parametrize(
    "change",
    [lambda path: path.write_bytes(bytes(32_001)), lambda path: os.utime(path, ns=(5, -(2**40)))],
    ids=["size", "time"],
)
def test_a_change_gives_another_version(file: Path, change: Callable[[Path], object]) -> None:
    before = LocalFiles().stat(str(file)).version
    change(file)
    os.utime(file, ns=(5, file.stat().st_mtime_ns if file.stat().st_size == 32_000 else 5))
    assert LocalFiles().stat(str(file)).version != before


def test_a_folder_is_listed_with_what_cannot_be_used(file: Path) -> None:
    (file.parent / "below").mkdir()
    (file.parent / "gone.wav").symlink_to("nowhere")
    (file.parent / "self.wav").symlink_to("self.wav")
    os.mkfifo(file.parent / "pipe.wav")
    entries = {entry.name: entry for entry in LocalFiles().list(str(file.parent))}
    assert entries.pop("self.wav").problem.endswith("repair or remove it.")
    assert sorted(entries.values()) == [
        Entry("a.wav", False),
        Entry("below", True),
        Entry("gone.wav", False),
        Entry("pipe.wav", False, IRREGULAR),
    ]


def test_links_to_a_folder_have_its_id(file: Path) -> None:
    (file.parent / "again").symlink_to(".")
    folder_id = LocalFiles().folder_id
    assert folder_id(str(file.parent / "again")) == folder_id(str(file.parent)) != folder_id("/")


def test_what_is_not_there_is_missing_and_what_is_no_file_cannot_be_read(file: Path) -> None:
    source, missing = LocalFiles(), str(file / "b.wav")
    for ask in (source.stat, source.open):
        with pytest.raises(AudioMissing):
            ask(missing)
    with pytest.raises(AudioUnreadable, match="no regular file"):
        source.open(str(file.parent))
    assert not source.stat(str(file.parent)).is_regular
    assert [Sources().is_missing(path) for path in (missing, str(file), "a\0b")] == [True, False, False]


def test_a_file_is_read_as_it_is(file: Path) -> None:
    with LocalFiles().open(str(file)) as opened:
        assert opened.read() == bytes(32_000)


def test_a_file_that_is_exchanged_while_it_is_open_is_another(file: Path) -> None:
    looked_at = file_version_at(str(file))
    with LocalFiles().open(str(file)) as opened:
        assert same_file(opened, looked_at)
        file.unlink()
        assert same_file(opened, looked_at)  # its bytes are still there
    file.write_bytes(bytes(32_000))
    os.utime(file, ns=(5, 5))
    with LocalFiles().open(str(file)) as opened:
        assert not same_file(opened, looked_at)
