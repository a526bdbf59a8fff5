"""Clips answer to the samples they carry: what was answered of a recording is not paid again, however it is cut."""

from __future__ import annotations

import csv
import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.clips import ClipResult
from tests.batch import Finished, batch, finish, start_batch, table_of
from tests.beeps import RECOGNIZER, beeps, talk, texts, write
from tests.servers import RunningServer, start_server, wait_for_answers

FAILS_ONCE = '[[fault]]\nkind = "internal_error"\nafter_requests = 2\nuntil_requests = 3'
CREDITS_PER_S = 3


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """The third request, and no other, gets no answer."""
    with start_server(recognizer=RECOGNIZER, faults=FAILS_ONCE) as running:
        yield running


def run(server: RunningServer, manifest: Path, out: Path, **audio: object) -> Finished:
    return batch("run", manifest, "--out", out, *set_of(audio), "--concurrency", "1", server=server)


def check(server: RunningServer, manifest: Path, out: Path, **audio: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        batch("check", manifest, "--out", out, "--json", *set_of(audio), server=server).stdout
    )
    return found


def set_of(audio: dict[str, object]) -> list[str]:
    options = ["--set", "retry.max_attempts=1"]
    for key, value in audio.items():
        options += ["--set", f"audio.{key}={value}"]
    return options


def answered_by_run(out: Path) -> list[float]:
    """Credits of the answered requests of each run."""
    runs: dict[str, float] = {}
    for row in table_of(out, "attempts").to_pylist():
        runs[row["run_id"]] = runs.get(row["run_id"], 0.0) + (row["credits"] if row["outcome"] == "ok" else 0.0)
    return [runs[run_id] for run_id in sorted(runs)]


def row_of(out: Path) -> dict[str, Any]:
    [row] = table_of(out).to_pylist()
    assert isinstance(row, dict)
    return row


def assert_words(row: dict[str, Any], said: list[tuple[str, float]]) -> None:
    assert row["text"] == texts(said)
    for word, (_, start_s) in zip(row["words"], said, strict=True):
        assert abs(word["start_s"] - start_s) < 0.08
    assert {word["clip"] for word in row["words"]} <= set(range(len(row["request_ids"])))


@pytest.mark.slow
@pytest.mark.parametrize("max_clip_s", [6, 25, 300])
def test_a_partly_answered_recording_is_cut_around_what_is_answered(
    server: RunningServer, tmp_path: Path, out: Path, max_clip_s: int
) -> None:
    said = talk(60, seed=21)
    write(tmp_path / "audio/long.wav", beeps(said, 60, 24_000))
    assert run(server, tmp_path / "audio", out, max_clip_s=10).exit == 3
    [before] = answered_by_run(out)
    told = check(server, tmp_path / "audio", out, max_clip_s=max_clip_s)
    assert told["credits"] == pytest.approx(60 * CREDITS_PER_S - before, rel=0.01)

    sent = server.stats()["requests"]
    assert run(server, tmp_path / "audio", out, max_clip_s=max_clip_s).exit == 0
    assert sum(answered_by_run(out)) == pytest.approx(60 * CREDITS_PER_S, rel=0.001)
    assert server.stats()["requests"] - sent == told["requests"]
    row = row_of(out)
    assert_words(row, said)
    assert len(row["request_ids"]) == told["requests"] + told["answered_clips"]
    assert "sent    nothing" in run(server, tmp_path / "audio", out, max_clip_s=max_clip_s).stderr


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "subtype", "upload"), [("a.mp3", "MPEG_LAYER_III", "auto"), ("a.wav", "PCM_16", "opus")]
)
def test_what_is_answered_is_known_in_every_form(
    server: RunningServer, tmp_path: Path, out: Path, name: str, subtype: str, upload: str
) -> None:
    """The header of an MP3 tells its length only nearly, and it is priced rightly all the same."""
    said = talk(40, seed=22)
    write(tmp_path / "audio" / name, beeps(said, 40, 24_000), subtype=subtype)
    assert run(server, tmp_path / "audio", out, max_clip_s=10, upload=upload).exit == 3
    told = check(server, tmp_path / "audio", out, max_clip_s=7, upload=upload)
    assert told["answered_clips"] == len(spans_of(out))
    assert run(server, tmp_path / "audio", out, max_clip_s=7, upload=upload).exit == 0
    assert sum(answered_by_run(out)) == pytest.approx(40 * CREDITS_PER_S, rel=0.01)
    assert told["credits"] == pytest.approx(answered_by_run(out)[1], rel=0.01)
    assert row_of(out)["text"] == texts(said)


@pytest.mark.slow
def test_channels_that_are_split_mixed_and_split_again_are_each_paid_once(tmp_path: Path, out: Path) -> None:
    left, right = talk(20, seed=23), talk(20, seed=24)
    write(tmp_path / "audio/call.wav", beeps(left, 20, 24_000), beeps(right, 20, 24_000))
    fails = FAILS_ONCE.replace("2", "1").replace("3", "2")
    with start_server(recognizer=RECOGNIZER, faults=fails) as server:
        assert run(server, tmp_path / "audio", out, channels="split").exit == 3
        told = check(server, tmp_path / "audio", out, channels="mix")
        assert (told["answered_clips"], told["credits"]) == (0, pytest.approx(60, rel=0.01))
        assert json.loads(batch("status", out, "--json").stdout)["waiting_clips"] == 1
        assert run(server, tmp_path / "audio", out, channels="mix").exit == 0
        assert json.loads(batch("status", out, "--json").stdout)["waiting_clips"] == 0
        told = check(server, tmp_path / "audio", out, channels="split")
        assert (told["answered_clips"], told["credits"]) == (1, pytest.approx(60, rel=0.01))
        assert run(server, tmp_path / "audio", out, channels="split").exit == 0
        assert answered_by_run(out) == pytest.approx([60, 60, 60], rel=0.01)
    row = row_of(out)
    for channel, said in enumerate((left, right)):
        assert " ".join(word["text"] for word in row["words"] if word["channel"] == channel) == texts(said)


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize(
    ("channels", "before", "after"), [(2, "first", "split"), (1, "mix", "split"), (1, "split", "first")]
)
def test_a_channel_is_the_same_samples_under_other_settings(
    server: RunningServer, tmp_path: Path, out: Path, channels: int, before: str, after: str
) -> None:
    sound = [beeps(talk(30, seed=25 + channel), 30, 24_000) for channel in range(channels)]
    write(tmp_path / "audio/call.wav", *sound)
    assert run(server, tmp_path / "audio", out, max_clip_s=8, channels=before).exit == 3
    assert run(server, tmp_path / "audio", out, max_clip_s=8, channels=after).exit == 0
    assert sum(answered_by_run(out)) == pytest.approx(90 * channels, rel=0.001)


@pytest.mark.slow
def test_a_row_that_begins_elsewhere_uses_what_lies_inside_it(server: RunningServer, tmp_path: Path, out: Path) -> None:
    said = talk(60, seed=28)
    write(tmp_path / "a.wav", beeps(said, 60, 24_000))
    manifest = tmp_path / "rows.csv"

    def row(offset_s: float, duration_s: float) -> Path:
        with manifest.open("w", newline="") as file:
            csv.writer(file).writerows(
                [("id", "audio", "offset_s", "duration_s"), ("a", "a.wav", offset_s, duration_s)]
            )
        return manifest

    assert run(server, row(0, 60), out, max_clip_s=10).exit == 3
    spans = spans_of(out)
    edge = said[len(said) // 3][1] - 0.05
    moved = row(edge, 60 - edge)
    told = check(server, moved, out, max_clip_s=10)
    assert run(server, moved, out, max_clip_s=10).exit == 0
    inside = sum(samples for first, samples in spans if first >= edge * 24_000) / 24_000
    assert inside > 10
    assert answered_by_run(out)[1] == pytest.approx(CREDITS_PER_S * (60 - edge - inside), rel=0.001)
    assert told["credits"] == pytest.approx(answered_by_run(out)[1], rel=0.01)
    assert_words(row_of(out), [(word, at - edge) for word, at in said if at >= edge])


def test_a_scrap_beside_what_is_answered_is_paid_by_itself(server: RunningServer, tmp_path: Path, out: Path) -> None:
    said = talk(30, seed=37)
    write(tmp_path / "a.wav", beeps(said, 30, 24_000))
    manifest = tmp_path / "rows.csv"

    def row(duration_s: float) -> Path:
        manifest.write_text(f"id,audio,duration_s\na,a.wav,{duration_s:.6f}\n")
        return manifest

    assert run(server, row(30), out, max_clip_s=10).exit == 3
    end, used = 0, 0
    for first, samples in spans_of(out):
        if first == end:
            end, used = end + samples, used + 1
    longer = row((end + 1_200) / 24_000)
    told = check(server, longer, out, max_clip_s=10)
    assert (told["requests"], told["credits"], told["answered_clips"]) == (1, 1.5, used)
    assert run(server, longer, out, max_clip_s=10).exit == 0
    assert answered_by_run(out)[1] == pytest.approx(1.5)
    assert row_of(out)["status"] == "ok", "nobody says a word in 50 ms"
    assert_words(row_of(out), [(word, at) for word, at in said if at < end / 24_000])


@pytest.mark.slow
def test_another_model_is_another_answer(server: RunningServer, tmp_path: Path, out: Path) -> None:
    write(tmp_path / "audio/long.wav", beeps(talk(30, seed=29), 30, 24_000))
    assert run(server, tmp_path / "audio", out, max_clip_s=8).exit == 3
    more = ("--set", "service.json_config.temp=0.5")
    args = (tmp_path / "audio", "--out", out, *set_of({"max_clip_s": 8}), *more)
    assert json.loads(batch("check", *args, "--json", server=server).stdout)["credits"] == pytest.approx(90, rel=0.001)
    assert batch("run", *args, server=server).exit == 0
    assert answered_by_run(out)[1] == pytest.approx(90, rel=0.001)


@pytest.mark.slow
@pytest.mark.slow
def test_what_is_asked_for_again_is_sent_again(server: RunningServer, tmp_path: Path, out: Path) -> None:
    said = talk(30, seed=30)
    write(tmp_path / "audio/call.wav", beeps(said, 30, 24_000), beeps(talk(30, seed=31), 30, 24_000))
    assert run(server, tmp_path / "audio", out, max_clip_s=8, channels="split").exit == 3
    assert run(server, tmp_path / "audio", out, max_clip_s=8, channels="first").exit == 0
    args = (tmp_path / "audio", "--out", out, "--only", "all", *set_of({"max_clip_s": 8, "channels": "first"}))
    assert json.loads(batch("check", *args, "--json", server=server).stdout)["credits"] == pytest.approx(90, rel=0.001)
    assert batch("run", *args, server=server).exit == 0
    assert answered_by_run(out)[2] == pytest.approx(90, rel=0.001)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 2])
def test_answers_of_an_older_version_are_found(server: RunningServer, tmp_path: Path, out: Path, channels: int) -> None:
    """They were kept under the identity, and a mix was called 0."""
    sound = [beeps(talk(30, seed=32 + channel), 30, 24_000) for channel in range(channels)]
    write(tmp_path / "audio/long.wav", *sound)
    assert run(server, tmp_path / "audio", out, max_clip_s=8).exit == 3
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db, db:
        for rowid, key, blob, config in db.execute("SELECT rowid, key, row, config FROM clips").fetchall():
            result = msgspec.msgpack.decode(blob, type=ClipResult)
            span = f"0:{result.key.partition(':')[2]}"
            old = msgspec.to_builtins(msgspec.structs.replace(result, key=span))
            del old["start_s"]
            db.execute(
                "UPDATE clips SET key = ?, span = ?, row = ? WHERE rowid = ?",
                (f"{key.partition(':')[0]}:{config}", span, msgspec.msgpack.encode(old), rowid),
            )
    told = check(server, tmp_path / "audio", out, max_clip_s=20)
    assert run(server, tmp_path / "audio", out, max_clip_s=20).exit == 0
    assert sum(answered_by_run(out)) == pytest.approx(90, rel=0.001)
    assert told["credits"] == pytest.approx(answered_by_run(out)[1], rel=0.01)
    assert not spans_of(out)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["deleted", "damaged", "kept"])
def test_answered_clips_outlive_the_checkpoint(server: RunningServer, tmp_path: Path, out: Path, how: str) -> None:
    said = talk(60, seed=34)
    write(tmp_path / "audio/long.wav", beeps(said, 60, 24_000))
    assert run(server, tmp_path / "audio", out, max_clip_s=10).exit == 3
    answered = len(spans_of(out))
    assert len((out / "clips.jsonl").read_text().splitlines()) == answered > 3
    if how == "deleted":
        for path in out.glob("checkpoint.sqlite*"):
            path.unlink()
        refused = run(server, tmp_path / "audio", out, max_clip_s=10)
        assert refused.exit == 1
        assert f"gradium-batch rebuild {out}" in refused.stderr
    elif how == "damaged":
        (out / "checkpoint.sqlite").write_bytes(b"no database")
    made = batch("rebuild", out, *(["--force"] if how == "kept" else []))
    assert made.exit == 0, made.stderr
    assert f"{answered} answered clips" in made.stdout
    assert json.loads(batch("status", out, "--json").stdout)["failed"] == 1
    told = check(server, tmp_path / "audio", out, max_clip_s=10)
    assert told["answered_clips"] == answered
    assert run(server, tmp_path / "audio", out, max_clip_s=10).exit == 0
    assert sum(answered_by_run(out)) == pytest.approx(180, rel=0.001)
    assert_words(row_of(out), said)
    assert not (out / "clips.jsonl").exists(), "no recording waits for the rest of its answers"


@pytest.mark.slow
def test_answered_clips_of_a_stopped_run_outlive_the_checkpoint(tmp_path: Path, out: Path) -> None:
    """Nothing else tells of the recording: it neither failed nor is done."""
    said = talk(60, seed=36)
    write(tmp_path / "audio/long.wav", beeps(said, 60, 24_000))
    args = ("run", tmp_path / "audio", "--out", out, *set_of({"max_clip_s": 10}), "--concurrency", "1")
    with start_server(recognizer=RECOGNIZER, latency_s=0.2) as server:
        process = start_batch(*args, server=server)
        wait_for_answers(server, 2)
        process.send_signal(signal.SIGTERM)
        assert finish(process).exit == 143
        for path in out.glob("checkpoint.sqlite*"):
            path.unlink()
        assert batch("rebuild", out).exit == 0
        assert json.loads(batch("status", out, "--json").stdout)["left"] == 1
        assert check(server, tmp_path / "audio", out, max_clip_s=10)["answered_clips"] == len(spans_of(out)) >= 2
        assert batch(*args, server=server).exit == 0
    assert sum(answered_by_run(out)) == pytest.approx(180, rel=0.001)
    assert_words(row_of(out), said)


@pytest.mark.slow
@pytest.mark.slow
def test_a_rebuild_does_not_bring_back_what_a_transcript_holds(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    write(tmp_path / "audio/long.wav", beeps(talk(30, seed=35), 30, 24_000))
    assert run(server, tmp_path / "audio", out, max_clip_s=8).exit == 3
    before = (out / "clips.jsonl").read_bytes()
    assert run(server, tmp_path / "audio", out, max_clip_s=8).exit == 0
    (out / "clips.jsonl").write_bytes(before[:-20])  # a power cut, before the file was written anew
    made = batch("rebuild", out, "--force")
    assert ", 0 answered clips" in made.stdout
    assert run(server, tmp_path / "audio", out, max_clip_s=8).exit == 0
    assert not (out / "clips.jsonl").exists()


def spans_of(out: Path) -> list[tuple[int, int]]:
    """(first sample, samples) of each answered clip that waits."""
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db:
        found = [span.partition(":")[2].split("+") for (span,) in db.execute("SELECT span FROM clips")]
    return sorted((int(first), int(samples)) for first, samples in found)
