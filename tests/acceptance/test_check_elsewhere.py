"""Commands on recordings in a bucket: `check` and `forget`, which fetch none of them, and exports."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.audio.remote import MOST_BYTES
from pipeline.errors import AudioForbidden, SourceUnreachable
from tests.batch import batch, environment, rows_of, write_wav
from tests.servers import RunningServer
from tests.source.bucket import Bucket

COUNT = 4
SECONDS = [6.0 + number / 4 for number in range(COUNT)]

OUT = """
import sys
from pipeline.errors import SourceUnreachable
from pipeline.source import FileInfo, Sources

class Store:
    def stat(self, address):
        if "get" in sys.argv[-1]:
            return FileInfo("v", 100_000, 1.0)
        raise SourceUnreachable("no route to host")

    def get(self, address, start=0, stop=None, *, version=None):
        raise SourceUnreachable("no route to host")

    def close(self):
        pass

Sources._made = lambda *_: Store()
from pipeline.cli import main
main()
"""


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Recordings of about 100 kB, none as long as another."""
    found = Bucket()
    for number in range(COUNT):
        put(found, tmp_path, f"s3://corpus/day one/{number}.wav", seed=number)
    found.replaces_all(monkeypatch)
    return found


def put(bucket: Bucket, tmp_path: Path, address: str, *, seed: int) -> None:
    write_wav(tmp_path / "made.wav", seed, SECONDS[seed % COUNT])
    bucket.objects[address] = (tmp_path / "made.wav").read_bytes()


def manifest(bucket: Bucket, tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("audio\n" + "\n".join(bucket.objects) + "\n")
    return path


def forecast(rows: Path | str, out: Path, server: RunningServer) -> dict[str, Any]:
    done = batch("check", rows, "--out", out, "--json", server=server)
    assert done.exit == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_check_reads_headers_and_a_second_one_nothing(bucket: Bucket, tmp_path: Path, server: RunningServer) -> None:
    rows, out = manifest(bucket, tmp_path), tmp_path / "out"
    found = forecast(rows, out, server)
    assert (found["requests"], found["audio_s"], found["estimated_share"]) == (COUNT, sum(SECONDS), 0)
    assert max(bucket.bytes.values()) <= MOST_BYTES < min(map(len, bucket.objects.values()))
    assert {*bucket.stats.values()} == {1}
    assert found["uncompared_told"] is None
    done = batch("run", rows, "--out", out, server=server)
    assert done.figures["credits"] == pytest.approx(found["credits"])
    bucket.bytes.clear()
    assert forecast(rows, out, server)["selected"] == 0
    put(bucket, tmp_path, "s3://corpus/day one/1.wav", seed=77)
    put(bucket, tmp_path, "s3://corpus/copy.wav", seed=2)
    told = forecast(manifest(bucket, tmp_path), out, server)
    assert (told["changed"], told["new"], told["requests"], told["uncompared"]) == (1, 1, 2, 2)
    assert bucket.bytes.keys() == {"s3://corpus/day one/1.wav", "s3://corpus/copy.wav"}
    table = batch("check", tmp_path / "rows.csv", "--out", out, server=server).stdout
    assert "2 rows count as sent, and a run may send less: the recordings lie elsewhere" in " ".join(table.split())
    assert not [path for path in out.rglob("*") if path.name == "copies"]


@pytest.mark.slow
def test_a_prefix_is_priced_by_its_listing(bucket: Bucket, tmp_path: Path, server: RunningServer) -> None:
    assert forecast("s3://corpus/day one/", tmp_path / "out", server)["requests"] == COUNT
    assert not bucket.stats


@pytest.mark.slow
@pytest.mark.parametrize("while_", ["stat", "get"])
def test_a_store_that_is_out_is_waited_for_until_ctrl_c(tmp_path: Path, while_: str) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("audio\ns3://corpus/a.wav\n")
    words = ["check", str(rows), "--offline", "--out", str(tmp_path / while_)]
    process = subprocess.Popen(
        [sys.executable, "-c", OUT, *words],
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "s3://corpus is out (no route to host): it is asked again until it answers" in line
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 130
        assert time.monotonic() - begun < 5
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_store_that_is_out_for_too_long_or_refuses_everything_ends_the_forecast(
    bucket: Bucket, tmp_path: Path
) -> None:
    for number in range(40):
        bucket.objects[f"s3://corpus/{number}.wav"] = bytes(1_000 + number)
    rows, asked = manifest(bucket, tmp_path), ("--offline", "--out", tmp_path / "out")
    bucket.refused = AudioForbidden("access denied")
    done = batch("check", rows, *asked)
    assert done.exit == 1
    assert "s3://corpus refused the first" in done.stderr
    bucket.refused, bucket.down = None, SourceUnreachable("no route to host")
    done = batch("check", rows, *asked, "--set", "retry.outage_max_s=0.1", "--set", "retry.probe_s=0.05")
    assert done.exit == 1
    assert "s3://corpus was out for" in done.stderr


@pytest.mark.slow
def test_a_recording_is_forgotten_by_its_address(bucket: Bucket, tmp_path: Path, server: RunningServer) -> None:
    rows, out, first = manifest(bucket, tmp_path), tmp_path / "out", "s3://corpus/day one/0.wav"
    batch("run", rows, "--out", out, server=server)
    bucket.gets.clear()
    assert batch("forget", out, "--audio", "S3://corpus/day one/0.wav", "--yes").exit == 0
    assert rows_of(out).keys() == bucket.objects.keys() - {first}
    unknown = batch("forget", out, "--audio", "https://h/a.wav?X-Amz-Signature=secret&X-Amz-Credential=c&v=1")
    assert unknown.exit == 2
    assert "no utterance has the recording https://h/a.wav?v=1" in unknown.stderr
    allowed = batch("forget", out, "--audio", first, "--allow")
    assert allowed.exit == 2
    assert "is not fetched to learn what it holds: name its utterances by --id" in allowed.stderr
    assert not bucket.gets


@pytest.mark.slow
def test_exports_name_files_after_addresses_and_fetch_audio(
    bucket: Bucket, tmp_path: Path, server: RunningServer
) -> None:
    rows, out = manifest(bucket, tmp_path), tmp_path / "out"
    batch("run", rows, "--out", out, server=server)
    bucket.gets.clear()
    assert batch("export", out, "--format", "srt").exit == 0
    assert sorted(path.name for path in (out / "exports" / "srt").iterdir()) == [f"{n}.srt" for n in range(COUNT)]
    beside = batch("export", out, "--format", "srt", "--beside")
    assert beside.exit == 2
    assert "s3://corpus/day one/0.wav is no local file" in beside.stderr
    assert not bucket.gets
    bucket.errors["s3://corpus/day one/3.wav"] = AudioForbidden("access denied")
    done = batch("export", out, "--format", "hf", "--set", "sources.timeout_s=5")
    assert "left out, because their recording is unreadable" in done.stderr
    table = pq.read_table(out / "exports" / "hf" / "data").to_pylist()
    assert {row["audio"]["path"]: row["audio"]["bytes"] for row in table} == {
        f"{n}.wav": bucket.objects[f"s3://corpus/day one/{n}.wav"] for n in range(3)
    }
    assert bucket.gets == {f"s3://corpus/day one/{n}.wav": 1 for n in range(3)}
    bucket.errors.clear()
    bucket.gets.clear()
    assert batch("export", out, "--format", "hf").exit == 0
    assert bucket.gets == {"s3://corpus/day one/3.wav": 1}
