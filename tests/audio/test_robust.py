"""Whatever the bytes, the names or the disk: a result or an error of ours, no hang, nothing left behind."""

from __future__ import annotations

import inspect
import multiprocessing
import pickle
import random
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline import errors
from pipeline.audio.decode import decode
from pipeline.audio.probe import probe
from pipeline.audio.tracks import Channels
from tests.audio.forms import RATE, Maker, encoded, plain, sentence, written

FORMS: dict[str, Maker] = {
    "wav": plain(),
    "wav adpcm": written("WAV", "MS_ADPCM"),
    "aiff": written("AIFF", "PCM_24"),
    "flac": written("FLAC", "PCM_16"),
    "mp3": encoded("libmp3lame", "mp3"),
    "m4a": encoded("aac", "ipod", options={"movflags": "faststart"}),
    "opus": encoded("libopus", "ogg", rate=48_000),
    "webm": encoded("libopus", "webm", rate=48_000),
    "amr": encoded("libopencore_amrnb", "amr", rate=8_000, bit_rate=12_200),
    "mpegts": encoded("aac", "mpegts"),
}
SETTINGS: tuple[Channels, ...] = ("mix", "split", 0)


def survive(path: Path, rng: random.Random) -> None:
    left, said = {path}, []
    try:
        probe(str(path))
    except errors.ItemError as error:
        said.append(str(error))
    try:
        done = decode(str(path), str(path.with_name("out")), rng.choice(SETTINGS), allow_truncated=rng.random() < 0.5)
        left |= {Path(track.path) for track in done.tracks}
    except errors.ItemError as error:
        said.append(str(error))
    assert not any("\n" in text for text in said)
    assert set(path.parent.iterdir()) == left


@pytest.mark.parametrize("name", FORMS)
def test_prefixes(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = FORMS[name](sentence()[: RATE // 2])
    rng = random.Random(name)
    for size in {1, 4, 12, 27, 44, 100, *(rng.randrange(len(whole)) for _ in range(12))}:
        path = tmp_path / f"{size}" / "a"
        path.parent.mkdir()
        path.write_bytes(whole[:size])
        survive(path, rng)
    assert capfd.readouterr() == ("", ""), "a library wrote to the terminal"


@pytest.mark.parametrize("name", FORMS)
def test_damage(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = FORMS[name](sentence()[: RATE // 2])
    rng = random.Random(name)
    for number in range(25):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 12)):
            data[rng.randrange(min(len(data), rng.choice([200, 1_000_000])))] = rng.randrange(256)
        path = tmp_path / f"{number}" / "a"
        path.parent.mkdir()
        path.write_bytes(data)
        survive(path, rng)
    assert capfd.readouterr() == ("", ""), "a library wrote to the terminal"


def test_random_bytes(tmp_path: Path) -> None:
    rng = random.Random(8)
    for number, start in enumerate(
        [b"", b"RIFF\0\0\0\0WAVE", b"OggS", b"fLaC", b"ID3", b"\xff\xfb", b"\0\0\0 ftypM4A "]
    ):
        path = tmp_path / f"{number}" / "a"
        path.parent.mkdir()
        path.write_bytes(start + rng.randbytes(20_000))
        survive(path, rng)


@pytest.mark.parametrize(
    "name", ["ünï ♫ 録音.mp3", "a:b.mp3", "http:x.mp3", "-i.mp3", "50%d.mp3", "with space\nand line", "concat:a|b"]
)
def test_odd_names(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FORMS["mp3"](sentence()))
    assert probe(str(path)).channels == 1
    target = str(tmp_path / f"out {name}")
    assert Path(decode(str(path), target, "mix", allow_truncated=False).tracks[0].path).exists()


def test_full_disk_is_no_fault_of_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(FORMS["mp3"](np.tile(sentence(), 4)))
    (tmp_path / "out.0.pcm").symlink_to("/dev/full")
    with pytest.raises(errors.OutputError, match=r"cannot be written to .*: No space left on device"):
        decode(str(path), str(tmp_path / "out"), "mix", allow_truncated=False)
    assert list(tmp_path.iterdir()) == [path]
    assert Path("/dev/full").exists(), "the link is removed and not what it leads to"
    with pytest.raises(errors.OutputError, match="cannot be written"):
        decode(str(path), str(tmp_path / "no folder" / "out"), "mix", allow_truncated=False)


def test_every_error_crosses_to_another_process_whole() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.AttemptError)]
    assert len(kinds) > 20
    for kind in kinds:
        sent = kind("what happened", http_status=500, code=7, retry_after_s=1.5, billed="maybe", bytes_sent=9)
        got = pickle.loads(pickle.dumps(sent))  # noqa: S301  our own bytes
        assert type(got) is kind
        assert (str(got), vars(got)) == (str(sent), vars(sent))
    stop = pickle.loads(pickle.dumps(errors.OutputError("disk full")))  # noqa: S301
    assert (type(stop), str(stop)) == (errors.OutputError, "disk full")


def test_errors_come_out_of_a_worker_process(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"no audio")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        future = pool.submit(decode, str(tmp_path / "a"), str(tmp_path / "out"), "mix", allow_truncated=False)
        with pytest.raises(errors.AudioUnreadable, match="no audio"):
            future.result(30)


LONG = """
import resource, sys
from pipeline.audio import packets
from pipeline.audio.decode import decode
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode(sys.argv[1], sys.argv[2], sys.argv[3], allow_truncated=False)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("form", "channels"), [("wav", "split"), ("flac", "split"), ("mp3", "mix")])
def test_memory_is_flat_over_an_hour(form: str, channels: str, tmp_path: Path) -> None:
    seconds = 3_600
    second = np.stack([np.resize(sentence(), 44_100), 0.5 * np.resize(sentence(), 44_100)[::-1]], axis=1)
    path = tmp_path / f"a.{form}"
    if form == "mp3":
        one = encoded("libmp3lame", "mp3", rate=RATE, layout="stereo", options={"write_xing": "0"})
        path.write_bytes(one(np.tile(sentence(), 10)) * (seconds // 27))
    else:
        with soundfile.SoundFile(path, "w", 16_000, 2, "PCM_16") as file:
            block = np.tile(second[:16_000], (60, 1))
            for _ in range(seconds // 60):
                file.write(block)
    done = subprocess.run(
        [sys.executable, "-c", LONG, path, tmp_path / "out", channels], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 60, "MB above the libraries"
