"""A data set of Hugging Face in a bucket as a manifest: its files are read by parts, each row once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.test_data_set_in import COUNT, SHARDS, check_output, recording, rows, watched  # noqa: F401
from tests.batch import batch
from tests.buckets import S3Server
from tests.data_sets import Row, write_shards
from tests.servers import RunningServer


@pytest.mark.slow
def test_a_data_set_in_a_bucket(
    tmp_path: Path,
    out: Path,
    server: RunningServer,
    s3: S3Server,
    rows: list[Row],  # noqa: F811
) -> None:
    speakers = [len(row.path or "") for row in rows]
    write_shards(tmp_path / "set", rows, SHARDS, speaker=speakers)
    bucket = s3.bucket()
    files = {f"data/{path.name}": path.read_bytes() for path in (tmp_path / "set").rglob("*.parquet")}
    for key, data in (files | {"data/README.md": b"A data set."}).items():
        bucket.put(key, data)
    size = sum(map(len, files.values()))
    run = ("run", bucket.url("data/"), "--out", out, "--set", "audio.spool_mb=4")

    def read_bytes() -> int:
        return sum(size for key, size in bucket.bytes_by_key().items() if key)

    checked = batch("check", bucket.url("data/"), server=server, **s3.environment())
    assert checked.exit == 0, checked.stderr
    assert f"rows           {COUNT} ({COUNT} new" in checked.stdout
    of_check = read_bytes()
    assert of_check < 0.05 * size

    before = server.stats()["answered"]
    with watched(out / ".spool") as spool:
        done = batch(*run, server=server, **s3.environment())
    assert done.exit == 0, done.stderr
    assert (done.figures["done"], done.figures["failed"]) == (COUNT, 0)
    assert server.stats()["answered"] - before == COUNT
    assert 0 < spool.peak_bytes < 0.2 * size
    assert read_bytes() - of_check < 1.1 * size  # each row group once
    check_output(out, tmp_path / "csv", rows)

    # what is done is not read: only what the rows are, from the columns beside the audio
    before, bytes_before = server.stats()["answered"], read_bytes()
    again = batch(*run, server=server, **s3.environment())
    assert (again.exit, again.figures["done"]) == (0, COUNT)
    assert server.stats()["answered"] == before
    assert read_bytes() - bytes_before < 0.05 * size

    # one file is written anew, with one other recording: that one is sent
    audio, words = recording(COUNT)
    changed = [*rows[:-1], rows[-1]._replace(audio=audio, text=words)]
    write_shards(tmp_path / "set", changed, SHARDS, speaker=speakers)
    name = f"data/train-{SHARDS - 1:05d}-of-{SHARDS:05d}.parquet"
    bucket.put(name, (tmp_path / "set" / name).read_bytes())
    bytes_before = read_bytes()
    done = batch(*run, server=server, **s3.environment())
    assert done.exit == 0, done.stderr
    assert server.stats()["answered"] == before + 1
    assert read_bytes() - bytes_before < 0.5 * size
    check_output(out, tmp_path / "csv", changed)
