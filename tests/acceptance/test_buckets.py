"""Recordings in a real S3 server, through the command: what is asked of it, and what its faults come to."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.batch import Corpus, batch, errors_of, finish, jsonl_rows_of, rows_of, start_batch, write_wav
from tests.buckets import Bucket, S3Server
from tests.servers import RunningServer, start_server, wait_for_answers

pytestmark = pytest.mark.slow
COUNT = 500
PREFIX = "day one/"
QUICK = ("--set", "retry.base_s=0.05", "--set", "retry.max_s=0.5", "--set", "retry.probe_s=0.1")


class Recordings:
    """Recordings below a prefix of a bucket, and a CSV of their addresses."""

    def __init__(self, bucket: Bucket, folder: Path, count: int, seconds: float = 0.5) -> None:
        self.bucket, self._folder = bucket, folder
        corpus = Corpus(folder / "made", count, seconds)
        self.texts = corpus.texts
        for name in corpus.texts:
            bucket.put(PREFIX + name, (corpus.folder / name).read_bytes())
        self.prefix = bucket.url(PREFIX)
        self.csv = folder / "rows.csv"
        self.csv.write_text("id,audio\n" + "".join(f"{name},{bucket.url(PREFIX + name)}\n" for name in corpus.texts))

    def replace(self, name: str, seed: int) -> None:
        self.texts[name] = write_wav(self._folder / "one.wav", seed)
        self.bucket.put(PREFIX + name, (self._folder / "one.wav").read_bytes())


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    s3.proxy.forget()
    return s3.bucket()


@pytest.mark.parametrize("listed", ["prefix", "csv"])
def test_only_what_is_new_is_fetched_and_sent(
    listed: str, server: RunningServer, s3: S3Server, bucket: Bucket, tmp_path: Path, out: Path
) -> None:
    made = Recordings(bucket, tmp_path, COUNT)
    args = ("run", made.prefix if listed == "prefix" else made.csv, "--out", out)
    assert batch(*args, server=server, **s3.environment()).exit == 0
    assert rows_of(out) == jsonl_rows_of(out) == made.texts
    assert sorted(bucket.keys_asked("GET")) == sorted(PREFIX + name for name in made.texts)
    assert len(bucket.keys_asked("HEAD")) == (0 if listed == "prefix" else COUNT)
    asked = server.stats()["requests"]

    bucket.forget_requests()
    assert batch(*args, server=server, **s3.environment()).exit == 0
    assert bucket.keys_asked("GET") == []
    assert server.stats()["requests"] == asked

    made.replace("00123.wav", seed=9_000)
    assert batch(*args, server=server, **s3.environment()).exit == 0
    assert bucket.keys_asked("GET") == [f"{PREFIX}00123.wav"]
    assert server.stats()["requests"] == asked + 1
    assert rows_of(out) == made.texts


def test_after_kill_9_every_id_is_there_once(s3: S3Server, bucket: Bucket, tmp_path: Path, out: Path) -> None:
    made = Recordings(bucket, tmp_path, 120)
    kills, in_flight = 5, 4
    with start_server(latency_s=0.02) as server:
        args = ("run", made.prefix, "--out", out, "--concurrency", str(in_flight))
        for kill in range(1, kills + 1):
            process = start_batch(*args, server=server, **s3.environment())
            wait_for_answers(server, kill * 15)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert batch(*args, server=server, **s3.environment()).exit == 0
        assert server.stats()["answered"] - 120 <= kills * (in_flight + 10)
    assert rows_of(out) == jsonl_rows_of(out) == made.texts
    assert not (out / ".spool").exists() or not [*(out / ".spool").rglob("*.wav")]


def test_an_outage_in_mid_run_is_waited_out(s3: S3Server, bucket: Bucket, tmp_path: Path, out: Path) -> None:
    made = Recordings(bucket, tmp_path, 200)
    with start_server(latency_s=0.05) as server:
        args = ("run", made.csv, "--out", out, "--concurrency", "4", "--set", "audio.spool_mb=1", *QUICK)
        process = start_batch(*args, server=server, **s3.environment())
        wait_for_answers(server, 20)
        s3.stop()
        s3.start()
        done = finish(process)
        assert done.exit == 0, done.stderr
        assert rows_of(out) == made.texts
        assert server.stats()["requests"] == 200
    assert "is out (" in done.stderr
    assert "answers again" in done.stderr


def test_a_store_that_stays_away_ends_the_run_and_the_next_one_goes_on(
    server: RunningServer, s3: S3Server, bucket: Bucket, tmp_path: Path, out: Path
) -> None:
    made = Recordings(bucket, tmp_path, 20)
    args = ("run", made.csv, "--out", out, "--set", "retry.outage_max_s=1", *QUICK)
    s3.stop()
    try:
        done = batch(*args, server=server, **s3.environment())
    finally:
        s3.start()
    assert done.exit == 1, done.stderr
    assert f"s3://{bucket.name} was out for" in done.stderr
    assert batch(*args, server=server, **s3.environment()).exit == 0
    assert rows_of(out) == made.texts


def test_a_missing_object_is_the_fault_of_its_row(
    server: RunningServer, s3: S3Server, bucket: Bucket, tmp_path: Path, out: Path
) -> None:
    made = Recordings(bucket, tmp_path, 20)
    bucket.delete(f"{PREFIX}00007.wav")
    done = batch("run", made.csv, "--out", out, server=server, **s3.environment())
    assert done.exit == 3, done.stderr
    assert errors_of(out) == {"00007.wav": "AudioMissing"}
    assert rows_of(out) == {name: text for name, text in made.texts.items() if name != "00007.wav"}


@pytest.mark.parametrize("listed", ["prefix", "csv"])
def test_a_store_that_refuses_everybody_ends_the_run(
    listed: str, server: RunningServer, s3: S3Server, bucket: Bucket, tmp_path: Path, out: Path
) -> None:
    made = Recordings(bucket, tmp_path, 20)
    asked = server.stats()["requests"]
    manifest = made.prefix if listed == "prefix" else made.csv
    done = batch("run", manifest, "--out", out, server=server, **s3.environment(secret="another"))  # noqa: S106
    assert done.exit == (2 if listed == "prefix" else 1), done.stderr
    assert f"s3://{bucket.name}" in done.stderr
    assert "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in " ".join(done.stderr.split())
    assert server.stats()["requests"] == asked
    for secret in ("another", "secret-of-the-tests"):
        assert secret not in done.stderr


def test_many_spans_of_one_object_fetch_it_once(
    server: RunningServer, s3: S3Server, bucket: Bucket, tmp_path: Path, out: Path
) -> None:
    made = Recordings(bucket, tmp_path, 3, seconds=60)
    lines = [f"{bucket.url(PREFIX + name)},{start},1\n" for start in range(50) for name in made.texts]
    rows = tmp_path / "spans.csv"
    rows.write_text("audio,offset_s,duration_s\n" + "".join(lines))
    assert batch("run", rows, "--out", out, server=server, **s3.environment()).exit == 0
    assert len(rows_of(out)) == 150
    assert sorted(bucket.keys_asked("GET")) == sorted(PREFIX + name for name in made.texts)


def test_check_reads_headers_alone(
    server: RunningServer, s3: S3Server, bucket: Bucket, tmp_path: Path, out: Path
) -> None:
    made = Recordings(bucket, tmp_path, 12, seconds=20)
    for manifest in (made.prefix, made.csv):
        bucket.forget_requests()
        asked = server.stats()["requests"]
        done = batch("check", manifest, "--out", out, server=server, **s3.environment())
        assert done.exit == 0, done.stderr
        found = bucket.bytes_by_key()
        assert len(found) == 12
        assert 0 < max(found.values()) < 64 << 10
        assert server.stats()["requests"] == asked


def test_an_object_that_breaks_off_is_read_on(
    server: RunningServer, s3: S3Server, bucket: Bucket, tmp_path: Path, out: Path
) -> None:
    text = write_wav(tmp_path / "long.wav", seed=1, seconds=600)
    address = bucket.put("long.wav", (tmp_path / "long.wav").read_bytes())
    rows = tmp_path / "rows.csv"
    rows.write_text(f"id,audio\nlong,{address}\n")
    s3.proxy.cut_after = [3 << 20, 1 << 20]
    try:
        done = batch(
            "run", rows, "--out", out, "--set", "audio.max_clip_s=700", *QUICK, server=server, **s3.environment()
        )
    finally:
        s3.proxy.cut_after = []
    assert done.exit == 0, done.stderr
    assert rows_of(out) == {"long": text}
    starts = [int(one.range.removeprefix("bytes=").partition("-")[0]) for one in bucket.asked("GET")]
    assert len(starts) == 3
    assert 0 == starts[0] < starts[1] < starts[2]
