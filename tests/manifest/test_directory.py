"""Folders as manifests: what is found, in which order, and what cannot be used."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pipeline.errors import ManifestError
from pipeline.model import BadRow, NamedByPath, Utterance
from tests.manifest.reading import bad, good, read_manifest


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def ids(folder: Path) -> list[str]:
    return [row.id for row in good(list(read_manifest(str(folder))))]


def test_audio_files_come_sorted_with_their_relative_path_as_id(tmp_path: Path) -> None:
    fill(tmp_path, "b.wav", "a/2.MP3", "a/1.opus", "a/notes.txt", "c.Flac", "a/deep/er/x.webm", "wav")
    rows = good(list(read_manifest(str(tmp_path))))
    assert [row.id for row in rows] == ["a/1.opus", "a/2.MP3", "a/deep/er/x.webm", "b.wav", "c.Flac"]
    assert rows[0] == NamedByPath(id="a/1.opus", audio=f"{tmp_path}/a/1.opus")


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "a.wav", ".b.wav", ".cache/c.wav", "._a.wav")
    assert ids(tmp_path) == ["a.wav"]


def test_relative_folders_give_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "calls/a.wav")
    monkeypatch.chdir(tmp_path)
    (row,) = good(list(read_manifest("calls/")))
    assert (row.id, row.audio) == ("a.wav", f"{tmp_path}/calls/a.wav")


def test_symlink_loops_end(tmp_path: Path) -> None:
    fill(tmp_path, "a/x.wav")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(".")
    (tmp_path / "again").symlink_to("a")
    assert ids(tmp_path) == ["a/x.wav", "again/x.wav"]


def test_links_that_lead_nowhere_are_left_to_the_utterance_or_named(tmp_path: Path) -> None:
    (tmp_path / "gone.wav").symlink_to("nowhere")
    (tmp_path / "self.wav").symlink_to("self.wav")
    (tmp_path / "self").symlink_to("self")
    first, second = read_manifest(str(tmp_path))
    assert isinstance(first, Utterance)
    assert isinstance(second, BadRow)
    assert second.message.startswith("self.wav: ")


def test_what_is_no_regular_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    assert bad(list(read_manifest(str(tmp_path)))) == [(None, "pipe.wav: not a regular file; remove or rename it.")]


def test_a_folder_named_like_audio_is_searched(tmp_path: Path) -> None:
    fill(tmp_path, "session.wav/a.wav")
    assert ids(tmp_path) == ["session.wav/a.wav"]


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS refuses such names itself")
def test_names_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    with open(os.fsencode(tmp_path) + b"/caf\xe9.wav", "wb"):  # noqa: PTH123  a name no Path can be written for
        pass
    good_row, bad_row = read_manifest(str(tmp_path))
    assert isinstance(good_row, Utterance)
    assert isinstance(bad_row, BadRow)
    assert "caf\\xe9.wav: the name is not UTF-8" in str(bad_row)
    str(bad_row).encode()


def test_names_with_control_characters_are_named(tmp_path: Path) -> None:
    fill(tmp_path, "a\nb.wav")
    assert bad(list(read_manifest(str(tmp_path)))) == [
        (None, "a\\nb.wav: the name holds control characters, which no id may; rename it.")
    ]


def test_a_path_too_long_for_an_id_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "/".join(["d" * 200] * 5) + "/a.wav")
    ((_, message),) = bad(list(read_manifest(str(tmp_path))))
    assert "over 1,000 characters" in message


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a/x.wav", "b/x.wav")
    scandir = os.scandir

    def refusing(path: str) -> object:  # root may read everything, so the refusal is played
        if str(path).endswith("/a/"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    first, second = read_manifest(str(tmp_path))
    assert isinstance(first, BadRow)
    assert first.message == "a: the folder cannot be listed: Permission denied; check its rights."
    assert isinstance(second, Utterance)


def test_a_folder_without_audio_is_an_error_that_names_the_extensions(tmp_path: Path) -> None:
    fill(tmp_path, "readme.txt")
    with pytest.raises(
        ManifestError, match=r"no audio below this folder \(ignored 1 file: \.txt 1\); looked for .*\.mp3 .*\.wav"
    ):
        list(read_manifest(str(tmp_path)))


class Enough(Exception):
    """The search is to end."""


def test_a_search_can_be_ended_in_a_folder_and_between_folders_before_anything_is_found(tmp_path: Path) -> None:
    for name in ("wide", *(f"deep/{number}" for number in range(5))):
        (tmp_path / name).mkdir(parents=True)
    for number in range(3_000):
        (tmp_path / "wide" / f"{number}.txt").touch()

    def steps(folder: Path, at_most: int) -> None:
        left = iter(range(at_most))

        def on_step() -> None:
            if next(left, None) is None:
                raise Enough

        with pytest.raises(Enough):
            list(read_manifest(str(folder), on_step=on_step))

    steps(tmp_path / "wide", 3)
    steps(tmp_path / "deep", 5)
