"""Outputs that were harmed from outside: nothing paid for is written over, and `rebuild` takes in what is there."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from pipeline.checkpoint import Checkpoint, Finished
from pipeline.model import Attempt, Transcript
from pipeline.run.rebuild import set_aside
from tests.batch import (
    COMMAND,
    Corpus,
    batch,
    environment,
    errors_of,
    jsonl_of,
    jsonl_rows_of,
    rows_of,
    start_batch,
    table_of,
    write_wav,
)
from tests.beeps import RECOGNIZER, beeps, talk, texts, write
from tests.servers import RunningServer, start_server, wait_for_answers

PARTS = ("--set", "sink.rows_per_part=4")
IMPATIENT = ("--set", "timeouts.checkpoint_s=1")


@pytest.fixture
def corpus(server: RunningServer, tmp_path: Path, out: Path) -> Corpus:
    """Ten utterances, done and published in three parts."""
    made = Corpus(tmp_path / "audio", count=10)
    assert batch("run", made.folder, "--out", out, *PARTS, server=server).exit == 0
    return made


def harm(out: Path, how: str) -> None:
    path = out / "checkpoint.sqlite"
    if how == "cut in half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif how == "garbage":
        path.write_bytes(b"no database " * 1000)
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut in half", "gone", "garbage", "empty"])
def test_a_harmed_checkpoint_is_told_and_rebuilt_and_nothing_is_sent_again(
    server: RunningServer, corpus: Corpus, out: Path, how: str
) -> None:
    harm(out, how)
    before = server.stats()["requests"]
    told = batch("run", corpus.folder, "--out", out, *PARTS, server=server)
    assert told.exit == 1
    assert f"gradium-batch rebuild {out}" in told.stderr
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts, "what is there is not touched"

    made = batch("rebuild", out)
    assert made.exit == 0, made.stderr
    assert "10 transcripts are known again" in made.stdout
    again = batch("run", corpus.folder, "--out", out, *PARTS, server=server)
    assert again.exit == 0, again.stderr
    assert again.figures["done"] == 10
    assert server.stats()["requests"] == before
    corpus.add(50)
    assert batch("run", corpus.folder, "--out", out, *PARTS, server=server).exit == 0
    assert server.stats()["requests"] == before + 1
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


@pytest.mark.slow
def test_rebuild_takes_rows_whose_part_is_gone_from_the_jsonl(server: RunningServer, corpus: Corpus, out: Path) -> None:
    (out / "transcripts" / "part-000002.parquet").unlink()
    before = server.stats()["requests"]
    told = batch("run", corpus.folder, "--out", out, *PARTS, server=server)
    assert told.exit == 1
    assert "a published part is missing" in told.stderr
    assert batch("rebuild", out).exit == 0
    assert batch("run", corpus.folder, "--out", out, *PARTS, server=server).exit == 0
    assert server.stats()["requests"] == before
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["transcripts", "transcripts.jsonl"])
def test_rebuild_makes_one_format_from_the_other(server: RunningServer, corpus: Corpus, out: Path, gone: str) -> None:
    harm(out, "gone")
    if gone == "transcripts":
        shutil.rmtree(out / gone)
    else:
        (out / gone).unlink()
    before = server.stats()["requests"]
    made = batch("rebuild", out)
    assert made.exit == 0, made.stderr
    again = batch("run", corpus.folder, "--out", out, *PARTS, server=server)
    assert again.exit == 0, again.stderr
    assert server.stats()["requests"] == before
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


@pytest.mark.slow
def test_an_output_of_lines_only_is_rebuilt_as_that(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "lines", count=5)
    args = ("run", corpus.folder, "--out", out, "--set", 'sink.formats=["jsonl"]')
    assert batch(*args, server=server).exit == 0
    path = out / "checkpoint.sqlite"
    path.write_bytes(path.read_bytes()[:-4096])
    before = server.stats()["requests"]
    assert batch("rebuild", out).exit == 0
    assert batch(*args, server=server).exit == 0
    assert server.stats()["requests"] == before
    assert jsonl_rows_of(out) == corpus.texts


@pytest.mark.slow
def test_a_part_cut_short_is_told_set_aside_and_made_anew(server: RunningServer, corpus: Corpus, out: Path) -> None:
    part = out / "transcripts" / "part-000002.parquet"
    part.write_bytes(part.read_bytes()[:100])
    before = server.stats()["requests"]
    told = batch("run", corpus.folder, "--out", out, *PARTS, server=server)
    assert told.exit == 1
    assert "part-000002.parquet is damaged" in told.stderr
    made = batch("rebuild", out)
    assert "part-000002.parquet.damaged" in made.stdout
    assert batch("run", corpus.folder, "--out", out, *PARTS, server=server).exit == 0
    assert server.stats()["requests"] == before
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_status_does_not_take_a_lost_checkpoint_for_an_empty_corpus(
    server: RunningServer, corpus: Corpus, out: Path
) -> None:
    harm(out, "gone")
    assert batch("run", corpus.folder, "--out", out, *PARTS, server=server).exit == 1
    result = batch("status", out, "--json")
    assert result.exit == 1
    assert "gradium-batch rebuild" in result.stderr


def test_touched_files_are_no_reason_to_stop_for_a_low_balance(corpus: Corpus, out: Path) -> None:
    for path in corpus.folder.iterdir():
        os.utime(path, (1, 1))
    with start_server(credits=1) as poor:
        args = ("run", corpus.folder, "--out", out, "--set", "service.require_credits=true", *PARTS)
        assert batch(*args, server=poor).exit == 0
        assert poor.stats()["requests"] == 0


@pytest.mark.slow
def test_an_endpoint_that_is_down_on_a_later_night_is_waited_for(corpus: Corpus, out: Path, tmp_path: Path) -> None:
    corpus.add(90)
    url = "http://127.0.0.1:9/api/post/speech/asr"
    waits = ("--set", "retry.outage_max_s=1", "--set", "retry.probe_s=0.1")
    args = ("run", corpus.folder, "--out", out, "--set", f"service.url={url}", *waits, *PARTS)
    result = batch(*args, GRADIUM_API_KEY="gd_k")
    assert result.exit == 1
    assert "the service has failed for everybody for" in result.stderr
    assert result.figures["wall_s"] > 2.7, "1.8 s to be sure that nothing answers, and the outage"


@pytest.mark.slow
def test_rebuild_keeps_what_was_only_in_the_checkpoint(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=40)
    with start_server(latency_s=0.05) as server:
        args = ("run", corpus.folder, "--out", out, "--concurrency", "4", "--set", "sink.rows_per_part=10")
        process = start_batch(*args, server=server)
        wait_for_answers(server, 25)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        answered = server.stats()["answered"]
        made = batch("rebuild", out, "--force")
        assert made.exit == 0, made.stderr
        again = batch(*args, server=server)
        assert again.exit == 0, again.stderr
        assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
        assert server.stats()["answered"] <= 40 + 4 + 4, f"{answered} had been answered"


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    ["gone", "cut in half", "garbage", "empty", "not at all"],
)
def test_failures_their_nights_and_the_last_runs_are_known_after_a_rebuild(tmp_path: Path, out: Path, how: str) -> None:
    corpus = Corpus(tmp_path / "audio", count=6)
    (corpus.folder / "broken.wav").write_text("no audio")
    refused = corpus.folder / "00003.wav"
    refuse = f'[[fault]]\nkind = "policy"\nmessage = "bad audio"\nfile = "{refused}"'
    with start_server(faults=refuse) as server:
        args = ("run", corpus.folder, "--out", out, *PARTS)
        for night in range(3):
            corpus.add(20 + night)
            assert batch(*args, server=server).exit == (0 if night else 3), "later nights leave the failed ones alone"
        before = json.loads(batch("status", out, "--json").stdout)
        if how != "not at all":
            harm(out, how)
        made = batch("rebuild", out, *(["--force"] if how == "not at all" else []))
        assert made.exit == 0, made.stderr
        assert "2 failed, 0 answered clips, 3 earlier runs" in made.stdout
        after = json.loads(batch("status", out, "--json").stdout)
        if how != "not at all":  # with it why the delay is taken off or not: it stays as it was
            assert after["delay_correction"]["decided_by"] == "earlier transcripts"
            before["delay_correction"] = after["delay_correction"]
        assert after == before
        assert {failure["error"]: failure["runs"] for failure in before["failures"]} == {
            "AudioRefused": 3,
            "AudioUnreadable": 3,
        }
        sent = server.stats()["requests"]
        result = batch(*args, server=server)
        assert result.exit == (0 if how == "not at all" else 3)
        assert result.figures["failed"] == 2
        if how == "not at all":
            assert server.stats()["requests"] == sent, "it is known which file failed, and that it is that still"
        assert server.stats()["requests"] - sent <= 1, "the refused one, where nobody knows what file it was"
        corpus.texts.pop(refused.name)
        assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


@pytest.mark.slow
def test_rebuild_keeps_answered_clips(tmp_path: Path, out: Path) -> None:
    said = talk(120, seed=2)
    write(tmp_path / "audio/long.wav", beeps(said, 120, 16_000), rate=16_000)
    with start_server(recognizer=RECOGNIZER, latency_s=0.3) as server:
        args = ("run", tmp_path / "audio", "--out", out, "--concurrency", "2", "--set", "audio.max_clip_s=10")
        process = start_batch(*args, server=server)
        wait_for_answers(server, 7)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        made = batch("rebuild", out, "--force")
        assert made.exit == 0, made.stderr
        told = re.search(r"(\d+) answered clips", made.stdout)
        assert told is not None
        assert int(told[1]) >= 3, "all but those of the last commit window"
        assert json.loads(batch("status", out, "--json").stdout)["left"] == 1
        before = server.stats()["requests"]
        assert batch(*args, server=server).exit == 0
        [row] = jsonl_of(out)
        assert row["text"] == texts(said)
        assert server.stats()["requests"] - before == len(row["request_ids"]) - int(told[1])


@pytest.mark.slow
def test_a_row_that_cannot_be_decoded_costs_that_row_only(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=30)
    with start_server(latency_s=0.05) as server:
        args = ("run", corpus.folder, "--out", out, "--concurrency", "4")
        process = start_batch(*args, server=server)
        wait_for_answers(server, 20)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db, db:
            waiting = [n for (n,) in db.execute("SELECT n FROM results ORDER BY n")]
            db.execute("UPDATE results SET row = x'c1' WHERE n = ?", (waiting[len(waiting) // 2],))
            db.execute("UPDATE attempts SET row = x'c1' WHERE n = 2")
        told = batch(*args, server=server)
        assert told.exit == 1
        assert "gradium-batch rebuild" in told.stderr
        before = server.stats()["answered"]
        made = batch("rebuild", out)
        assert made.exit == 0, made.stderr
        assert batch(*args, server=server).exit == 0
        assert server.stats()["answered"] - before <= 30 - (len(waiting) - 1)
        assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_where_nothing_is_wrong_rebuild_refuses_and_touches_nothing(
    server: RunningServer, corpus: Corpus, out: Path
) -> None:
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != "run.lock"}

    before = files()
    refused = batch("rebuild", out)
    assert refused.exit == 2
    assert "nothing is wrong" in refused.stderr
    assert "--force" in refused.stderr
    assert files() == before
    sent = server.stats()["requests"]
    assert batch("rebuild", out, "--force").exit == 0
    assert batch("run", corpus.folder, "--out", out, *PARTS, server=server).exit == 0
    assert server.stats()["requests"] == sent
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_a_checkpoint_of_a_newer_version_is_not_rebuilt_but_left_to_it(corpus: Corpus, out: Path) -> None:
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db:
        db.execute("PRAGMA user_version = 99")
    result = batch("rebuild", out)
    assert result.exit == 1
    assert "newer gradium-batch" in result.stderr
    assert not list(out.glob("checkpoint.old-*"))


@pytest.mark.slow
def test_a_rebuild_that_was_killed_is_told_and_done_again(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=30)
    with start_server(latency_s=0.05) as server:
        args = ("run", corpus.folder, "--out", out, "--concurrency", "4")
        process = start_batch(*args, server=server)
        wait_for_answers(server, 20)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        waiting = int(sqlite3.connect(out / "checkpoint.sqlite").execute("SELECT count(*) FROM results").fetchone()[0])
        new, _ = set_aside(out / "checkpoint.sqlite")  # as far as it came
        new.write_bytes(b"half of it")
        told = batch(*args, server=server)
        assert told.exit == 1
        assert "did not reach its end" in told.stderr
        made = batch("rebuild", out)
        assert f"{waiting} transcripts are known again ({waiting} of them from the old checkpoint)" in made.stdout
        assert batch(*args, server=server).exit == 0
        assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_attempts_that_a_crash_left_written_and_not_noted_are_counted_once(
    server: RunningServer, corpus: Corpus, out: Path
) -> None:
    before = json.loads(batch("status", out, "--json").stdout)["credits"]
    assert before == 15.0
    last = max((out / "attempts").iterdir())
    waiting = [Attempt(**row) for row in pq.read_table(last).to_pylist()]
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db, db:
        db.execute("DELETE FROM parts WHERE kind = 'attempts' AND part = ?", (int(last.stem[-6:]),))
        db.executemany("INSERT INTO attempts (row) VALUES (?)", [(msgspec.msgpack.encode(row),) for row in waiting])
    ledger = table_of(out, "attempts").num_rows
    assert batch("rebuild", out, "--force").exit == 0
    assert batch("run", corpus.folder, "--out", out, *PARTS, server=server).exit == 0
    assert json.loads(batch("status", out, "--json").stdout)["credits"] == before
    assert table_of(out, "attempts").num_rows == ledger


def test_a_transcript_made_anew_and_not_published_yet_replaces_the_old_one(
    server: RunningServer, corpus: Corpus, out: Path
) -> None:
    [row] = [row for row in jsonl_of(out) if row["id"] == "00004.wav"]
    anew = msgspec.convert({**row, "text": "anew"}, Transcript, strict=False)
    with Checkpoint(out / "checkpoint.sqlite") as checkpoint:
        n = checkpoint.number_of("00004.wav")
        assert n is not None
        checkpoint.apply([Finished(n=n, transcript=anew)])
    before = server.stats()["requests"]
    assert batch("rebuild", out, "--force").exit == 0
    assert batch("run", corpus.folder, "--out", out, *PARTS, server=server).exit == 0
    assert server.stats()["requests"] == before
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts | {"00004.wav": "anew"}


def test_a_part_that_rotted_inside_is_told_by_rebuild_and_made_anew(
    server: RunningServer, corpus: Corpus, out: Path
) -> None:
    part = out / "transcripts" / "part-000002.parquet"
    content = part.read_bytes()
    part.write_bytes(content[:200] + bytes(400) + content[600:])
    before = server.stats()["requests"]
    made = batch("rebuild", out)
    assert made.exit == 0, made.stderr
    assert "part-000002.parquet.damaged" in made.stdout
    assert batch("run", corpus.folder, "--out", out, *PARTS, server=server).exit == 0
    assert server.stats()["requests"] == before
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


@pytest.mark.slow
def test_a_damaged_line_of_an_output_of_lines_only_costs_that_line(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "lines", count=5)
    args = ("run", corpus.folder, "--out", out, "--set", 'sink.formats=["jsonl"]')
    assert batch(*args, server=server).exit == 0
    path = out / "transcripts.jsonl"
    harmed = path.read_bytes().replace(b'"status"', b'"sta\xfftus', 1)
    path.write_bytes(harmed)
    before = server.stats()["requests"]
    made = batch("rebuild", out)
    assert "4 transcripts are known again" in made.stdout, made.stderr
    assert (out / "transcripts.jsonl.damaged").read_bytes() == harmed
    assert batch(*args, server=server).exit == 0
    assert server.stats()["requests"] == before + 1
    assert jsonl_rows_of(out) == corpus.texts


def test_a_damaged_line_is_told_and_rebuilt(server: RunningServer, corpus: Corpus, tmp_path: Path) -> None:
    args = ("run", corpus.folder, "--out", tmp_path / "lines", "--set", 'sink.formats=["jsonl"]')
    assert batch(*args, server=server).exit == 0
    path = tmp_path / "lines" / "transcripts.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"status"', b'"sta\xfftus', 1))
    result = batch(*args, "--only", "all", server=server)
    assert result.exit == 1
    assert "is damaged" in result.stderr
    assert batch("rebuild", tmp_path / "lines").exit == 0
    before = server.stats()["requests"]
    assert batch(*args, server=server).exit == 0
    assert server.stats()["requests"] == before  # the answers were in the checkpoint
    assert jsonl_rows_of(tmp_path / "lines") == corpus.texts


def test_a_damaged_line_beside_parts_is_mended_from_them(server: RunningServer, corpus: Corpus, out: Path) -> None:
    path = out / "transcripts.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"status"', b'"sta\xfftus', 1))
    assert batch("run", corpus.folder, "--out", out, "--only", "all", *PARTS, server=server).exit == 0
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_rebuild_without_transcripts_says_so(tmp_path: Path) -> None:
    result = batch("rebuild", tmp_path)
    assert result.exit == 2
    assert "there are no transcripts here" in result.stderr


@pytest.mark.slow
def test_a_full_disk_stops_with_one_sentence_and_the_run_goes_on_when_there_is_room(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=300)

    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    full = subprocess.run(
        [*COMMAND, "run", str(corpus.folder), "--out", str(out), "--set", "sink.rows_per_part=50", *IMPATIENT],
        env=environment(server),
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=small_files_only,
        check=False,
    )
    assert full.returncode == 1, full.stderr
    assert "Traceback" not in full.stderr
    assert sum(line.startswith("gradium-batch: ") for line in full.stderr.splitlines()) == 1
    before = server.stats()["answered"]
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
    assert server.stats()["answered"] - before <= 300


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a file system: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_is_full_in_mid_run_costs_nothing_that_was_paid(tmp_path: Path, small_disk: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=400)
    out, ballast = small_disk / "out", small_disk / "ballast"
    ballast.write_bytes(bytes((32 << 20) - 500_000))  # room for a part of the run
    in_flight = 4
    with start_server(latency_s=0.02) as server:
        parts = ("--set", "sink.rows_per_part=20", *IMPATIENT)
        args = ("run", corpus.folder, "--out", out, "--concurrency", str(in_flight), *parts)
        full = batch(*args, server=server)
        assert full.exit == 1, full.stderr
        [sentence] = [line for line in full.stderr.splitlines() if line.startswith("gradium-batch: ")]
        assert "full" in sentence or "No space left" in sentence
        assert 0 < server.stats()["answered"] < 400, "it stopped in mid-run"
        again = batch(*args, server=server)
        assert again.exit == 1, "there is no more room than before"
        assert "Traceback" not in again.stderr
        ballast.unlink()
        mended = batch(*args, server=server)
        assert mended.exit == 0, mended.stderr
        assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
        window = 10  # answers of 50 ms, at 20 ms each and 4 in flight
        assert server.stats()["answered"] - 400 <= 2 * (in_flight + window)


def test_status_tells_how_an_output_stands(server: RunningServer, corpus: Corpus, out: Path) -> None:
    (corpus.folder / "broken.wav").write_text("no audio")
    assert batch("run", corpus.folder, "--out", out, *PARTS, server=server).exit == 3
    found = json.loads(batch("status", out, "--json").stdout)
    assert (found["done"], found["failed"], found["left"]) == (10, 1, 0)
    assert found["credits"] == 15.0
    assert [run["exit"] for run in found["runs"]] == [3, 0]
    [failure] = found["failures"]
    assert (failure["error"], failure["example_id"]) == ("AudioUnreadable", "broken.wav")
    table = batch("status", out).stdout
    assert "-> replace the file by one that plays" in table


@pytest.mark.slow
def test_three_nights_over_a_growing_corpus(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=8)
    poisoned = [corpus.folder / "00002.wav", corpus.folder / "00005.wav"]
    text = "".join(f'[[fault]]\nkind = "policy"\nmessage = "bad audio"\nfile = "{path}"\n' for path in poisoned)
    with start_server(faults=text) as server:
        sent, nights = 0, []
        for night in range(3):
            for number in range(night * 3):
                corpus.add(100 * night + number)
            batch("run", corpus.folder, "--out", out, server=server)
            nights.append(server.stats()["requests"] - sent)
            sent = server.stats()["requests"]
        assert nights == [8, 3, 6], "each night exactly what is new"
    assert errors_of(out).keys() == {path.name for path in poisoned}
    assert "3 runs since it first failed" in batch("status", out).stdout
    summary = json.loads((out / "summary.json").read_text())
    assert summary["failures"][0]["runs"] == 3


def test_a_damaged_part_takes_no_line_out_of_the_jsonl(server: RunningServer, corpus: Corpus, out: Path) -> None:
    before = jsonl_rows_of(out)
    parts = sorted((out / "transcripts").iterdir())
    assert len(parts) > 1
    parts[-1].write_bytes(b"PAR1" + bytes(200) + b"PAR1")
    write_wav(
        corpus.folder / "00000.wav", seed=999
    )  # its row is in the first part: that one and the JSONL are replaced
    result = batch("run", corpus.folder, "--out", out, *PARTS, server=server)
    assert result.exit == 1
    assert "rebuild" in result.stderr
    assert before.keys() - {"00000.wav"} <= jsonl_rows_of(out).keys()
    assert batch("rebuild", out).exit == 0
    assert batch("run", corpus.folder, "--out", out, *PARTS, server=server).exit == 0
    assert rows_of(out).keys() == jsonl_rows_of(out).keys() == corpus.texts.keys()
