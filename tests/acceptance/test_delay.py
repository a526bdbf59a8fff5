"""Times with and without the decoder's delay: which of both a service does is found out, and rows have true times."""

from __future__ import annotations

import json
import shutil
import sqlite3
import wave
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import gradium_batch as gb
from pipeline.server.fingerprint import fingerprint_words
from pipeline.server.options import Times
from tests.batch import RATE, batch, jsonl_of, write_samples, write_wav
from tests.earlier import archive, corpus
from tests.servers import KEY, start_server

FRAME_S = 0.08
SLOW = pytest.mark.slow
WORLDS: dict[Times, str] = {"delayed": "on", "audio": "off"}
Row = dict[str, Any]


def recording(path: Path, seed: int, seconds: float = 2.5, *, quiet: bool = False) -> Path:
    """Noise; `quiet`: with a second of silence on both sides, so that its times are within the audio in both worlds."""
    write_wav(path, seed, seconds)
    if quiet:
        with wave.open(str(path), "rb") as file:
            samples = bytes(2 * RATE) + file.readframes(file.getnframes()) + bytes(2 * RATE)
        write_samples(path, samples, RATE)
    return path


def recordings(folder: Path, count: int, *, quiet: int = 0) -> Path:
    for number in range(count):
        recording(folder / f"a-{number:03d}.wav", number)
    for number in range(quiet):
        recording(folder / f"0-quiet-{number}.wav", 1000 + number, quiet=True)
    return folder


def published(out: Path) -> list[Row]:
    """The rows, which are the same in both formats."""
    rows = sorted(jsonl_of(out), key=lambda row: str(row["id"]))
    parts = pq.read_table(out / "transcripts").sort_by("id").to_pylist()
    assert [(row["id"], row["words"], row["segments"], row["issues"]) for row in parts] == [
        (row["id"], row["words"], row["segments"], row["issues"]) for row in rows
    ]
    assert len({row["id"] for row in rows}) == len(rows)
    return rows


def off_by(rows: list[Row]) -> float:
    """How far the worst time is from the truth, which the recordings tell."""
    worst = 0.0
    for row in rows:
        with wave.open(row["audio"], "rb") as file:
            true = fingerprint_words(file.readframes(file.getnframes()), RATE)
        assert [word["text"] for word in row["words"]] == [text for text, _, _ in true]
        for word, (_, start_s, stop_s) in zip(row["words"], true, strict=True):
            worst = max(worst, abs(word["start_s"] - start_s), abs(word["stop_s"] - stop_s))
        assert [segment["start_s"] for segment in row["segments"]][:1] == [word["start_s"] for word in row["words"]][:1]
    assert rows
    return worst


def told(out: Path) -> tuple[str, bool, str | None]:
    found = json.loads((out / "summary.json").read_text())["delay_correction"]
    asked = json.loads(batch("status", out, "--json").stdout)["delay_correction"]
    assert asked == found
    return found["applied"], found["decided"], found["decided_by"]


def with_delay(frames: int, *more: str) -> tuple[str, ...]:
    return ("--set", f"service.json_config.delay_in_frames={frames}", "--set", "sink.rows_per_part=2", *more)


@pytest.mark.parametrize(
    ("count", "delay"), [(3, 7), (26, 48), pytest.param(3, 48, marks=SLOW), pytest.param(26, 7, marks=SLOW)]
)
@pytest.mark.parametrize("times", WORLDS)
def test_auto_finds_out_which_it_is(tmp_path: Path, times: Times, delay: int, count: int) -> None:
    folder, out = recordings(tmp_path / "audio", count), tmp_path / "out"
    shutil.copy(folder / "a-001.wav", folder / "copy.wav")
    with start_server(times=times) as server:
        done = batch("run", folder, "--out", out, *with_delay(delay), server=server)
        assert done.exit == 0
        rows = published(out)
        assert len(rows) == count + 1
        assert off_by(rows) <= FRAME_S
        assert {row["status"] for row in rows} == {"ok"}
        assert told(out) == (WORLDS[times], count >= 20, "answers" if count >= 20 else None)
        assert ("not taken off the times" in done.stderr) == (times == "audio")
        again = batch("run", folder, "--out", out, *with_delay(delay), server=server)
        assert (again.exit, published(out)) == (0, rows)
        assert server.stats()["requests"] == count


@pytest.mark.slow
def test_what_was_published_before_the_evidence_came_is_mended(tmp_path: Path) -> None:
    folder, out = recordings(tmp_path / "audio", 2, quiet=3), tmp_path / "out"
    options = ("--set", "sink.rows_per_part=1", "--set", "pool.concurrency=1", *with_delay(7)[:2])
    with start_server(times="audio", latency_s=0.4) as server:  # the long ones are answered first, and published
        assert batch("run", folder, "--out", out, *options, server=server).exit == 0
    rows = published(out)
    assert len(rows) == 5
    assert off_by(rows) <= 0.001
    assert {row["status"] for row in rows} == {"ok"}
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db:
        assert db.execute("SELECT DISTINCT applied FROM subtracted").fetchall() == [(0,)]
        assert db.execute("SELECT sum(suspect) FROM utterances").fetchone() == (0,)


def test_clips_spans_channels_and_lead_silence_are_the_same_in_both_worlds(tmp_path: Path) -> None:
    folder = tmp_path / "audio"
    for number in range(3):
        recording(folder / f"{number}.wav", number, 13.3)
    manifest = tmp_path / "rows.csv"
    spans = ["0.wav,,", "0.wav,1.25,7", "1.wav,,", "1.wav,6,", "2.wav,3.5,2.125"]
    lines = [f"r{number},audio/{span}" for number, span in enumerate(spans)]
    manifest.write_text("\n".join(["id,audio,offset_s,duration_s", *lines]))
    found: dict[str, list[Row]] = {}
    options = with_delay(16, "--set", "audio.max_clip_s=5", "--set", "audio.lead_silence_s=0.32")
    for times, expected in WORLDS.items():
        with start_server(times=times) as server:
            out = tmp_path / times
            assert batch("run", manifest, "--out", out, *options, server=server).exit == 0
            found[times] = published(out)
            assert told(out)[0] == expected
            counted = json.loads((out / "summary.json").read_text())["delay_correction"]
            assert counted["answers_off" if times == "delayed" else "answers_on"] == 0
            assert counted["answers_on" if times == "delayed" else "answers_off"] >= 10
    assert [row["issues"] for row in found["delayed"]] == [[]] * 5, "what is in the silence in front is not outside"
    for one, other in zip(found["delayed"], found["audio"], strict=True):
        assert [one[name] for name in ("id", "text", "issues")] == [other[name] for name in ("id", "text", "issues")]
        for kind in ("words", "segments"):
            for this, that in zip(one[kind], other[kind], strict=True):
                # the server rounds what it says
                assert (this["start_s"], this["stop_s"]) == pytest.approx((that["start_s"], that["stop_s"]), abs=0.0011)
        assert max(word["clip"] for word in one["words"]) == [3, 2, 3, 2, 0][int(one["id"][1:])]


def test_a_service_with_another_delay_than_asked_for(tmp_path: Path) -> None:
    folder, out = recordings(tmp_path / "audio", 4), tmp_path / "out"
    with start_server(faults='[[fault]]\nkind = "other_delay"\ndelay_in_frames = 24') as server:
        assert batch("run", folder, "--out", out, *with_delay(7), server=server).exit == 0
    assert off_by(published(out)) <= FRAME_S
    assert told(out)[0] == "on"


@pytest.mark.slow
def test_rebuild_puts_it_back_and_takes_it_off_without_paying(tmp_path: Path) -> None:
    folder, out = recordings(tmp_path / "audio", 24), tmp_path / "out"
    with start_server() as server:
        options = with_delay(16)
        assert batch("run", folder, "--out", out, *options, server=server).exit == 0
        right, sent = published(out), server.stats()["requests"]
        done = batch("rebuild", out, "--delay-correction", "off")
        assert (done.exit, "24 transcripts changed" in done.stdout) == (0, True)
        wrong = published(out)
        assert off_by(wrong) > 1.0
        assert {row["status"] for row in wrong} == {"suspect"}
        assert [*out.glob("*.old*")] == [], "the checkpoint stayed"
        later = batch("run", folder, "--out", out, *options, server=server)
        assert (later.exit, published(out)) == (0, wrong)
        assert told(out) == ("off", True, "rebuild")
        assert '"suspect": 24' in (out / "summary.json").read_text()
        assert batch("rebuild", out, "--delay-correction", "on").exit == 0
        again = batch("rebuild", out, "--delay-correction", "on")
        assert (again.exit, "0 transcripts changed" in again.stdout) == (0, True)
        assert published(out) == right
        assert server.stats()["requests"] == sent


def test_a_setting_holds_for_new_answers_and_tells_of_the_others(tmp_path: Path) -> None:
    folder, out = recordings(tmp_path / "audio", 3), tmp_path / "out"
    with start_server() as server:
        assert batch("run", folder, "--out", out, *with_delay(16), server=server).exit == 0
        before = published(out)
        recording(folder / "new.wav", 99)
        off = ("--set", "service.delay_correction=off")
        done = batch("run", folder, "--out", out, *with_delay(16), *off, server=server)
        command = f"gradium-batch rebuild {out} --delay-correction off"
        assert (done.exit, done.stderr.count(command)) == (0, 1)
        rows = published(out)
        assert [row for row in rows if not row["id"].startswith("new")] == before
        assert off_by([row for row in rows if row["id"].startswith("new")]) == pytest.approx(1.28, abs=0.01)
        assert "not so in 1 transcript, as service.delay_correction said" in done.stderr
        assert server.stats()["requests"] == 4
        assert batch("rebuild", out, "--delay-correction", "on").exit == 0
        assert off_by(published(out)) <= FRAME_S
        assert "not so in" not in batch("status", out).stdout


def test_a_setting_against_the_answers_is_told_once_and_no_doubt_about_them(tmp_path: Path) -> None:
    folder, out = recordings(tmp_path / "audio", 45), tmp_path / "out"
    with start_server() as server:
        args = ("run", folder, "--out", out, *with_delay(16), "--set", "service.delay_correction=off")
        done = batch(*args, server=server)
    assert done.stderr.count("; nothing is taken off them, as service.delay_correction says") == 1
    assert "not so in 45 transcripts, as service.delay_correction said" in done.stderr
    assert "speak against" not in done.stderr


def test_a_setting_decides_nothing_for_later_runs(tmp_path: Path) -> None:
    folder, out = recordings(tmp_path / "audio", 0, quiet=1), tmp_path / "out"
    with start_server(times="audio") as server:
        args = ("run", folder, "--out", out, *with_delay(7))
        assert batch(*args, "--set", "service.delay_correction=on", server=server).exit == 0
        assert told(out) == ("on", False, None)
        recordings(folder, 3)
        done = batch(*args, server=server)
        assert told(out) == ("off", False, None)
    assert f"gradium-batch rebuild {out} --delay-correction off" not in done.stderr, "there was no other kind before"
    assert off_by([row for row in published(out) if "quiet" not in row["id"]]) <= 0.001


@pytest.mark.parametrize("times", ["audio", pytest.param("delayed", marks=SLOW)])
def test_a_lost_checkpoint_leaves_new_rows_the_times_of_the_others(tmp_path: Path, times: Times) -> None:
    folder, out = recordings(tmp_path / "audio", 3), tmp_path / "out"
    with start_server(times=times) as server:
        assert batch("run", folder, "--out", out, *with_delay(16), server=server).exit == 0
        (out / "checkpoint.sqlite").unlink()
        assert batch("rebuild", out).exit == 0
        recording(folder / "0-quiet.wav", 99, quiet=True)
        done = batch("run", folder, "--out", out, *with_delay(16), server=server)
        assert (done.exit, server.stats()["requests"]) == (0, 4)
    assert told(out) == (WORLDS[times], True, "earlier transcripts")
    assert off_by(published(out)) <= 0.001


@pytest.mark.slow
def test_an_output_of_the_version_before_stays_as_it_was(tmp_path: Path) -> None:
    manifest, out = archive.unpack("both", tmp_path)
    with start_server(times="audio") as server:
        done = batch("run", manifest, "--out", out, *corpus.SETTINGS, server=server)
        assert done.exit in (0, 3)
        assert told(out) == ("on", True, "earlier transcripts")
        for number in range(24):
            recording(tmp_path / "more" / f"{number}.wav", number)
        more = batch("run", tmp_path / "more", "--out", out, *corpus.SETTINGS, server=server)
        assert more.stderr.count(f"gradium-batch rebuild {out} --delay-correction off") == 1
        assert told(out) == ("on", True, "earlier transcripts")
        assert json.loads((out / "summary.json").read_text())["delay_correction"]["doubted"] is True
        recording(tmp_path / "more" / "24.wav", 24)
        again = batch("run", tmp_path / "more", "--out", out, *corpus.SETTINGS, server=server)
        assert again.stderr.count(f"gradium-batch rebuild {out} --delay-correction off") == 1, "once in each run"
        rows = {row["id"]: row for row in published(out)}
        assert "times_outside_audio" in rows["3.wav"]["issues"]
        done = batch("rebuild", out, "--delay-correction", "off")
        assert f"an earlier version recorded nothing to undo: {len(rows) - 25}\n" in done.stdout
        later = {row["id"]: row for row in published(out)}
    assert off_by([later[f"{number}.wav"] for number in range(25)]) <= FRAME_S
    assert later["one"] == rows["one"]


@pytest.mark.parametrize("times", ["audio", pytest.param("delayed", marks=SLOW)])
def test_without_evidence_it_is_on_until_a_later_run_finds_some(tmp_path: Path, times: Times) -> None:
    folder, out = recordings(tmp_path / "audio", 0, quiet=2), tmp_path / "out"
    with start_server(times=times) as server:
        assert batch("run", folder, "--out", out, *with_delay(7), "--limit", "1", server=server).exit == 4
        done = batch("run", folder, "--out", out, *with_delay(7), server=server)
        assert told(out) == ("on", False, None)
        assert "taken off the times (no answer has told so far)" in done.stderr
        assert off_by(published(out)) == pytest.approx(0 if times == "delayed" else 0.56, abs=0.001)
        recordings(folder, 3)
        assert batch("run", folder, "--out", out, *with_delay(7), server=server).exit == 0
        assert told(out) == (WORLDS[times], False, None)
        assert server.stats()["requests"] == 5
    assert off_by(published(out)) <= 0.001


@pytest.mark.parametrize("times", ["audio", pytest.param("delayed", marks=SLOW)])
def test_the_library_finds_out_too(tmp_path: Path, times: Times, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIUM_API_KEY", KEY)
    folder, out = recordings(tmp_path / "audio", 4), tmp_path / "out"
    with start_server(times=times) as server:
        settings = {"service": {"url": server.url, "json_config": {"delay_in_frames": 48}}}
        result = gb.transcribe(folder, out, settings=settings)
    found = result.figures.delay_correction
    assert found is not None
    assert (found.applied, found.decided) == (WORLDS[times], False)
    assert gb.status(out).delay_correction == found
    assert [word.start_s for row in gb.read(out) for word in row.words] == pytest.approx([0.0, 1.0, 2.0] * 4)
    assert off_by(published(out)) <= FRAME_S
