"""What is sent of a track."""

from __future__ import annotations

import io
import os
import wave
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from pipeline import errors
from pipeline.audio.decode import decode
from pipeline.audio.ogg import encode_opus
from pipeline.audio.probe import probe
from pipeline.audio.tracks import discard
from pipeline.audio.wav import wav_header
from tests.audio.forms import RATE, sentence


@pytest.fixture
def track(tmp_path: Path) -> str:
    path = tmp_path / "track.pcm"
    (np.tile(sentence(), 3) * 32_767).astype("<i2").tofile(path)
    return str(path)


def test_wav_header_makes_a_wav_file(tmp_path: Path) -> None:
    samples = np.arange(1_001, dtype="<i2").tobytes()
    with wave.open(io.BytesIO(wav_header(1_001) + samples)) as file:
        assert file.getparams()[:4] == (1, 2, RATE, 1_001)
        assert file.readframes(2_000) == samples
    (tmp_path / "a").write_bytes(wav_header(1_001) + samples)
    assert probe(str(tmp_path / "a")).content_type == "audio/wav"


@pytest.mark.parametrize(
    ("samples", "lead"), [(RATE, 0), (RATE + 1, 0), (1, 0), (479, 1), (100_000, 2_400), (123_457, 77), (0, RATE)]
)
def test_opus_has_exactly_the_samples(samples: int, lead: int, track: str, tmp_path: Path) -> None:
    target = str(tmp_path / "a: b?.ogg")
    encode_opus(track, 500, samples, lead, target)
    assert soundfile.info(target).duration * RATE == pytest.approx(samples + lead, abs=0.01)
    with av.open(target) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == 2 * (samples + lead)
    found = probe(target)
    assert (found.content_type, found.channels) == ("audio/ogg", 1)
    assert found.duration_s * RATE == pytest.approx(samples + lead, abs=0.01)


def test_opus_is_the_span_after_the_silence(track: str, tmp_path: Path) -> None:
    target, lead, start, samples = str(tmp_path / "a.ogg"), 12_000, 30_000, 90_000
    encode_opus(track, start, samples, lead, target)
    back = decode(target, str(tmp_path / "out"), "mix", allow_truncated=False).tracks[0]
    decoded = np.fromfile(back.path, dtype="<i2").astype(float)
    original = np.fromfile(track, dtype="<i2")[start : start + samples].astype(float)
    assert np.abs(decoded[: lead - 480]).max() < 100
    lags = np.correlate(decoded[lead - 240 : lead + samples - 24_000], original[240:-24_240], "valid")
    assert abs(int(lags.argmax()) - 480) <= 48  # within 2 ms
    assert 15_000 < probe(target).version.size_bytes * 8 / probe(target).duration_s < 50_000


def test_opus_of_the_same_span_is_the_same_bytes(track: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        encode_opus(track, 0, RATE, 0, str(tmp_path / name))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_opus_names_which_side_failed(track: str, tmp_path: Path) -> None:
    target = tmp_path / "a.ogg"
    with pytest.raises(errors.AudioUnavailable, match="shorter"):
        encode_opus(track, 0, 10_000_000, 0, str(target))
    assert not target.exists()
    with pytest.raises(errors.AudioUnavailable, match="cannot be read"):
        encode_opus(str(tmp_path / "none"), 0, RATE, 0, str(target))
    with pytest.raises(errors.OutputError, match="cannot be written"):
        encode_opus(track, 0, RATE, 0, str(tmp_path / "no folder" / "a.ogg"))
    # by a link of our own: what cannot be written is removed, and that must never be the device
    full = tmp_path / "full.ogg"
    full.symlink_to("/dev/full")
    with pytest.raises(errors.OutputError, match="cannot be written"):
        encode_opus(track, 0, 5 * RATE, 0, str(full))
    assert Path("/dev/full").exists()


def test_only_files_are_removed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    discard(str(tmp_path / "pipe"))
    assert (tmp_path / "pipe").exists()
