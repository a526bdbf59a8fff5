"""No run takes more than 250 MB, whatever it is answered and has to write; `benchmarks/bounds.py` measures more."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.batch import Corpus, errors_of
from tests.gradium.scripted import Scripted, answer
from tests.measured import MOST_MB, measured
from tests.servers import RunningServer, start_server

FAST = ("--progress", "off", "--set", "retry.base_s=0.01", "--set", "retry.max_attempts=2")
END = b'{"type":"end_of_stream"}\n'

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def words(count: int, each: bytes) -> bytes:
    lines = (b'{"type":"text","text":"%s%05d","start_s":%.3f}\n' % (each, n, n / 40) for n in range(count))
    return b'{"type":"ready","request_id":"r"}\n' + b"".join(lines) + END


@pytest.mark.parametrize("each", [b"", b"a b c d e f g h i j "])
def test_an_answer_of_many_words_for_a_second_of_audio(tmp_path: Path, out: Path, each: bytes) -> None:
    corpus = Corpus(tmp_path / "audio", count=1, seconds=1.0)
    with Scripted(answer(words(200_000, each))) as peer:
        url = ("--set", f"service.url={peer.url}")
        result = measured("run", corpus.folder, "--out", out, *FAST, *url, kept=tmp_path / "m", GRADIUM_API_KEY="k")
    assert result.exit == 3, result.stderr
    assert errors_of(out) == {"00000.wav": "StreamMalformed"}
    assert result.peak_mb < MOST_MB


def test_the_longest_answers_that_are_taken(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    for number in range(40):
        with wave.open(str(folder / f"{number}.wav"), "wb") as file:
            file.setparams((1, 1 + 1, 8_000, 0, "NONE", ""))
            file.writeframes(number.to_bytes(2, "little") + bytes(2 * (290 * 8_000 - 1)))
    with Scripted(answer(words(8_000, b"wwwwwwwwwwwww"))) as peer:
        url = ("--set", f"service.url={peer.url}", "--set", "pool.adaptive=false")
        result = measured("run", folder, "--out", out, *FAST, *url, kept=tmp_path / "m", GRADIUM_API_KEY="k")
    assert result.exit == 0, result.stderr
    assert result.peak_mb < MOST_MB


def test_thousands_of_refusals(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=4_000, seconds=0.1)
    refusal = f'[[fault]]\nkind = "policy"\nmessage = "invalid audio: {"x" * 1_500}"\nafter_requests = 100\n'
    with start_server(faults=refusal) as server:
        result = measured("run", corpus.folder, "--out", out, *FAST, kept=tmp_path / "m", server=server, timeout_s=200)
    assert (result.exit, result.figures["failed"]) == (3, 3_900)
    assert result.peak_mb < 200


@pytest.mark.parametrize("is_there", [False, True])
def test_rows_with_much_metadata(tmp_path: Path, out: Path, server: RunningServer, is_there: bool) -> None:
    count = 1_500
    corpus = Corpus(tmp_path / "audio", count=count if is_there else 0, seconds=0.1)
    manifest = tmp_path / "rows.jsonl"
    for number, (command, note) in enumerate([("run", "a"), ("run", "a"), ("run", "b"), ("rebuild", "b")]):
        with manifest.open("w") as file:
            for n in range(count):
                row = {"id": f"r{n}", "audio": f"{corpus.folder}/{n:05d}.wav", "note": f"{note}{n}" + "x" * 100_000}
                file.write(json.dumps(row) + "\n")
        args = (manifest, "--out", out, *FAST) if command == "run" else (out, "--force")
        result = measured(command, *args, kept=tmp_path / f"m{number}", server=server, timeout_s=200)
        assert result.exit == (3 if not is_there and not number else 0), result.stderr
        assert result.peak_mb < MOST_MB, f"{command} {number}"


def test_a_small_file_that_decodes_to_very_much(tmp_path: Path, out: Path, server: RunningServer) -> None:
    path = tmp_path / "audio" / "a.flac"
    path.parent.mkdir()
    with soundfile.SoundFile(path, "w", 8_000, 1, format="FLAC", subtype="PCM_16") as file:
        for _ in range(320):
            file.write(np.zeros(60 * 8_000, dtype=np.float32))
    assert path.stat().st_size < 600_000
    spool = ("--set", "audio.spool_mb=100")
    result = measured("run", path.parent, "--out", out, *FAST, *spool, kept=tmp_path / "m", server=server)
    assert (result.exit, errors_of(out)) == (3, {"a.flac": "RecordingTooLong"}), result.stderr
    assert result.peak_mb < MOST_MB


def test_a_parquet_manifest_of_few_long_texts(tmp_path: Path, out: Path, server: RunningServer) -> None:
    count = 5_000
    recording = str(Corpus(tmp_path / "audio", count=1, seconds=0.1).folder / "00000.wav")
    manifest = tmp_path / "m.parquet"
    ids = [f"r{n}" for n in range(count)]
    pq.write_table(pa.table({"id": ids, "audio": [recording] * count, "note": ["m" * 100_000] * count}), manifest)
    for command in ("check", "run"):
        more = ("--limit", "5", *FAST) if command == "run" else ()
        result = measured(command, manifest, "--out", out, *more, kept=tmp_path / command, server=server)
        assert result.exit == (4 if command == "run" else 0), result.stderr
        assert result.peak_mb < MOST_MB, command
