"""What people give to `check` and `run`: folders, recordings, globs, several of these; and what is said of the rest."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from pipeline.formats import AUDIO_EXTENSIONS
from tests.batch import Corpus, Finished, batch, errors_of, jsonl_rows_of, rows_of, write_wav
from tests.servers import RunningServer


def forecast(*args: str | Path, cwd: Path | None = None, server: RunningServer | None = None) -> dict[str, Any]:
    result = batch("check", *args, "--json", cwd=cwd, server=server)
    found: dict[str, Any] = json.loads(result.stdout)
    return found | {"exit": result.exit, "stderr": result.stderr}


def sent(server: RunningServer, *args: str | Path, cwd: Path | None = None, exit_: int = 0) -> tuple[int, Finished]:
    before = server.stats()["requests"]
    result = batch(*args, server=server, cwd=cwd)
    assert result.exit == exit_, result.stderr
    return server.stats()["requests"] - before, result


@pytest.fixture
def calls(tmp_path: Path) -> dict[str, str]:
    """Recordings below `calls`; their texts by path below it."""
    names = ("a.wav", "b.mp3", "mon/a.wav", "mon/c.wav", "tue/a.wav")
    return {name: write_wav(tmp_path / "calls" / name, seed=n) for n, name in enumerate(names)}


def below(calls: dict[str, str], folder: str) -> dict[str, str]:
    return {name.removeprefix(folder): text for name, text in calls.items() if name.startswith(folder)}


def test_a_folder_takes_every_ending_of_the_decoders_and_says_what_it_left_out(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    folder = tmp_path / "archive"
    # the name says nothing about the form: what is read is the content
    texts = {f"r{n:03d}{ending}": write_wav(folder / f"r{n:03d}{ending}", seed=n, seconds=0.05)
             for n, ending in enumerate(AUDIO_EXTENSIONS)}  # fmt: skip
    for name in ("notes.txt", "film.mkv~", "._x.wav", ".hidden/y.wav"):
        write_wav(folder / name, seed=900)
    (folder / "gone.wav").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.wav")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "s.wav"))
    left_out = "ignored 3 files: .mkv~ 1, .txt 1, hidden 1; 1 folder: hidden 1"
    table = batch("check", folder, "--out", out)
    assert table.exit == 2
    assert f"ignored        {left_out.removeprefix('ignored ')}" in table.stdout
    told = forecast(folder, "--out", out)
    assert (told["exit"], told["rows"], told["bad_rows"], told["missing"]) == (2, len(texts) + 3, 2, 1)
    assert told["ignored"] == {".mkv~": 1, ".txt": 1, "hidden": 1}
    assert told["requests"] == len(texts)
    assert [bad.partition(": ")[2] for bad in told["bad"]] == [
        f"{name}: not a regular file; remove or rename it." for name in ("pipe.wav", "s.wav")
    ]
    requests, refused = sent(server, "run", folder, "--out", out, exit_=2)
    assert (requests, left_out in refused.stderr) == (0, True)
    requests, result = sent(server, "run", folder, "--out", out, "--skip-bad-rows", exit_=3)
    assert requests == len(texts)
    assert result.stderr.count(left_out) == 1
    assert rows_of(out) == texts
    assert sorted(errors_of(out).values()) == ["AudioMissing", "BadManifestRow", "BadManifestRow"]
    assert errors_of(out)["gone.wav"] == "AudioMissing"


@pytest.mark.parametrize(
    ("args", "ids"),
    [
        (("calls",), ("a.wav", "b.mp3", "mon/a.wav", "mon/c.wav", "tue/a.wav")),
        (("calls/a.wav",), ("a.wav",)),
        (("calls/a.wav", "calls/b.mp3"), ("a.wav", "b.mp3")),
        (("calls/mon/a.wav", "calls/tue/a.wav"), ("mon/a.wav", "tue/a.wav")),
        (("calls/*.wav",), ("a.wav",)),
        (("calls/mon/?.wav",), ("a.wav", "c.wav")),
        (("calls/*/a.wav",), ("mon/a.wav", "tue/a.wav")),
        (("calls/**/[ab].*",), ("a.wav", "b.mp3", "mon/a.wav", "tue/a.wav")),
        (("calls", "--include", "mon/", "--exclude", "c.*"), ("mon/a.wav",)),
        (("calls", "--exclude", "/a.wav", "--exclude", "tue"), ("b.mp3", "mon/a.wav", "mon/c.wav")),
        (("calls/**", "--exclude", "*.mp3"), ("a.wav", "mon/a.wav", "mon/c.wav", "tue/a.wav")),
        # overlapping: each file once, by the outer folder's name
        (("calls/mon/a.wav", "calls"), ("a.wav", "b.mp3", "mon/a.wav", "mon/c.wav", "tue/a.wav")),
        (("calls", "calls/mon", "link/mon/c.wav"), ("a.wav", "b.mp3", "mon/a.wav", "mon/c.wav", "tue/a.wav")),
        (("calls/mon/*.wav", "calls/mon/a.wav"), ("a.wav", "c.wav")),
    ],
)
def test_each_way_to_name_recordings_gives_the_ids_of_their_folder(
    server: RunningServer, tmp_path: Path, calls: dict[str, str], args: tuple[str, ...], ids: tuple[str, ...]
) -> None:
    (tmp_path / "link").symlink_to("calls")
    told = forecast(*args, cwd=tmp_path)
    assert (told["exit"], told["rows"], told["requests"]) == (0, len(ids), len(ids))
    requests, _ = sent(server, "run", *args, "--out", "out", cwd=tmp_path)
    assert requests == len(ids)
    folder = "mon/" if "calls/mon/" in args[0] and "mon/a.wav" not in ids else ""
    assert rows_of(tmp_path / "out") == {id_: calls[folder + id_] for id_ in ids}


def test_a_part_of_a_folder_goes_on_with_its_output_and_takes_no_row_of_it_away(
    server: RunningServer, tmp_path: Path
) -> None:
    corpus = Corpus(tmp_path / "calls", count=30)
    ways = (["calls"], ["calls/00003.wav"], ["calls/*3.wav"], ["calls", "--include", "*3.wav"], ["calls"])
    requests = [sent(server, "run", *way, "--out", "out", cwd=tmp_path)[0] for way in ways]
    assert requests == [30, 0, 0, 0, 0]
    # what was left out is not gone; what was asked for is
    (tmp_path / "calls" / "00003.wav").unlink()
    for way, vanished in ((ways[2], 1), (["calls/*4.wav"], 1), (["calls"], 1)):
        assert sent(server, "run", *way, "--out", "out", cwd=tmp_path)[0] == 0
        assert f"{vanished} no longer in the manifest" in batch("status", tmp_path / "out").stdout
        assert forecast(*way, "--out", "out", cwd=tmp_path, server=server)["vanished"] == vanished
    assert rows_of(tmp_path / "out") == jsonl_rows_of(tmp_path / "out") == corpus.texts


def test_an_argument_that_is_left_out_next_time_makes_no_row_vanish(server: RunningServer, tmp_path: Path) -> None:
    texts = {}
    for number, folder in enumerate(("one", "two")):
        for n in range(12):
            texts[f"{folder}-{n}.wav"] = write_wav(tmp_path / folder / f"{folder}-{n}.wav", seed=100 * number + n)
    texts["c"] = write_wav(tmp_path / "c.wav", seed=999)
    (tmp_path / "m.csv").write_text("id,audio\nc,c.wav\n")
    ways = (["one", "two", "m.csv"], ["two"], ["m.csv", "one"], ["one", "two", "m.csv"])
    requests = [sent(server, "run", *way, "--out", "out", cwd=tmp_path)[0] for way in ways]
    assert requests == [25, 0, 0, 0]
    assert "no longer in the manifest" not in batch("status", tmp_path / "out").stdout
    # a row goes from one of them, as it would from one alone
    (tmp_path / "two" / "two-3.wav").unlink()
    result = sent(server, "run", *ways[0], "--out", "out", cwd=tmp_path)[1]
    assert "1 no longer in the manifest" in result.stderr
    shutil.rmtree(tmp_path / "two")
    (tmp_path / "two").mkdir()
    gone = batch("run", *ways[0], "--out", "out", cwd=tmp_path, server=server)
    assert (gone.exit, "is the disk mounted?" in gone.stderr) == (3, True)
    assert "two: no audio below this folder" in gone.stderr
    assert rows_of(tmp_path / "out") == texts


def test_one_id_for_unlike_files_is_told_with_both_places_and_for_like_ones_is_one_row(
    server: RunningServer, tmp_path: Path, calls: dict[str, str]
) -> None:
    refused = batch("run", "calls/mon", "calls/tue", "--out", "out", cwd=tmp_path, server=server)
    assert refused.exit == 2
    for told in ("calls/tue/a.wav: id 'a.wav' is taken by", "calls/mon/a.wav;", "name a folder above both"):
        assert told in refused.stderr
    (tmp_path / "one.csv").write_text("id,audio,speaker\n1,calls/a.wav,x\n2,calls/mon/a.wav,y\n")
    (tmp_path / "two.csv").write_text("id,audio\n3,calls/mon/c.wav\n2,calls/tue/a.wav\n")
    (tmp_path / "all.csv").write_text("id,audio\n1,calls/a.wav\n2,calls/mon/a.wav\n3,calls/mon/c.wav\n")
    refused = batch("run", "one.csv", "two.csv", "--out", "out", cwd=tmp_path, server=server)
    assert refused.exit == 2
    assert "two.csv:3: id '2' is taken by one.csv:3; give each row an id of its own" in refused.stderr
    for manifests, requests in ((("one.csv", "all.csv"), 3), (("one.csv", "all.csv"), 0), (("all.csv", "one.csv"), 0)):
        assert forecast(*manifests, "--out", "out", cwd=tmp_path, server=server)["rows"] == 3
        assert sent(server, "run", *manifests, "--out", "out", cwd=tmp_path)[0] == requests
    assert rows_of(tmp_path / "out") == {"1": calls["a.wav"], "2": calls["mon/a.wav"], "3": calls["mon/c.wav"]}
    # within one manifest an id that stands twice is a mistake all the same
    (tmp_path / "one.csv").write_text("id,audio\n1,calls/a.wav\n1,calls/a.wav\n")
    assert "one.csv:3: id '1' is taken by line 2" in batch("check", "one.csv", "all.csv", cwd=tmp_path).stderr


def test_a_recording_of_the_same_name_elsewhere_replaces_none(
    server: RunningServer, tmp_path: Path, calls: dict[str, str]
) -> None:
    assert sent(server, "run", "calls/mon/a.wav", "--out", "out", cwd=tmp_path)[0] == 1
    refused = batch("run", "calls/tue/a.wav", "--out", "out", cwd=tmp_path, server=server)
    assert (refused.exit, "shares this output" in refused.stderr) == (2, True)
    assert sent(server, "run", "calls/mon/a.wav", "calls/tue/a.wav", "--out", "out", cwd=tmp_path)[0] == 1
    names = {"a.wav": "mon/a.wav", "mon/a.wav": "mon/a.wav", "tue/a.wav": "tue/a.wav"}
    assert rows_of(tmp_path / "out") == {id_: calls[name] for id_, name in names.items()}


def test_hidden_files_and_other_endings_come_where_a_pattern_names_them(tmp_path: Path) -> None:
    for n, name in enumerate(("a.wav", ".b.wav", ".x/c.wav", "d.dat", "e.dat.txt")):
        write_wav(tmp_path / "calls" / name, seed=n)
    for args, rows in (
        (["calls"], 1),
        (["calls", "--include", "*"], 1),
        (["calls", "--include", ".*"], 2),
        (["calls", "--include", ".x/*", "--include", "*.dat"], 2),
        (["calls/*.dat"], 1),
        (["calls/.*/*"], 1),
        (["calls/**/.*"], 2),
        (["calls/.b.wav"], 1),
    ):
        assert forecast(*args, cwd=tmp_path)["rows"] == rows, args


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("calls/*.ogg",), "calls/*.ogg: no recording matches."),
        (("calls/m.*",), "calls/m.*: no recording matches (ignored 1 file: .csv 1)."),
        (("calls [1].wav",), "calls [1].wav: no recording matches."),
        (("nowhere/*.wav",), "there is no folder nowhere"),
        (("calls/x.wav",), "there is no such file or folder"),
        (("calls/m.csv", "--include", "*.wav"), "--include and --exclude choose among the files of folders and globs"),
        (("calls", "--exclude", "!a"), "'!a' is no pattern"),
        (("calls", "--include", "[z-a].wav"), "no pattern that can be read"),
        (("file://host/calls",), "is on the host 'host'; only local files are read"),
        (("file:///%zz",), "is not a valid file URL"),
        (("calls/nothing-*.csv",), "there is no such file"),
        ((), "Missing argument 'MANIFEST...'"),
    ],
)
def test_arguments_that_name_nothing_end_in_a_sentence(tmp_path: Path, args: tuple[str, ...], words: str) -> None:
    write_wav(tmp_path / "calls" / "a.wav", seed=1)
    (tmp_path / "calls" / "m.csv").write_text("audio\na.wav\n")
    for command in ("check", "run"):
        result = batch(command, *args, cwd=tmp_path, GRADIUM_API_KEY="k")
        assert (result.exit, words in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize(
    ("args", "options"),
    [
        (("calls", "--include", "*.ogg"), ("--include '*.ogg'",)),
        (("calls", "--include", "*.wav", "--include", "wed/"), ("--include 'wed/'",)),
        (("calls", "--exclude", "tmp/", "--exclude", "*.old"), ("--exclude '*.old'", "--exclude 'tmp/'")),
        (("calls", "--exclude", ".x*", "--exclude", "*.txt", "--exclude", "tue"), ()),
    ],
)
def test_a_pattern_that_matches_nothing_is_one_warning_also_where_an_output_exists(
    server: RunningServer, tmp_path: Path, calls: dict[str, str], args: tuple[str, ...], options: tuple[str, ...]
) -> None:
    (tmp_path / "calls" / ".x.wav").touch()
    (tmp_path / "calls" / "notes.txt").touch()
    sent(server, "run", "calls", "--out", "out", cwd=tmp_path)
    for command in ("check", "run"):
        result = batch(command, *args, "--out", "out", server=server, cwd=tmp_path)
        assert result.exit == 0, result.stderr
        told = [
            line
            for line in result.stderr.splitlines()
            if "no file or folder matches" in line or "no audio below" in line
        ]
        assert told == [f"{option}: no file or folder matches" for option in options]
        strict = batch(command, *args, "--out", "out", "--strict", server=server, cwd=tmp_path)
        assert strict.exit == (2 if options else 0), strict.stderr
    assert rows_of(tmp_path / "out") == calls


def test_a_glob_that_matches_nothing_is_refused_also_where_an_output_exists(
    server: RunningServer, tmp_path: Path, calls: dict[str, str]
) -> None:
    sent(server, "run", "calls", "--out", "out", cwd=tmp_path)
    for more in ((), ("calls",)):
        for command in ("check", "run"):
            result = batch(command, "calls/*.ogg", *more, "--out", "out", server=server, cwd=tmp_path)
            assert (result.exit, "calls/*.ogg: no recording matches" in result.stderr) == (2, True)
    assert rows_of(tmp_path / "out") == calls


def test_a_folder_that_was_emptied_is_a_warning(server: RunningServer, tmp_path: Path, calls: dict[str, str]) -> None:
    sent(server, "run", "calls/mon", "--out", "out", cwd=tmp_path)
    for name in ("a.wav", "c.wav"):
        (tmp_path / "calls" / "mon" / name).unlink()
    for strict, status in (((), 0), (("--strict",), 2)):
        _, result = sent(server, "run", "calls/mon", "--out", "out", *strict, cwd=tmp_path, exit_=status)
        assert "calls/mon: no audio below this folder" in result.stderr


def test_addresses_and_homes_are_paths(server: RunningServer, tmp_path: Path, calls: dict[str, str]) -> None:
    text = write_wav(tmp_path / "calls" / "a b%.wav", seed=77)
    (tmp_path / "m.csv").write_text(
        f"id,audio\n1,file://{tmp_path}/calls/a%20b%25.wav\n2,~/calls/a.wav\n3,file://localhost{tmp_path}/calls/b.mp3\n"
    )
    result = batch("run", f"file://{tmp_path}/m.csv", "--out", tmp_path / "o", server=server, HOME=str(tmp_path))
    assert result.exit == 0, result.stderr
    assert rows_of(tmp_path / "o") == {"1": text, "2": calls["a.wav"], "3": calls["b.mp3"]}
    found = batch("check", "~/calls", "--json", cwd=tmp_path, HOME=str(tmp_path))
    assert json.loads(found.stdout)["rows"] == 6
    (tmp_path / "m.csv").write_text("audio\nfile://nas/calls/a.wav\n")
    assert "is on the host 'nas'" in batch("check", "m.csv", cwd=tmp_path).stderr


def test_a_default_output_is_named_by_what_was_given(
    server: RunningServer, tmp_path: Path, calls: dict[str, str]
) -> None:
    for args, name in ((["calls"], "calls"), (["calls/*.wav"], "calls"), (["calls/mon/c.wav"], "mon")):
        batch("run", *args, cwd=tmp_path, server=server)
        assert (tmp_path / "runs" / name / "summary.json").exists(), args
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"calls", "mon"}
