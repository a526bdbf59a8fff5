"""Clips of more than 300 s: sent whole where the service takes them; else one refusal is enough, for this run and the
next ones."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from pipeline.audio.cuts import cuts
from pipeline.audio.upload import piece_limits
from pipeline.checkpoint.schema import CLIP_LENGTHS
from pipeline.config.settings import AudioSettings
from pipeline.price import Price
from pipeline.run.lengths import KnownLengths
from pipeline.server.fingerprint import fingerprint_words
from tests.batch import Finished, batch, errors_of, rows_of, table_of, write_samples
from tests.servers import RunningServer, start_server

RATE = 24_000


def record(path: Path, seconds: float, seed: int) -> bytes:
    """Writes noise at the rate of decoded audio, so that what is cut out of it is known; returns its samples."""
    samples = random.Random(seed).randbytes(int(seconds * RATE) * 2)
    write_samples(path, samples, RATE)
    return samples


def said(samples: bytes, max_clip_s: float, raw: Path) -> str:
    """The right transcript of a recording that is cut into clips of at most so much."""
    raw.write_bytes(samples)
    limits = piece_limits(AudioSettings(max_clip_s=max_clip_s), Price(3))
    last = len(samples) // 2
    is_whole = last <= max_clip_s * RATE
    edges = [0, *(cuts(str(raw), 0, last, limits) if not is_whole else []), last]
    return " ".join(
        word for begin, end in pairwise(edges) for word, _, _ in fingerprint_words(samples[2 * begin : 2 * end], RATE)
    )


def transcribe(folder: Path, out: Path, max_clip_s: float, server: RunningServer, *more: str) -> Finished:
    return batch("run", folder, "--out", out, "--set", f"audio.max_clip_s={max_clip_s:g}", *more, server=server)


def outcomes(out: Path) -> Counter[str]:
    return Counter(table_of(out, "attempts").column("outcome").to_pylist())


@pytest.mark.slow
def test_a_refused_clip_is_cut_again_in_the_same_run_and_the_next_run_knows_it(tmp_path: Path) -> None:
    folder, out, raw = tmp_path / "audio", tmp_path / "out", tmp_path / "raw"
    long = record(folder / "long.wav", 330, seed=1)
    with start_server(max_audio_s=300) as server:
        first = transcribe(folder, out, 400, server)
        assert first.exit == 0, first.stderr
        assert "refused a clip of 330 s as too long: clips of at most 300 s from now on" in first.stderr
        assert rows_of(out) == {"long.wav": said(long, 300, raw)}
        assert outcomes(out) == {"ClipTooLong": 1, "ok": 2}
        assert errors_of(out) == {}
        assert first.figures["credits"] == pytest.approx(990), "the refused request was not billed"

        more = record(folder / "more.wav", 310, seed=2)
        checked = batch("check", folder, "--out", out, "--set", "audio.max_clip_s=400", server=server)
        assert "at most 300 s: the service took no longer ones on" in checked.stdout
        assert "2 requests" in checked.stdout
        second = transcribe(folder, out, 400, server)
        assert second.exit == 0
        assert "clips of at most 300 s: the service took no longer ones on" in second.stderr
        assert rows_of(out)["more.wav"] == said(more, 300, raw)
        assert outcomes(out) == {"ClipTooLong": 1, "ok": 4}


@pytest.mark.slow
def test_a_limit_is_tried_again_under_another_setting_and_after_a_while(tmp_path: Path) -> None:
    folder, out = tmp_path / "audio", tmp_path / "out"
    with start_server(max_audio_s=6) as server:

        def refused(number: int, max_clip_s: float) -> int:
            record(folder / f"{number}.wav", 8, seed=number)
            before = outcomes(out)["ClipTooLong"] if number else 0
            found = transcribe(folder, out, max_clip_s, server)
            assert found.exit == 0, found.stderr
            assert rows_of(out)[f"{number}.wav"]
            return outcomes(out)["ClipTooLong"] - before

        assert refused(0, 300) == 1
        assert refused(1, 300) == 0
        assert refused(2, 299) == 1
        assert refused(3, 299) == 0
        assert refused(4, 6) == 0
        assert refused(5, 299) == 0, "a shorter setting in between changes nothing"
        with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db, db:
            [(kept,)] = db.execute("SELECT value FROM facts WHERE key = ?", (CLIP_LENGTHS,)).fetchall()
            known = msgspec.json.decode(kept, type=KnownLengths)
            assert (known.limit_s, known.max_clip_s) == (6, 299)
            aged = msgspec.structs.replace(known, learned_at=datetime.now(UTC) - timedelta(days=31))
            db.execute("UPDATE facts SET value = ? WHERE key = ?", (msgspec.json.encode(aged).decode(), CLIP_LENGTHS))
        assert refused(6, 299) == 1


def test_where_the_service_takes_it_a_long_recording_is_one_request(tmp_path: Path) -> None:
    folder, out, raw = tmp_path / "audio", tmp_path / "out", tmp_path / "raw"
    long = record(folder / "long.wav", 330, seed=1)
    with start_server() as server:
        assert transcribe(folder, out, 3000, server).exit == 0
        assert rows_of(out) == {"long.wav": said(long, 3000, raw)}
        assert server.stats()["requests"] == 1


def test_a_budget_for_the_shorter_clips_is_enough(tmp_path: Path) -> None:
    folder, out = tmp_path / "audio", tmp_path / "out"
    record(folder / "long.wav", 8, seed=1)
    with start_server(max_audio_s=6) as server:
        found = transcribe(folder, out, 300, server, "--budget", "24")
        assert found.exit == 0, found.stderr
        assert outcomes(out) == {"ClipTooLong": 1, "ok": 2}
        assert found.figures["credits"] == pytest.approx(24)


def test_answered_clips_that_are_short_enough_are_kept(tmp_path: Path) -> None:
    folder, out = tmp_path / "audio", tmp_path / "out"
    pauses = np.zeros(RATE * 20, dtype="<i2")
    pauses[: RATE * 20] = np.frombuffer(record(tmp_path / "x.wav", 20, seed=1), dtype="<i2")
    pauses[RATE * 8 : RATE * 9] = 0  # the cut of 20 s in two parts lies here: 8.5 s and 11.5 s
    folder.mkdir()
    soundfile.write(folder / "long.wav", pauses, RATE, subtype="PCM_16")
    with start_server(max_audio_s=9) as server:
        found = transcribe(folder, out, 14, server)
        assert found.exit == 0, found.stderr
        assert outcomes(out) == {"ClipTooLong": 1, "ok": 3}
        [row] = table_of(out).to_pylist()
        assert row["credits"] == pytest.approx(60)
        assert row["issues"] == []
        assert [word["start_s"] for word in row["words"]] == sorted(word["start_s"] for word in row["words"])


def test_recordings_that_are_cut_again_hold_no_disk_that_others_wait_for(tmp_path: Path) -> None:
    folder, out = tmp_path / "audio", tmp_path / "out"
    for number in range(3):  # the spool has room for two of them
        stereo = np.frombuffer(record(folder / f"{number}.wav", 16, seed=number), dtype="<i2").reshape(-1, 2)
        soundfile.write(folder / f"{number}.wav", stereo, RATE, subtype="PCM_16")
    with start_server(max_audio_s=6) as server:
        found = transcribe(folder, out, 300, server, "--set", "audio.spool_mb=1", "--max-duration", "20s")
        assert found.exit == 0, found.stderr
        assert outcomes(out)["ok"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("refusals", ["documented", "live", "json"])
def test_fifty_minutes_against_a_service_that_takes_five(tmp_path: Path, refusals: str) -> None:
    folder, out, raw = tmp_path / "audio", tmp_path / "out", tmp_path / "raw"
    long = record(folder / "long.wav", 3000, seed=1)
    with start_server(max_audio_s=300, refusals=refusals) as server:
        first = transcribe(folder, out, 3000, server)
        assert first.exit == 0, first.stderr
        assert rows_of(out) == {"long.wav": said(long, 300, raw)}
        assert outcomes(out)["ClipTooLong"] == 1
        (folder / "long.wav").unlink()
        more = record(folder / "more.wav", 2000, seed=2)
        second = transcribe(folder, out, 3000, server)
        assert second.exit == 0, second.stderr
        assert rows_of(out)["more.wav"] == said(more, 300, raw)
        assert outcomes(out)["ClipTooLong"] == 1


@pytest.mark.slow
def test_one_refusal_is_enough_however_many_are_long(tmp_path: Path) -> None:
    folder, out, raw = tmp_path / "audio", tmp_path / "out", tmp_path / "raw"
    right = {f"{number}.wav": record(folder / f"{number}.wav", 400 - number, seed=number) for number in range(10)}
    right |= {f"{number}.wav": record(folder / f"{number}.wav", 5, seed=number) for number in range(10, 40)}
    with start_server(max_audio_s=300, latency_s=0.5) as server:
        found = transcribe(folder, out, 3000, server, "--concurrency", "32")
        assert found.exit == 0, found.stderr
        assert rows_of(out) == {name: said(samples, 300, raw) for name, samples in right.items()}
        assert outcomes(out) == {"ClipTooLong": 1, "ok": 50}


@pytest.mark.slow
def test_fifty_minutes_against_a_service_that_takes_them(tmp_path: Path) -> None:
    folder, out, raw = tmp_path / "audio", tmp_path / "out", tmp_path / "raw"
    long = record(folder / "long.wav", 3000, seed=1)
    with start_server() as server:
        first = transcribe(folder, out, 3000, server)
        assert first.exit == 0, first.stderr
        assert rows_of(out) == {"long.wav": said(long, 3000, raw)}
        assert server.stats()["requests"] == 1
