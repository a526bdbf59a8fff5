"""A data set of Hugging Face as a manifest: transcribed from its Parquet files, without unpacking it."""

from __future__ import annotations

import csv
import io
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from pipeline.server.fingerprint import fingerprint_words
from tests.batch import batch, jsonl_of, rows_of
from tests.data_sets import Row, write_shards
from tests.servers import RunningServer

RATE, SECONDS = 24_000, 5
COUNT, SHARDS = 100, 3


def recording(seed: int) -> tuple[bytes, str]:
    """Noise as FLAC, and the transcript that it gets."""
    samples = random.Random(seed).randbytes(2 * RATE * SECONDS)
    file = io.BytesIO()
    soundfile.write(file, np.frombuffer(samples, "<i2"), RATE, format="FLAC")
    return file.getvalue(), " ".join(word for word, _, _ in fingerprint_words(samples, RATE))


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """In no order of names. Each third has another reference than its transcript."""
    found = []
    for n in range(COUNT):
        audio, words = recording(n)
        found.append(Row(f"speaker-{n * 37 % COUNT}/{n}.flac", audio, words if n % 3 else f"{words} more"))
    return found


class Watched:
    """The disk that a folder takes, as long as it is watched."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self.looks = 0


def taken(path: Path) -> int:
    """The disk that a file takes; 0 where it is gone by now."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """Looks all the time."""
    found, stopped = Watched(), threading.Event()

    def watch() -> None:
        while not stopped.wait(0.002):
            try:
                size = sum(map(taken, folder.rglob("*")))
            except FileNotFoundError:  # a folder
                continue
            found.peak_bytes = max(found.peak_bytes, size)
            found.looks += 1

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        stopped.set()
        thread.join()


def bytes_read() -> int:
    """What this process has read from files so far; a command that is no process of its own is in this one."""
    return int(Path("/proc/self/io").read_text().split()[1])


def check_output(out: Path, to: Path, rows: list[Row]) -> None:
    """All rows, with their ids, references and word error rates, in the order of the data set."""
    words = {row.path: row.text.removesuffix(" more") for row in rows}
    assert rows_of(out) == words
    for line in jsonl_of(out):
        (row,) = (row for row in rows if row.path == line["id"])
        assert line["reference"] == row.text
        assert (line["wer"] == 0) == (row.text == words[row.path])
        assert line["wer"] is not None
        assert line["duration_s"] == SECONDS
        assert line["metadata"] == {"speaker": str(len(row.path or ""))}
    assert batch("export", out, "--format", "csv", "--to", to).exit == 0
    (table,) = to.rglob("*.csv")
    with table.open(encoding="utf-8", newline="") as file:
        assert [line["id"] for line in csv.DictReader(file)] == [row.path for row in rows]


@pytest.mark.slow
def test_a_data_set_of_three_shards(tmp_path: Path, out: Path, server: RunningServer, rows: list[Row]) -> None:
    folder = tmp_path / "speech"
    write_shards(folder, rows, SHARDS, speaker=[len(row.path or "") for row in rows])
    files = sorted(folder.rglob("*.parquet"))
    size = sum(path.stat().st_size for path in files)
    assert [len(files), sum(pq.read_metadata(path).num_rows for path in files)] == [SHARDS, COUNT]
    run = ("run", folder, "--out", out, "--set", "audio.spool_mb=4")
    before = server.stats()["answered"], bytes_read()
    with watched(out / ".spool") as spool:
        done = batch(*run, server=server)
    assert done.exit == 0, done.stderr
    assert "read as a data set of Hugging Face, 3 files (train)" in done.stderr
    assert (done.figures["done"], done.figures["failed"]) == (COUNT, 0)
    assert spool.looks > 100
    assert 0 < spool.peak_bytes < 0.2 * size
    assert server.stats()["answered"] - before[0] == COUNT
    check_output(out, tmp_path / "csv", rows)

    before = server.stats()["answered"], bytes_read()
    again = batch(*run, server=server)
    assert (again.exit, again.figures["done"]) == (0, COUNT)
    assert server.stats()["answered"] == before[0]
    assert bytes_read() - before[1] < 0.1 * size

    # a shard is written anew, with one other recording: that one is sent
    audio, words = recording(COUNT)
    changed = [*rows[:-1], rows[-1]._replace(audio=audio, text=words)]
    write_shards(folder, changed, SHARDS, speaker=[len(row.path or "") for row in rows])
    done = batch(*run, server=server)
    assert done.exit == 0, done.stderr
    assert server.stats()["answered"] == before[0] + 1
    check_output(out, tmp_path / "csv", changed)


@pytest.mark.slow
def test_an_export_of_ours_is_a_manifest_again(tmp_path: Path, out: Path, server: RunningServer) -> None:
    """Also of rows that are parts of recordings: the audio of the data set is that part."""
    left, right = (recording(n)[0] for n in (1, 2))
    both = np.stack([soundfile.read(io.BytesIO(one), dtype="int16")[0] for one in (left, right)], axis=1)
    soundfile.write(tmp_path / "both.wav", both, RATE)
    lines = [
        "id,audio,reference,offset_s,duration_s,channel,who",
        "a,both.wav,one,1,2,1,Ann",
        "b,both.wav,,,,0,Bo",
        "c,both.wav,,4,,,",
    ]
    (tmp_path / "m.csv").write_text("\n".join([*lines, ""]))
    done = batch("run", tmp_path / "m.csv", "--out", out, server=server)
    assert done.exit == 0, done.stderr
    assert batch("export", out, "--format", "hf", "--to", tmp_path / "set").exit == 0
    before = server.stats()["answered"]
    again = batch("run", tmp_path / "set", "--out", tmp_path / "again", "--strict", server=server)
    assert again.exit == 0, again.stderr
    assert rows_of(tmp_path / "again") == rows_of(out)
    assert server.stats()["answered"] == before + 3
    found = {line["id"]: line for line in jsonl_of(tmp_path / "again")}
    assert [found[id_]["duration_s"] for id_ in "abc"] == [2, 5, 1]
    assert [found[id_]["reference"] for id_ in "abc"] == ["one", None, None]
    assert [found["a"]["metadata"][name] for name in ("offset_s", "who")] == ["1.0", "Ann"]


@pytest.mark.slow
def test_metadata_that_is_added_to_a_folder_costs_nothing(tmp_path: Path, out: Path, server: RunningServer) -> None:
    folder = tmp_path / "calls"
    for n in range(3):
        (folder / "train").mkdir(parents=True, exist_ok=True)
        (folder / "train" / f"{n}.flac").write_bytes(recording(n)[0])
    words = {f"train/{n}.flac": recording(n)[1] for n in range(3)}
    assert batch("run", folder, "--out", out, server=server).exit == 0
    before = server.stats()["answered"]
    (folder / "train" / "metadata.csv").write_text(
        f"file_name,transcription,who\n2.flac,{words['train/2.flac']},Ann\n0.flac,no,Bo\n"
    )
    done = batch("run", folder, "--out", out, server=server)
    assert (done.exit, done.figures["done"]) == (0, 3), done.stderr
    assert server.stats()["answered"] == before
    assert rows_of(out) == words
    found = {line["id"]: (line["wer"], line["metadata"]) for line in jsonl_of(out)}
    assert found["train/2.flac"] == (0, {"who": "Ann"})
    assert found["train/0.flac"][0] >= 1
    assert found["train/0.flac"][1] == {"who": "Bo"}
    assert found["train/1.flac"] == (None, {})
