"""Audio of any length and form through the command: long recordings, spans, channels, and what is put in front."""

from __future__ import annotations

import csv
import hashlib
import json
import random
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.batch import (
    COMMAND,
    Finished,
    batch,
    environment,
    errors_of,
    finish,
    jsonl_rows_of,
    rows_of,
    start_batch,
    table_of,
)
from tests.beeps import BEEP_S, RECOGNIZER, WORDS, beeps, talk, texts, write
from tests.servers import RunningServer, start_server, wait_for_answers

FRAME_S = 0.08


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with start_server(recognizer=RECOGNIZER) as running:
        yield running


def run(server: RunningServer, manifest: Path, out: Path, *more: str) -> Finished:
    return batch("run", manifest, "--out", out, *more, server=server)


def row_of(out: Path, id_: str) -> dict[str, Any]:
    [row] = [row for row in table_of(out).to_pylist() if row["id"] == id_]
    return row


def assert_words(row: dict[str, Any], said: list[tuple[str, float]], *, within_s: float = FRAME_S) -> None:
    """The words are these, in order, at their times."""
    assert row["text"] == texts(said)
    for word, (_, start_s) in zip(row["words"], said, strict=True):
        assert abs(word["start_s"] - start_s) < within_s
        assert abs(word["stop_s"] - start_s - BEEP_S) < within_s


def rows_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_long_recording_is_split_at_pauses_and_its_words_are_back_on_its_clock(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    said = talk(200, seed=1)
    write(tmp_path / "audio/meeting.flac", beeps(said, 200, 44_100), rate=44_100)
    before = server.stats()["requests"]
    result = run(server, tmp_path / "audio", out, "--set", "audio.max_clip_s=30")
    assert result.exit == 0, result.stderr
    row = row_of(out, "meeting.flac")
    assert_words(row, said)
    assert row["duration_s"] == pytest.approx(200, abs=0.001)
    assert row["credits"] == pytest.approx(600, abs=0.1)
    clips = {word["clip"] for word in row["words"]}
    assert 7 <= len(clips) <= 12
    assert server.stats()["requests"] - before == len(clips) == row["attempts"] == len(row["request_ids"])
    assert row["status"] == "ok"
    assert not (out / ".spool").exists()
    assert "sent    nothing" in run(server, tmp_path / "audio", out, "--set", "audio.max_clip_s=30").stderr


@pytest.mark.slow
def test_a_killed_run_sends_only_the_clips_that_have_no_answer(tmp_path: Path, out: Path) -> None:
    said = talk(120, seed=2)
    write(tmp_path / "audio/long.wav", beeps(said, 120, 16_000), rate=16_000)
    with start_server(recognizer=RECOGNIZER, latency_s=0.3) as slow:
        args = ("run", tmp_path / "audio", "--out", out, "--concurrency", "2", "--set", "audio.max_clip_s=10")
        process = start_batch(*args, server=slow)
        wait_for_answers(slow, 7)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert batch(*args, server=slow).exit == 0
        row = row_of(out, "long.wav")
        assert_words(row, said)
        clips = len(row["request_ids"])
        assert clips >= 12
        # those in flight and those of the last commit window may have been sent twice
        assert slow.stats()["requests"] <= clips + 2 + 2
        assert jsonl_rows_of(out) == rows_of(out)


@pytest.mark.slow
def test_a_failed_clip_costs_that_clip_only(tmp_path: Path, out: Path) -> None:
    said = talk(60, seed=3)
    write(tmp_path / "audio/long.wav", beeps(said, 60, 24_000))
    args = ("run", tmp_path / "audio", "--out", out, "--set", "audio.max_clip_s=10")
    refuse = '[[fault]]\nkind = "policy"\nmessage = "bad audio"\nafter_requests = 2\nuntil_requests = 3'
    with start_server(recognizer=RECOGNIZER, faults=refuse) as server:
        result = batch(*args, server=server)
        assert result.exit == 3
        assert errors_of(out) == {"long.wav": "AudioRefused"}
        sent = server.stats()["requests"]
        again = batch(*args, "--only", "failed", server=server)
        assert again.exit == 0, again.stderr
        assert server.stats()["requests"] == sent + 1
        assert_words(row_of(out, "long.wav"), said)
        assert errors_of(out) == {}


@pytest.mark.slow
def test_a_stopped_run_keeps_the_answered_clips(tmp_path: Path, out: Path) -> None:
    said = talk(60, seed=4)
    write(tmp_path / "audio/long.wav", beeps(said, 60, 24_000))
    args = ("run", tmp_path / "audio", "--out", out, "--set", "audio.max_clip_s=10", "--concurrency", "1")
    with start_server(recognizer=RECOGNIZER, latency_s=0.2) as server:
        process = start_batch(*args, server=server)
        wait_for_answers(server, 2)
        process.send_signal(signal.SIGTERM)
        assert finish(process).exit == 143
        kept = json.loads(batch("check", tmp_path / "audio", "--out", out, "--json", *args[4:6], server=server).stdout)
        told = json.loads(batch("status", out, "--json").stdout)
        assert kept["answered_clips"] == told["waiting_clips"] == server.stats()["answered"]
        assert kept["credits"] + told["waiting_credits"] == pytest.approx(180, abs=0.1)
        answered = server.stats()["answered"]
        assert batch(*args, server=server).exit == 0
        row = row_of(out, "long.wav")
        assert_words(row, said)
        assert server.stats()["requests"] == len(row["request_ids"])
        assert answered < len(row["request_ids"])


def test_rows_may_be_spans_of_recordings(server: RunningServer, tmp_path: Path, out: Path) -> None:
    rows, expected = [], {}
    for recording in range(2):
        said = talk(60, seed=10 + recording)
        write(tmp_path / f"{recording}.ogg", beeps(said, 60, 48_000), rate=48_000, subtype="VORBIS")
        for number, start in enumerate(range(0, 60, 4)):
            inside = [(word, at - start) for word, at in said if start <= at and at + BEEP_S <= start + 4]
            cut = [at for _, at in said if start - BEEP_S < at < start or start + 4 - BEEP_S < at < start + 4]
            rows.append(
                {"id": f"{recording}-{number}", "audio": f"{recording}.ogg", "offset_s": start, "duration_s": 4}
            )
            if not cut:
                expected[f"{recording}-{number}"] = inside
    assert len(expected) > 10
    result = run(server, rows_csv(tmp_path / "rows.csv", rows), out)
    assert result.exit == 0, result.stderr
    for id_, said in expected.items():
        row = row_of(out, id_)
        assert_words(row, said)
        assert row["duration_s"] == pytest.approx(4)


@pytest.mark.slow
def test_a_thousand_spans_of_ten_recordings_decode_each_once(server: RunningServer, tmp_path: Path, out: Path) -> None:
    rows, expected = [], {}
    for recording in range(10):
        # a word a second at a known place: row and word go together
        said = [(WORDS[(recording + second) % len(WORDS)], second + 0.4) for second in range(100)]
        write(tmp_path / f"{recording}.flac", beeps(said, 100, 16_000), rate=16_000)
        for second, (word, _) in enumerate(said):
            id_ = f"{recording}-{second}"
            rows.append({"id": id_, "audio": f"{recording}.flac", "offset_s": second, "duration_s": 1})
            expected[id_] = word
    random.Random(1).shuffle(rows)
    result = run(server, rows_csv(tmp_path / "rows.csv", rows), out, "--log-format", "json")
    assert result.exit == 0, result.stderr
    decoded = [line for line in result.stderr.splitlines() if '"decoded ' in line]
    assert len(decoded) == 10
    assert rows_of(out) == expected
    assert {round(row["words"][0]["start_s"], 1) for row in table_of(out).to_pylist()} == {0.4}


def test_a_span_outside_of_its_recording_is_told(server: RunningServer, tmp_path: Path, out: Path) -> None:
    write(tmp_path / "a.wav", beeps(talk(5, seed=5), 5, 24_000))
    rows = [
        {"id": "behind", "audio": "a.wav", "offset_s": 9, "duration_s": 1, "channel": ""},
        {"id": "beyond", "audio": "a.wav", "offset_s": 4, "duration_s": 9, "channel": ""},
        {"id": "channel", "audio": "a.wav", "offset_s": "", "duration_s": "", "channel": 3},
        {"id": "rounded", "audio": "a.wav", "offset_s": 0, "duration_s": 5.2, "channel": 0},
    ]
    before = server.stats()["requests"]
    result = run(server, rows_csv(tmp_path / "rows.csv", rows), out)
    assert result.exit == 3
    assert errors_of(out) == dict.fromkeys(("behind", "beyond", "channel"), "SpanOutside")
    assert "the row begins at 9.00 s, the recording ends at 5.00 s" in result.stderr
    assert server.stats()["requests"] - before == 1
    assert list(rows_of(out)) == ["rounded"]


def test_each_channel_of_a_call_by_itself(server: RunningServer, tmp_path: Path, out: Path) -> None:
    agent, customer = talk(40, seed=6), talk(40, seed=7)
    write(tmp_path / "audio/call.wav", beeps(agent, 40, 8_000), beeps(customer, 40, 8_000), rate=8_000, subtype="ALAW")
    mono = beeps(agent, 40, 8_000)
    write(tmp_path / "audio/mono.wav", mono, mono, rate=8_000)
    before = server.stats()["requests"]
    result = run(server, tmp_path / "audio", out, "--set", "audio.channels=split")
    assert result.exit == 0, result.stderr
    assert server.stats()["requests"] - before == 3  # a mono track in stereo clothes is paid once
    row = row_of(out, "call.wav")
    times = [word["start_s"] for word in row["words"]]
    assert times == sorted(times)
    for channel, said in enumerate((agent, customer)):
        words = [word for word in row["words"] if word["channel"] == channel]
        assert_words({"text": " ".join(word["text"] for word in words), "words": words}, said)
    assert row["credits"] == pytest.approx(240, abs=0.1)
    assert_words(row_of(out, "mono.wav"), agent)
    assert row_of(out, "mono.wav")["credits"] == pytest.approx(120, abs=0.1)


def test_channels_that_cancel_out_are_heard(server: RunningServer, tmp_path: Path, out: Path) -> None:
    said = talk(10, seed=8)
    sound = beeps(said, 10, 24_000)
    write(tmp_path / "audio/anti.wav", sound, -sound)
    result = run(server, tmp_path / "audio", out)
    assert result.exit == 0, result.stderr
    assert_words(row_of(out, "anti.wav"), said)


def test_a_row_may_name_its_channel(server: RunningServer, tmp_path: Path, out: Path) -> None:
    left, right = talk(10, seed=11), talk(10, seed=12)
    write(tmp_path / "call.flac", beeps(left, 10, 16_000), beeps(right, 10, 16_000), rate=16_000)
    rows = [{"id": str(channel), "audio": "call.flac", "channel": channel} for channel in (0, 1)]
    result = run(server, rows_csv(tmp_path / "rows.csv", rows), out)
    assert result.exit == 0, result.stderr
    for channel, said in enumerate((left, right)):
        row = row_of(out, str(channel))
        assert_words(row, said)
        assert {word["channel"] for word in row["words"]} == {channel}


@pytest.mark.parametrize("upload", ["auto", "opus"])
def test_lead_silence_is_put_in_front_and_taken_off_again(
    server: RunningServer, tmp_path: Path, out: Path, upload: str
) -> None:
    said = [("able", 0.0), *talk(8, seed=9)[2:]]
    write(tmp_path / "audio/a.wav", beeps(said, 8, 24_000))
    result = run(
        server, tmp_path / "audio", out, "--set", "audio.lead_silence_s=0.5", "--set", f"audio.upload={upload}"
    )
    assert result.exit == 0, result.stderr
    row = row_of(out, "a.wav")
    assert_words(row, said)
    assert row["duration_s"] == 8
    assert row["credits"] == pytest.approx(3 * 8.5, abs=0.05)


def test_a_wav_that_the_service_takes_goes_out_byte_for_byte(server: RunningServer, tmp_path: Path, out: Path) -> None:

    path = write(tmp_path / "audio/a.wav", beeps(talk(5, seed=13), 5, 44_100), rate=44_100, subtype="PCM_24")
    log = tmp_path / "requests.jsonl"
    with start_server(recognizer=RECOGNIZER, request_log=log) as logged:
        assert run(logged, tmp_path / "audio", out).exit == 0
    [request] = [json.loads(line) for line in log.read_text().splitlines()]
    assert hashlib.sha256(path.read_bytes()).hexdigest() in request.values()


def test_check_counts_clips_channels_and_spans(tmp_path: Path, out: Path) -> None:

    sound = np.zeros(8_000 * 70, np.float32)
    write(tmp_path / "a.wav", sound, sound, rate=8_000)
    rows = [
        {"id": "whole", "audio": "a.wav", "offset_s": "", "duration_s": ""},
        {"id": "span", "audio": "a.wav", "offset_s": 10, "duration_s": 5},
    ]
    manifest = rows_csv(tmp_path / "rows.csv", rows)
    options = ("--json", "--set", "audio.max_clip_s=30", "--out", out)
    mixed = json.loads(batch("check", manifest, *options).stdout)
    assert (mixed["audio_s"], mixed["credits"]) == (75, 225)
    split = json.loads(batch("check", manifest, *options, "--set", "audio.channels=split").stdout)
    assert (split["audio_s"], split["credits"], split["requests"]) == (75, 450, 2 * mixed["requests"])


@pytest.mark.slow
def test_a_disk_that_fills_up_while_decoding_stops_the_run_and_blames_no_recording(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    said = talk(30, seed=14)
    write(tmp_path / "audio/a.flac", beeps(said, 30, 24_000))

    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    full = subprocess.run(
        [*COMMAND, "run", str(tmp_path / "audio"), "--out", str(out)],
        env=environment(server), capture_output=True, text=True, timeout=60, preexec_fn=small_files_only, check=False,
    )  # fmt: skip
    assert full.returncode == 1, full.stderr
    assert "Traceback" not in full.stderr
    [sentence] = [line for line in full.stderr.splitlines() if line.startswith("gradium-batch: ")]
    assert "File too large" in sentence
    assert not (out / ".spool").exists()
    assert errors_of(out) == {}
    assert run(server, tmp_path / "audio", out).exit == 0
    assert_words(row_of(out, "a.flac"), said)


def test_a_renamed_recording_takes_its_answered_clips_along(tmp_path: Path, out: Path) -> None:
    said = talk(60, seed=15)
    path = write(tmp_path / "audio/long.wav", beeps(said, 60, 24_000))
    settings = ("--set", "audio.max_clip_s=10", "--set", "retry.max_attempts=1")
    args = ("run", tmp_path / "audio", "--out", out, *settings)
    refuse = '[[fault]]\nkind = "internal_error"\nafter_requests = 2\nuntil_requests = 3'
    with start_server(recognizer=RECOGNIZER, faults=refuse) as server:
        assert batch(*args, server=server).exit == 3
        sent = server.stats()["requests"]
        path.rename(path.with_name("renamed.wav"))
        assert batch(*args, server=server).exit == 0
        assert server.stats()["requests"] == sent + 1
        assert_words(row_of(out, "renamed.wav"), said)


def test_a_recording_that_goes_on_in_stereo_is_heard_on_both_sides(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    first, second = talk(10, seed=16), talk(10, seed=17)
    sound, silence = beeps(second, 10, 24_000), np.zeros(240_000, np.float32)
    mono = write(tmp_path / "mono.mp3", beeps(first, 10, 24_000), subtype="MPEG_LAYER_III")
    stereo = write(tmp_path / "stereo.mp3", silence, sound, subtype="MPEG_LAYER_III")
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/both.mp3").write_bytes(mono.read_bytes() + stereo.read_bytes())
    result = run(server, tmp_path / "audio", out)
    assert result.exit == 0, result.stderr
    assert row_of(out, "both.mp3")["text"] == f"{texts(first)} {texts(second)}"
