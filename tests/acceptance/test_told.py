"""What `status` and the last line say is so: at work, why a run stopped, what waits and why, what was billed."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipeline.checkpoint import hold_output
from tests.batch import Corpus, Finished, batch, finish, start_batch, write_wav
from tests.servers import RunningServer, start_server, wait_for_answers

QUIET = ("--progress", "off")
HANG = '[[fault]]\nkind = "hang"\nfile = "{}"\n'
ZEROS = {"done": 0, "failed": 0, "left": 0, "audio_s": 0, "credits": 0, "rtfx": 0, "wall_s": 0}


def said(result: Finished, form: str = "text") -> dict[str, float]:
    figures: dict[str, float] = json.loads(result.last_line) if form == "json" else result.figures
    return figures


def wait_for_requests(server: RunningServer, count: int) -> None:
    deadline = time.monotonic() + 30
    while server.stats()["requests"] < count:
        assert time.monotonic() < deadline, "the server was not asked"


def status(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(batch("status", out, "--json").stdout)
    return found


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, server: RunningServer) -> tuple[Corpus, Path]:
    """An output with 3 of 5 done."""
    folder = tmp_path_factory.mktemp("begun")
    corpus, out = Corpus(folder / "audio", count=5), folder / "out"
    assert batch("run", corpus.folder, "--out", out, "--limit", "3", server=server).exit == 4
    return corpus, out


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--set", "pool.concurrency=none"), 2),
        (("--no-such-option",), 2),
        (("--limit", "0"), 2),
        (("--config", "/no/such/file.toml"), 2),
        (("--set", "service.api_key_env=NO_SUCH_VARIABLE"), 2),
    ],
)
def test_a_run_that_does_nothing_says_how_the_output_stands(
    begun: tuple[Corpus, Path], server: RunningServer, args: Sequence[str], code: int, form: str
) -> None:
    corpus, out = begun
    result = batch("run", corpus.folder, "--out", out, "--log-format", form, *QUIET, *args, server=server)
    assert result.exit == code, result.stderr
    assert {**said(result, form), "wall_s": 0} == ZEROS | {"done": 3, "left": 2, "exit": code}


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_run_that_finds_the_output_held_says_how_it_stands(
    begun: tuple[Corpus, Path], server: RunningServer, form: str
) -> None:
    corpus, out = begun
    with hold_output(out):
        result = batch("run", corpus.folder, "--out", out, "--log-format", form, server=server)
    assert result.exit == 5
    assert said(result, form) == ZEROS | {"done": 3, "left": 2, "exit": 5}


def test_a_lock_that_cannot_be_taken_says_how_the_output_stands(
    begun: tuple[Corpus, Path], server: RunningServer
) -> None:
    corpus, out = begun
    lock = out / "run.lock"
    kept = lock.read_bytes()
    lock.unlink()
    lock.mkdir()
    try:
        result = batch("run", corpus.folder, "--out", out, server=server)
    finally:
        lock.rmdir()
        lock.write_bytes(kept)
    assert said(result) == ZEROS | {"done": 3, "left": 2, "exit": 1}


def test_a_bad_manifest_says_how_the_output_stands(
    tmp_path: Path, begun: tuple[Corpus, Path], server: RunningServer
) -> None:
    manifest = tmp_path / "bad.csv"
    manifest.write_text("audio,offset_s\na.wav,none\n")
    result = batch("run", manifest, "--out", begun[1], server=server)
    assert said(result) == ZEROS | {"done": 3, "left": 2, "exit": 2}


@pytest.mark.parametrize("content", [None, b"", b"no database, and longer than a header of one" * 30])
def test_where_nobody_can_say_how_it_stands_there_are_zeros_and_one_error(
    tmp_path: Path, out: Path, server: RunningServer, content: bytes | None
) -> None:
    out.mkdir()
    if content is not None:
        (out / "checkpoint.sqlite").write_bytes(content)
    corpus = Corpus(tmp_path / "audio", count=1)
    with hold_output(out):
        result = batch("run", corpus.folder, "--out", out, server=server)
    assert said(result) == ZEROS | {"exit": 5}
    assert len(result.stderr.splitlines()) == 2


@pytest.mark.slow
def test_status_says_who_is_at_work_and_then_why_each_run_ended(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    args = ("run", corpus.folder, "--out", out, *QUIET, "--set", "timeouts.drain_s=0.1")
    with start_server(faults=HANG.format(corpus.folder / "00002.wav")) as server:
        assert batch(*args, "--limit", "1", server=server).exit == 4
        for number, ending in ((signal.SIGKILL, "did not reach its end"), (signal.SIGINT, "stopped by SIGINT")):
            asked = server.stats()["requests"]
            before = datetime.now(UTC).replace(microsecond=0)
            with start_batch(*args, server=server) as run:
                wait_for_requests(server, asked + 1)
                found, told = status(out), batch("status", out).stdout
                since = found["at_work"]["since"]
                run.send_signal(number)
                run.communicate(timeout=30)
            assert found["at_work"]["pid"] == run.pid
            assert datetime.strptime(since, "%Y-%m-%d %H:%M:%S %Z").replace(tzinfo=UTC) >= before
            assert f"at work, pid {run.pid}, since {since}" in told
            assert "did not reach its end, or is at work" not in told
            after = batch("status", out).stdout
            assert ending in re.findall("^run .*", after, re.MULTILINE)[0]
            assert "at work" not in after
            assert status(out)["at_work"] is None
    assert "stopped by --limit 1" in after
    assert [run["stopped_by"] for run in status(out)["runs"]] == ["SIGINT", None, "--limit 1"]


def test_status_names_what_works_on_an_output_without_a_run(begun: tuple[Corpus, Path]) -> None:
    with hold_output(begun[1]):
        told = batch("status", begun[1]).stdout
    assert re.search(r"^run +at work, pid \d+, since .* UTC$", told, re.MULTILINE)


def test_a_run_is_not_kept_out_by_those_who_look_at_the_lock(tmp_path: Path, out: Path, server: RunningServer) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    from pipeline.checkpoint import at_work

    for _ in range(300):
        assert at_work(out) is None
        with hold_output(out):
            assert at_work(out) is not None


@pytest.mark.slow
def test_a_run_that_could_not_write_its_checkpoint_at_the_end_is_told_with_its_end(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    args = ("run", corpus.folder, "--out", out, *QUIET)
    with start_server(latency_s=0.3) as server:
        assert batch(*args, "--limit", "1", server=server).exit == 4
        with start_batch(*args, "--set", "timeouts.checkpoint_s=0.5", server=server) as run:
            wait_for_answers(server, 1 + 1)
            with closing(sqlite3.connect(out / "checkpoint.sqlite", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                ended = finish(run)
    assert ended.exit == 1
    [newest, _] = status(out)["runs"]
    assert newest["exit"] == 1
    assert "is locked by another program" in newest["stopped_by"]
    assert "did not reach its end" not in batch("status", out).stdout


@pytest.mark.slow
def test_a_run_says_why_it_has_not_tried_what_failed(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=4)
    manifest = tmp_path / "m.csv"
    names = [*corpus.texts, "gone1.wav", "gone2.wav", "gone3.wav", "broken.wav", "poisoned.wav"]
    (corpus.folder / "broken.wav").write_bytes(b"RIFF of nothing")
    write_wav(corpus.folder / "poisoned.wav", seed=99)
    manifest.write_text("audio\n" + "".join(f"{corpus.folder}/{name}\n" for name in names))
    args = ("run", manifest, "--out", out, *QUIET, "--set", "retry.max_attempts=1", "--set", "retry.base_s=0.01")
    with start_server(faults=f'[[fault]]\nkind = "internal_error"\nfile = "{corpus.folder}/poisoned.wav"\n') as server:
        for _ in range(2):
            assert batch(*args, server=server).exit == 3
        result = batch(*args, server=server)
        assert (result.exit, result.figures["failed"], result.figures["left"]) == (0, 5, 0)
        assert "3 wait for their files; not tried" in result.stderr
        assert "1 failed for its own fault; not tried until it changes" in result.stderr
        assert "1 of the failed, after failing run after run; not tried" in result.stderr
        told = json.loads((out / "summary.json").read_text())["untried"]
        assert told == {"missing": 3, "own_fault": 1, "postponed": 1, "unreached": 0, "unasked": 0, "left_unasked": 0}
        told = batch("status", out).stdout
        assert "3 wait for their files; not tried" in told
        assert "1 failed for its own fault; not tried until it changes" in told
        assert status(out)["untried"]["missing"] == 3
        corpus.add(4)
        with manifest.open("a") as file:
            file.write(f"{corpus.folder}/00004.wav\n")
        result = batch(*args, "--only", "changed", server=server)
        assert (result.exit, result.figures["left"]) == (0, 1)
        assert re.search("^left +1, 1 of them not asked for$", result.stderr, re.MULTILINE)
        for _ in range(2):  # until the next try is due
            batch(*args, "--only", "changed", server=server)
        result = batch(*args, "--only", "new", server=server)
        assert "1 of the failed; not tried" in result.stderr


def test_what_was_billed_and_what_may_have_been_are_two_figures_everywhere(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=4, seconds=0.5)
    args = ("run", corpus.folder, "--out", out, *QUIET, "--set", "retry.max_attempts=1", "--set", "timeouts.idle_s=0.3")
    cut = f'[[fault]]\nkind = "reset_in_stream"\nfile = "{corpus.folder}/00003.wav"\n'
    with start_server(faults=cut) as server:
        result = batch(*args, server=server)
    assert result.figures["credits"] == 6
    assert "6 credits (4.5 billed, 1.5 maybe billed)" in result.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["credits"], summary["credits_maybe_billed"]) == (6, 1.5)
    assert "6 credits (4.5 billed, 1.5 maybe billed) in all runs" in batch("status", out).stdout
    found = status(out)
    assert (found["credits"], found["credits_maybe_billed"]) == (6, 1.5)
    assert batch("rebuild", out, "--force").exit == 0
    assert (status(out)["credits"], status(out)["credits_maybe_billed"]) == (6, 1.5)
    assert "4 requests: 1.5 s of audio in" in result.stderr


def test_a_rebuild_counts_in_words_that_fit_and_calls_no_sound_checkpoint_damaged(
    tmp_path: Path, out: Path, server: RunningServer
) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    with (out / "transcripts.jsonl").open("a") as file:
        file.write('{"id": "to')  # as a crash leaves it
    made = batch("rebuild", out, "--force")
    assert made.exit == 0
    assert "1 transcript is known again (0 of them from the old checkpoint), 1.5 credits spent" in made.stdout
    assert "also kept: 0 failed, 0 answered clips, 1 earlier run\n" in made.stdout
    assert "could not be read" not in made.stdout
    assert [path.name for path in out.glob("*damaged*")] == []
    assert len(list(out.glob("checkpoint.old-*.sqlite"))) == 1
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0


def test_status_names_what_is_above_the_budget(tmp_path: Path, out: Path, server: RunningServer) -> None:
    corpus = Corpus(tmp_path / "audio", count=1, seconds=2.0)
    assert batch("run", corpus.folder, "--out", out, "--budget", "3", server=server).exit == 4
    assert "stopped by 00000.wav needs 6 credits: more than the budget" in batch("status", out).stdout


def test_an_outage_that_was_not_over_is_not_told_as_waited_out(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=12)
    patience = ("--set", "retry.outage_max_s=0.2", "--set", "retry.probe_s=0.05", "--set", "retry.base_s=0.01")
    with start_server(faults='[[fault]]\nkind = "internal_error"\nafter_requests = 2\n') as server:
        result = batch("run", corpus.folder, "--out", out, *QUIET, *patience, "--concurrency", "2", server=server)
    assert result.exit == 1, result.stderr
    assert re.search("^outages +1, the last one still lasted at the end$", result.stderr, re.MULTILINE)


@pytest.mark.parametrize("option", ["--credits", "--latency-s", "--realtime-factor"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_serve_takes_no_number_that_is_none(option: str, value: str) -> None:
    result = batch("serve", option, value)
    assert result.exit == 2
    assert option in result.stderr


def test_serve_says_that_others_reach_it() -> None:
    words = ("serve", "--host", "0.0.0.0", "--recognizer", "fingerprint")  # noqa: S104  with a key
    with start_batch(*words, GRADIUM_API_KEY="k") as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        process.terminate()
    assert told["url"].startswith("http://127.0.0.1:")
    assert told["listens_on"] == f"every address of this machine, port {urlsplit(told['url']).port}"


def test_what_an_older_version_has_not_summed_is_told_as_one_figure(
    tmp_path: Path, out: Path, server: RunningServer
) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    with closing(sqlite3.connect(out / "checkpoint.sqlite", isolation_level=None)) as db:
        db.execute("DELETE FROM facts WHERE key GLOB 'credits *billed'")
    assert (status(out)["credits"], status(out)["credits_maybe_billed"]) == (1.5, None)
    assert re.search("^spent +1.5 credits in all runs$", batch("status", out).stdout, re.MULTILINE)
