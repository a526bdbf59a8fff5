"""Manifests as people and their programs write them: paths in another spelling, and what is warned of."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from tests.batch import batch, errors_of, jsonl_of, rows_of, write_wav
from tests.servers import RunningServer

NBSP, ZERO_WIDTH, BOM = "\u00a0", "\u200b", "\ufeff"
NFC, NFD = (unicodedata.normalize(form, "café.wav") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("calls\\a.wav", "calls/a.wav"),
        (".\\calls\\a.wav", "calls/a.wav"),
        ("a.wav ", "a.wav"),
        (f"a.wav{NBSP}", "a.wav"),
        (f"{BOM}a.wav", "a.wav"),
        (f"calls /a{ZERO_WIDTH}.wav", "calls/a.wav"),
        (f"my{NBSP}call.wav", "my call.wav"),
        (NFC, NFD),
        (NFD, NFC),
        (f"calls\\{NFC}{NBSP}", f"calls/{NFD}"),
    ],
)
def test_a_path_in_another_spelling_is_read_where_one_file_goes_by_it(
    server: RunningServer, tmp_path: Path, out: Path, written: str, file: str
) -> None:
    text = write_wav(tmp_path / file, seed=1)
    (tmp_path / "m.jsonl").write_text(json.dumps({"id": "1", "audio": written}) + "\n", "utf-8")
    for requests in (1, 0):
        before = server.stats()["requests"]
        result = batch("run", tmp_path / "m.jsonl", "--out", out, server=server)
        assert result.exit == 0, result.stderr
        assert server.stats()["requests"] - before == requests
    assert rows_of(out) == {"1": text}
    assert jsonl_of(out)[0]["audio"] == str(tmp_path / file)
    assert result.stderr.count("1 row names its recording in another spelling") == 1
    assert f"is read as {str(tmp_path / file)!a}" in result.stderr
    # fixed, it is the same row
    (tmp_path / "m.jsonl").write_text(json.dumps({"id": "1", "audio": file}) + "\n", "utf-8")
    assert "another spelling" not in batch("run", tmp_path / "m.jsonl", "--out", out, server=server).stderr
    assert server.stats()["requests"] - before == 0


def test_the_id_of_a_path_is_the_same_once_its_spelling_is_fixed(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    text = write_wav(tmp_path / "a.wav", seed=1)
    (tmp_path / "calls").symlink_to(".")
    for audio in (f"calls\\a{ZERO_WIDTH}.wav{NBSP}", "calls/a.wav"):
        (tmp_path / "m.csv").write_text(f"audio\n{audio}\n", "utf-8")
        assert batch("run", tmp_path / "m.csv", "--out", out, server=server).exit == 0
        assert rows_of(out) == {"calls/a.wav": text}


@pytest.mark.parametrize("column", ["audio", "id,audio"])
def test_rows_in_another_spelling_are_the_same_rows_while_their_archive_is_not_mounted(
    server: RunningServer, tmp_path: Path, out: Path, column: str
) -> None:
    files = {f"calls\\{n:02d}é.wav{NBSP}": f"calls/{n:02d}e\u0301.wav" for n in range(12)}
    texts = {file: write_wav(tmp_path / file, seed=n) for n, file in enumerate(files.values())}
    rows = [f"{n},{written}" if "id" in column else written for n, written in enumerate(files)]
    (tmp_path / "m.csv").write_text("\n".join([column, *rows, ""]), "utf-8")
    assert batch("run", tmp_path / "m.csv", "--out", out, server=server).exit == 0
    before, ids = server.stats()["requests"], rows_of(out)
    assert sorted(ids.values()) == sorted(texts.values())
    (tmp_path / "calls").rename(tmp_path / "elsewhere")
    for is_first_night in (True, False):
        forecast = json.loads(batch("check", tmp_path / "m.csv", "--out", out, "--json", server=server).stdout)
        assert [forecast[key] for key in ("new", "changed", "vanished", "gone", "missing")] == [0, 0, 0, 12, 12]
        night = batch("run", tmp_path / "m.csv", "--out", out, server=server)
        assert rows_of(out) == ids
        assert errors_of(out) == {}
        assert (night.exit, "is the disk mounted?" in night.stderr) == (3 * is_first_night, is_first_night)
    (tmp_path / "elsewhere").rename(tmp_path / "calls")
    assert batch("run", tmp_path / "m.csv", "--out", out, server=server).exit == 0
    assert (rows_of(out), server.stats()["requests"]) == (ids, before)
    assert "vanished" not in batch("status", out).stdout


def test_a_file_whose_name_looks_misspelt_keeps_its_id_while_it_is_missing(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    written = (f"my{NBSP}call.wav", "my call.wav")
    texts = {name: write_wav(tmp_path / name, seed=n) for n, name in enumerate(written)}
    (tmp_path / "m.csv").write_text("\n".join(["audio", *written, ""]), "utf-8")
    for _ in range(2):
        batch("run", tmp_path / "m.csv", "--out", out, server=server)
        assert (rows_of(out), errors_of(out)) == (texts, {})
        for name in written:
            (tmp_path / name).unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("written", "files", "words"),
    [
        (f"gone{ZERO_WIDTH}.wav", (), "whose name holds U+200B (zero width space), which cannot be seen: '"),
        (f"gone.wav{NBSP}", (), "gone.wav\\xa0'"),
        ("gone.wav ", (), "whose name ends in a blank"),
        ("calls\\gone.wav", (), "a backslash does not separate folders here: write / instead"),
        # two files may be meant
        (f"a{ZERO_WIDTH}.wav{NBSP}", ("a.wav", f"a{ZERO_WIDTH}.wav"), "whose name holds U+200B"),
    ],
)
def test_a_path_that_leads_nowhere_is_told_with_what_cannot_be_seen(
    server: RunningServer, tmp_path: Path, out: Path, written: str, files: tuple[str, ...], words: str
) -> None:
    for n, file in enumerate(files):
        write_wav(tmp_path / file, seed=n)
    (tmp_path / "m.jsonl").write_text(json.dumps({"id": "1", "audio": written}) + "\n", "utf-8")
    result = batch("run", tmp_path / "m.jsonl", "--out", out, server=server)
    assert (result.exit, errors_of(out)) == (3, {"1": "AudioMissing"})
    assert words in jsonl_of(out, "errors.jsonl")[0]["message"]


def test_bare_samples_are_told_what_they_lack(server: RunningServer, tmp_path: Path, out: Path) -> None:
    (tmp_path / "call.raw").write_bytes(bytes(range(256)) * 100)
    (tmp_path / "m.csv").write_text("audio\ncall.raw\n")
    assert batch("run", tmp_path / "m.csv", "--out", out, server=server).exit == 3
    assert "give the file a header" in jsonl_of(out, "errors.jsonl")[0]["message"]


def test_warnings_are_told_once_stand_in_json_and_are_errors_where_that_is_asked_for(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    write_wav(tmp_path / "a.wav", seed=1)
    (tmp_path / "m.csv").write_text("audio,langauge\na.wav ,en")
    warnings = [
        f"{tmp_path}/m.csv:1: column `langauge` is kept as metadata; did you mean `language`?",
        "1 row names its recording in another spelling",
        f"{tmp_path}/m.csv:2: the last line does not end with a newline",
    ]
    result = batch("check", tmp_path / "m.csv", "--out", out, "--json")
    assert result.exit == 0
    told = json.loads(result.stdout)["warnings"]
    assert len(told) == len(warnings)
    assert all(any(one.startswith(words) for one in told) for words in warnings)
    assert all(result.stderr.count(words) == 1 for words in warnings)
    assert batch("check", tmp_path / "m.csv", "--out", out, "--strict").exit == 2
    before = server.stats()["requests"]
    strict = batch("run", tmp_path / "m.csv", "--out", out, "--strict", server=server)
    assert (strict.exit, server.stats()["requests"]) == (2, before)
    assert "3 warnings (see above), nothing was sent; fix them, or leave out --strict" in strict.stderr
    assert all(strict.stderr.count(words) == 1 for words in warnings)
    assert not out.exists()
    (tmp_path / "m.csv").write_text("audio,language\na.wav,en\n")
    assert batch("run", tmp_path / "m.csv", "--out", out, "--strict", server=server).exit == 0
