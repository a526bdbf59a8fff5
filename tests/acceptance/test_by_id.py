"""`run` and `check` with --id and --ids: those utterances and no others, and nothing becomes of the rest."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.checkpoint import Checkpoint, ScannedRow
from pipeline.model import Utterance
from tests.batch import Corpus, batch, errors_of, rows_of, write_wav
from tests.servers import RunningServer, start_server

QUIET = ("--progress", "off")


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path / "audio", count=5)


def test_only_what_is_named_is_sent_and_a_plain_run_does_the_rest(
    corpus: Corpus, out: Path, server: RunningServer, tmp_path: Path
) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_bytes(b"\xef\xbb\xbf00001.wav\r\n\n  \n 00002.wav \n00001.wav")
    args = (corpus.folder, "--out", out, "--id", "00004.wav", "--ids", ids, "--id", "00001.wav")
    forecast = json.loads(batch("check", *args, "--json", server=server).stdout)
    assert (forecast["selected"], forecast["requests"]) == (3, 3)
    before = server.stats()["requests"]
    result = batch("run", *args, *QUIET, server=server)
    assert (result.exit, result.figures["done"], result.figures["left"]) == (0, 3, 2)
    assert "2, 2 of them not asked for" in result.stderr
    assert rows_of(out).keys() == {"00001.wav", "00002.wav", "00004.wav"}
    assert server.stats()["requests"] == before + 3
    result = batch("run", *args, *QUIET, server=server)
    assert (result.exit, server.stats()["requests"]) == (0, before + 3)
    result = batch("run", corpus.folder, "--out", out, *QUIET, server=server)
    assert (result.exit, server.stats()["requests"]) == (0, before + 5)
    assert rows_of(out) == corpus.texts
    assert "vanished" not in result.stderr


def test_what_failed_is_tried_again_and_what_is_done_only_when_only_says_so(corpus: Corpus, out: Path) -> None:
    corpus.texts["poisoned.wav"] = write_wav(corpus.folder / "poisoned.wav", seed=99)
    args = ("run", corpus.folder, "--out", out, *QUIET)
    refuse = f'[[fault]]\nkind = "policy"\nmessage = "bad format"\nfile = "{corpus.folder}/poisoned.wav"\nat_most = 1\n'
    with start_server(faults=refuse) as server:
        assert batch(*args, server=server).exit == 3
        assert batch(*args, server=server).exit == 0, "its own fault is left alone"
        assert server.stats()["requests"] == 6
        for only in ("new", "changed", "suspect"):
            result = batch(*args, "--id", "poisoned.wav", "--only", only, server=server)
            assert (result.exit, server.stats()["requests"]) == (0, 6)
            assert "1 failed for its own fault; not tried" in result.stderr
        assert batch(*args, "--id", "poisoned.wav", server=server).exit == 0
        assert server.stats()["requests"] == 7
        assert errors_of(out) == {}
        batch(*args, "--id", "00000.wav", server=server)
        assert server.stats()["requests"] == 7
        batch(*args, "--id", "00000.wav", "--only", "all", server=server)
        assert server.stats()["requests"] == 8
    assert rows_of(out) == corpus.texts


@pytest.mark.parametrize("command", ["check", "run"])
def test_an_id_that_the_manifest_does_not_have_is_told_before_anything_is_sent(
    corpus: Corpus, out: Path, server: RunningServer, command: str
) -> None:
    before = server.stats()["requests"]
    one = batch(command, corpus.folder, "--out", out, "--id", "0001.wav", "--id", "00001.wav", server=server)
    assert one.exit == 2
    assert f"{corpus.folder}: no row has the id 0001.wav, nothing was sent; did you mean 00001.wav or" in one.stderr
    named = [word for number in range(7) for word in ("--id", f"no {number}")]
    many = batch(command, corpus.folder, "--out", out, *named, server=server)
    assert many.exit == 2
    assert "7 ids that were asked for are in no row, nothing was sent: no 0, no 1, no 2, no 3, no 4 and 2 more" in (
        many.stderr
    )
    assert server.stats()["requests"] == before
    assert not out.exists()


@pytest.mark.parametrize(
    ("args", "stdin", "told"),
    [
        (("--ids", "none.txt"), "", "--ids: none.txt cannot be read: No such file or directory"),
        (("--ids", "."), "", "--ids: . cannot be read: Is a directory"),
        (("--ids", "empty.txt"), "", "--ids: empty.txt holds no id; write one a line"),
        (("--ids", "latin.txt"), "", "--ids: latin.txt, line 2 is not UTF-8"),
        (("--ids", "-", "--ids", "-"), "a", "--ids: - is stdin, which can be read only once"),
        (("--ids", "-"), "\n", "--ids: stdin holds no id"),
        (("--id", " "), "", "--id: an empty id names no utterance"),
        (("--id", "a\x1b[2Jb"), "", r"no row has the id a\x1b[2Jb"),
    ],
)
def test_ids_that_cannot_be_read_are_told(
    corpus: Corpus, out: Path, tmp_path: Path, args: Sequence[str], stdin: str, told: str
) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "latin.txt").write_bytes(b"a\n\xe9\n")
    result = batch("check", corpus.folder, "--out", out, *args, stdin=stdin, cwd=tmp_path)
    assert result.exit == 2
    assert told in result.stderr
    assert "\x1b" not in result.stderr


def test_ids_come_from_stdin(corpus: Corpus, out: Path, server: RunningServer) -> None:
    result = batch("run", corpus.folder, "--out", out, "--ids", "-", stdin="00003.wav\n", server=server)
    assert (result.exit, set(rows_of(out))) == (0, {"00003.wav"})


def test_a_limit_stops_among_the_named_and_the_next_run_goes_on(
    corpus: Corpus, out: Path, server: RunningServer
) -> None:
    args = ("run", corpus.folder, "--out", out, "--id", "00001.wav", "--id", "00002.wav", "--limit", "1")
    assert [batch(*args, server=server).exit for _ in range(3)] == [4, 0, 0]
    assert set(rows_of(out)) == {"00001.wav", "00002.wav"}


def test_a_copy_that_is_named_gets_the_transcript_of_what_is_done(
    corpus: Corpus, out: Path, server: RunningServer
) -> None:
    (corpus.folder / "copy.wav").write_bytes((corpus.folder / "00000.wav").read_bytes())
    args = ("run", corpus.folder, "--out", out)
    before = server.stats()["requests"]
    for id_ in ("00000.wav", "copy.wav"):
        assert batch(*args, "--id", id_, server=server).exit == 0
    assert rows_of(out) == {"00000.wav": corpus.texts["00000.wav"], "copy.wav": corpus.texts["00000.wav"]}
    assert server.stats()["requests"] == before + 1


def scanned(count: int) -> list[ScannedRow]:
    return [
        ScannedRow(
            utterance=Utterance(id=f"{number:06}", audio=f"/{number}.wav"),
            config_hash="c",
            expected_s=1.0,
            size=1,
            version="1:1",
        )
        for number in range(count)
    ]


def planned_s(path: Path, count: int) -> float:
    """Seconds of processor that it takes to select every second of so many rows."""
    with Checkpoint(path) as checkpoint:
        checkpoint.scan(scanned(count), "m")
        started = time.process_time()
        checkpoint.name_ids((f"{number:06}" for number in range(0, count, 2)), "m")
        assert checkpoint.plan(("new",)).selected == count // 2
        checkpoint.merge(("new",))
        took = time.process_time() - started
        assert checkpoint._db.execute("SELECT count(*) FROM utterances WHERE selected").fetchone() == (count // 2,)
    return took


@pytest.mark.slow
def test_many_ids_cost_what_few_cost_each(tmp_path: Path) -> None:
    few, many = (min(planned_s(tmp_path / f"{count} {turn}", count) for turn in range(3)) for count in (2_000, 20_000))
    assert many < 30 * few


@pytest.mark.slow
def test_100_000_ids_of_200_000_rows_are_planned_in_seconds(tmp_path: Path) -> None:
    assert planned_s(tmp_path / "c", 200_000) < 20


def test_an_id_that_is_no_utf8_is_refused_with_a_sentence(corpus: Corpus, out: Path, server: RunningServer) -> None:
    for args in (("run", corpus.folder, "--out", out), ("check", corpus.folder), ("show", out)):
        result = batch(*args, "--id", "\udcff", server=server)
        assert result.exit == 2, args
        assert "is not UTF-8" in result.stderr


def test_an_empty_name_is_no_output(corpus: Corpus, server: RunningServer) -> None:
    result = batch("run", corpus.folder, "--out", "", server=server)
    assert result.exit == 2
    assert "an empty name is no folder" in result.stderr


def test_bad_rows_that_were_not_asked_for_do_not_fail_the_run(corpus: Corpus, out: Path, server: RunningServer) -> None:
    manifest = corpus.folder / "m.csv"
    manifest.write_text("audio,offset_s\n00000.wav,\n00001.wav,x\n")
    args = ("run", manifest, "--out", out, "--skip-bad-rows", *QUIET)
    assert batch(*args, "--id", "00000.wav", server=server).exit == 0
    assert batch(*args, server=server).exit == 3


def test_the_help_tells_of_one_id_before_a_file_of_ids() -> None:
    for command in ("check", "run"):
        told = batch(command, "--help").stdout
        assert told.index("--id ID") < told.index("--ids FILE")
