"""Mixing, splitting and picking channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pipeline import errors
from pipeline.audio.decode import decode
from pipeline.audio.tracks import Channels
from tests.audio.forms import RATE, Speech, encoded, numbers, sentence, wav

SECONDS = 12
TIME = np.arange(SECONDS * RATE) / RATE
LEFT = (0.4 * np.sin(2 * np.pi * 440 * TIME)).astype(np.float32)
RIGHT = (0.2 * np.sin(2 * np.pi * 700 * TIME)).astype(np.float32)
NOTHING = np.zeros_like(LEFT)


def tracks(tmp_path: Path, channels: Channels, *parts: Speech) -> dict[int, npt.NDArray[np.float64]]:
    """The tracks of a WAV file whose channels are `parts`."""
    path = tmp_path / "recording.wav"
    path.write_bytes(wav(numbers(np.stack(parts, axis=1).ravel()), channels=len(parts)))
    return tracks_of(path, channels)


def tracks_of(path: Path, channels: Channels) -> dict[int, npt.NDArray[np.float64]]:
    decoded = decode(str(path), str(path.with_name("out")), channels, allow_truncated=False)
    found = {track.channel: np.fromfile(track.path, dtype="<i2") / 32_768 for track in decoded.tracks}
    names = {f"out.{channel}.pcm" for channel in found}
    assert {file.name for file in path.parent.iterdir()} == names | {path.name}, "a track was left that is not named"
    for file in names:
        (path.parent / file).unlink()
    return found


def test_mix_is_the_mean(tmp_path: Path) -> None:
    mixed = tracks(tmp_path, "mix", LEFT, RIGHT)
    assert list(mixed) == [0]
    assert np.allclose(mixed[0], (LEFT + RIGHT) / 2, rtol=0, atol=1e-4)


def test_mix_of_loud_channels_does_not_wrap(tmp_path: Path) -> None:
    loud = np.where(TIME % 0.01 < 0.005, 1.0, -1.0).astype(np.float32)
    assert np.allclose(tracks(tmp_path, "mix", loud, loud)[0], loud, rtol=0, atol=1e-3)


def test_channels_that_cancel_out_are_heard(tmp_path: Path) -> None:
    assert np.allclose(tracks(tmp_path, "mix", LEFT, -LEFT)[0], LEFT, rtol=0, atol=1e-4)
    louder = tracks(tmp_path, "mix", 0.8 * LEFT, -LEFT)[0]
    assert np.allclose(louder, -LEFT, rtol=0, atol=1e-4)


def test_only_the_seconds_that_cancel_out_are_replaced(tmp_path: Path) -> None:
    turned = np.where(TIME < 4, LEFT, -LEFT)
    mixed = tracks(tmp_path, "mix", LEFT, turned)[0]
    assert np.allclose(mixed, LEFT, rtol=0, atol=1e-4)


def test_one_silent_channel_does_not_silence_the_mix(tmp_path: Path) -> None:
    assert np.allclose(tracks(tmp_path, "mix", NOTHING, LEFT)[0], LEFT / 2, rtol=0, atol=1e-4)


def test_split_gives_each_channel_its_track(tmp_path: Path) -> None:
    found = tracks(tmp_path, "split", LEFT, RIGHT)
    assert list(found) == [0, 1]
    assert np.allclose(found[0], LEFT, rtol=0, atol=1e-4)
    assert np.allclose(found[1], RIGHT, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "other",
    [LEFT, -LEFT, 0.5 * LEFT, LEFT + np.random.default_rng(1).normal(0, 1e-4, LEFT.size).astype(np.float32)],
    ids=["same", "turned round", "quieter", "with a little noise"],
)
def test_mono_in_stereo_clothes_is_one_track(other: Speech, tmp_path: Path) -> None:
    assert list(tracks(tmp_path, "split", LEFT, other)) == [0]


@pytest.mark.parametrize(
    "maker",
    [
        encoded("libmp3lame", "mp3", layout="stereo", rate=44_100),
        encoded("aac", "ipod", layout="stereo", rate=44_100),
        encoded("libopus", "ogg", layout="stereo", rate=48_000),
    ],
    ids=["mp3", "aac", "opus"],
)
def test_mono_in_stereo_clothes_is_known_through_lossy_codecs(maker: object, tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_bytes(maker(np.tile(sentence(), 2)))  # type: ignore[operator]
    assert list(tracks_of(path, "split")) == [0]


def test_a_call_keeps_both_sides_though_each_hears_the_other(tmp_path: Path) -> None:
    turns = (TIME // 3 % 2).astype(np.float32)
    one, two = LEFT * turns, RIGHT * (1 - turns)
    assert list(tracks(tmp_path, "split", one + 0.03 * two, two + 0.03 * one)) == [0, 1]


def test_one_short_word_on_the_other_channel_is_enough(tmp_path: Path) -> None:
    word = np.where((TIME > 7) & (TIME < 7.3), RIGHT, 0)
    assert list(tracks(tmp_path, "split", LEFT, LEFT + word)) == [0, 1]


def test_silent_channel_is_dropped_unless_all_are(tmp_path: Path) -> None:
    assert list(tracks(tmp_path, "split", NOTHING, LEFT)) == [1]
    assert list(tracks(tmp_path, "split", NOTHING, NOTHING)) == [0]
    assert list(tracks(tmp_path, "split", LEFT)) == [0]


def test_one_channel_is_picked(tmp_path: Path) -> None:
    assert np.allclose(tracks(tmp_path, 1, LEFT, RIGHT)[1], RIGHT, rtol=0, atol=1e-4)
    assert np.allclose(tracks(tmp_path, 0, LEFT, RIGHT)[0], LEFT, rtol=0, atol=1e-4)


def test_channel_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.AudioUnsupported, match="channel 2 is asked for, counted from 0, and the file has 2"):
        tracks(tmp_path, 2, LEFT, RIGHT)
    assert [file.name for file in tmp_path.iterdir()] == ["recording.wav"]


def test_more_than_seven_channels_through_a_codec(tmp_path: Path) -> None:
    tones = [(0.2 * np.sin(2 * np.pi * (300 + 100 * n) * TIME)).astype(np.float32) for n in range(8)]
    path = tmp_path / "recording"
    path.write_bytes(encoded("flac", "matroska", layout="7.1", rate=RATE, channels=lambda _: tones)(LEFT))
    found = tracks_of(path, "split")
    assert list(found) == list(range(8))
    for channel, samples in found.items():
        spectrum = np.abs(np.fft.rfft(samples[: 10 * RATE]))
        assert np.argmax(spectrum) / 10 == pytest.approx(300 + 100 * channel, abs=1)
