"""What a small file may decode to: no more time and disk than the configuration allows, whatever its header says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.audio.decode import decode
from pipeline.audio.tracks import DecodeLimits, OutOfSpace
from pipeline.audio.wav import check_shape
from pipeline.errors import AudioUnreadable, RecordingTooLong
from tests.batch import Corpus, batch, errors_of, jsonl_of
from tests.servers import RunningServer

SECONDS = 120
FORMS = {"a.flac": ("FLAC", "PCM_16"), "a.mp3": ("MP3", "MPEG_LAYER_III"), "a.wav": ("WAV", "FLOAT")}


def silence(path: Path, seconds: int = SECONDS, channels: int = 1) -> Path:
    """A recording of a few bytes for each second."""
    form, subtype = FORMS[f"a{path.suffix}"]
    with soundfile.SoundFile(path, "w", 8_000, channels, format=form, subtype=subtype) as file:
        for _ in range(seconds):
            file.write(np.zeros((8_000, channels), dtype=np.float32))
    return path


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("channels", ["mix", "split", 0])
def test_decoding_stops_where_it_passes_the_longest_recording(tmp_path: Path, name: str, channels: object) -> None:
    path, target = silence(tmp_path / name), str(tmp_path / "out")
    limits = DecodeLimits(max_s=90.0)
    with pytest.raises(RecordingTooLong, match=r"than the 0.025 h of audio.max_recording_h"):
        decode(str(path), target, channels, allow_truncated=True, limits=limits)  # type: ignore[arg-type]
    assert [one.name for one in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(("channels", "tracks"), [("mix", 1), ("split", 2)])
def test_decoding_stops_where_it_passes_the_bytes_it_was_given(
    tmp_path: Path, name: str, channels: object, tracks: int
) -> None:
    path, target = silence(tmp_path / name, channels=2), str(tmp_path / "out")
    whole = SECONDS * 48_000 * tracks
    decode(str(path), target, channels, allow_truncated=False, limits=DecodeLimits(max_bytes=whole + 200_000))  # type: ignore[arg-type]
    with pytest.raises(OutOfSpace):
        decode(str(path), target, channels, allow_truncated=False, limits=DecodeLimits(max_bytes=whole - 200_000))  # type: ignore[arg-type]
    assert [one.name for one in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("channels", "rate"), [(64, 96_000), (8, 768_000), (64, 96_001), (9, 768_000)])
def test_a_second_of_a_recording_is_no_more_than_memory_has_room_for(channels: int, rate: int) -> None:
    if channels * rate > 64 * 96_000:
        with pytest.raises(AudioUnreadable):
            check_shape(channels, rate)
    else:
        check_shape(channels, rate)


@pytest.mark.slow
def test_recordings_over_the_bounds_are_errors_that_name_the_setting(
    tmp_path: Path, out: Path, server: RunningServer
) -> None:
    corpus = Corpus(tmp_path / "audio", count=1, seconds=4.0)
    silence(corpus.folder / "disk.flac", 60)
    silence(corpus.folder / "long.flac", 400)
    args = ("run", corpus.folder, "--out", out, "--progress", "off", "--set", "audio.spool_mb=2")
    hours = ("--set", "audio.max_recording_h=0.1")
    result = batch(*args, *hours, server=server)
    assert result.exit == 3, result.stderr
    assert errors_of(out) == {"disk.flac": "RecordingTooLong", "long.flac": "RecordingTooLong"}
    told = {row["id"]: row["message"] for row in jsonl_of(out, "errors.jsonl")}
    assert "2 MiB that audio.spool_mb" in told["disk.flac"]
    assert "audio.spool_mb" in told["long.flac"]
    assert server.stats()["answered"] == 1
    roomy = ("--set", "audio.spool_mb=64", "--only", "failed")
    assert batch(*args, *hours, *roomy, server=server).exit == 3
    told = {row["id"]: row["message"] for row in jsonl_of(out, "errors.jsonl")}
    assert told.keys() == {"long.flac"}
    assert "0.1 h of audio.max_recording_h" in told["long.flac"]
    assert batch(*args, *roomy, server=server).exit == 0
    assert not (out / ".spool").exists()


def test_a_recording_that_would_go_out_as_it_is_has_the_same_bound(
    tmp_path: Path, out: Path, server: RunningServer
) -> None:
    corpus = Corpus(tmp_path / "audio", count=1, seconds=4.0)
    short = ("--set", "audio.max_recording_h=0.001")
    assert batch("run", corpus.folder, "--out", out, *short, server=server).exit == 3
    assert errors_of(out) == {"00000.wav": "RecordingTooLong"}
