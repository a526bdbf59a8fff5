"""Length is what decodes; where a header counts more than that, something was cut off or lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline import errors
from pipeline.audio.decode import decode
from pipeline.audio.tracks import Decoded
from pipeline.source.local import file_version
from tests.audio.forms import RATE, Maker, Speech, chunk, encoded, numbers, plain, sentence, wav, written
from tests.beeps import beeps, talk, write

SPEECH = np.tile(sentence(), 4)
SECONDS = len(SPEECH) / RATE


def streamed_au(speech: Speech) -> bytes:
    whole = written("AU", "PCM_16")(speech)
    return whole[:8] + b"\xff" * 4 + whole[12:]


COUNTING: dict[str, Maker] = {
    "wav": plain(),
    "wav mu-law": written("WAV", "ULAW", 8_000),
    "wav adpcm": written("WAV", "IMA_ADPCM"),
    "rf64": lambda speech: wav(
        numbers(speech), name=b"RF64", data_size=0xFFFFFFFF, riff_size=0xFFFFFFFF, ds64=2 * len(speech)
    ),
    "aiff": written("AIFF", "PCM_16"),
    "au": written("AU", "PCM_16"),
    "caf": written("CAF", "PCM_16"),
    "flac": written("FLAC", "PCM_16"),
    "mp3": encoded("libmp3lame", "mp3"),
    "m4a": encoded("aac", "ipod", options={"movflags": "faststart"}),
    "webm": encoded("libopus", "webm", rate=48_000),
    "wavpack": encoded("wavpack", "wv"),
}
NOT_COUNTING: dict[str, Maker] = {
    "wav streamed": plain(data_size=0, riff_size=0),
    "wav all ones": plain(data_size=0xFFFFFFFF, riff_size=0xFFFFFFFF),
    "au streamed": streamed_au,
    "ogg": encoded("libopus", "ogg", rate=48_000),
    "adts": encoded("aac", "adts"),
    "mp3 without a count": encoded("libmp3lame", "mp3", options={"write_xing": "0"}),
}
LOSSY_S = 0.1


def decoded(path: Path, *, allow: bool = False) -> Decoded:
    return decode(str(path), str(path.with_name("out")), "mix", allow_truncated=allow)


def cut_file(tmp_path: Path, maker: Maker, share: float = 0.6) -> Path:
    whole = maker(SPEECH)
    path = tmp_path / "recording"
    path.write_bytes(whole[: int(len(whole) * share)])
    return path


@pytest.mark.parametrize("name", COUNTING)
def test_whole_file_is_whole(name: str, tmp_path: Path) -> None:
    path = cut_file(tmp_path, COUNTING[name], 1.0)
    found = decoded(path)
    assert found.duration_s == pytest.approx(SECONDS, abs=LOSSY_S)
    assert found.tracks[0].samples == pytest.approx(found.duration_s * RATE, abs=2)
    assert found.issues == ()


@pytest.mark.parametrize("name", COUNTING)
def test_cut_file_says_how_far_it_goes(name: str, tmp_path: Path) -> None:
    path = cut_file(tmp_path, COUNTING[name])
    with pytest.raises(errors.AudioTruncated, match=r"decodes for [67]\.\d s, then: .*allow_truncated = true"):
        decoded(path)
    assert list(tmp_path.iterdir()) == [path]
    found = decoded(path, allow=True)
    assert found.issues == ("truncated",)
    assert 0.5 * SECONDS < found.duration_s < 0.65 * SECONDS


@pytest.mark.parametrize("name", NOT_COUNTING)
def test_length_that_is_no_count_breaks_no_promise(name: str, tmp_path: Path) -> None:
    whole, cut = cut_file(tmp_path, NOT_COUNTING[name], 1.0), 0.6
    assert decoded(whole).duration_s == pytest.approx(SECONDS, abs=0.2)
    assert cut * SECONDS - 1.1 < decoded(cut_file(tmp_path, NOT_COUNTING[name], cut)).duration_s < cut * SECONDS + 0.2


def test_flac_from_a_pipe_has_no_length_and_is_whole(tmp_path: Path) -> None:
    data = bytearray(written("FLAC", "PCM_16")(SPEECH))
    data[21] &= 0xF0  # the 36 bits of STREAMINFO that count samples
    data[22:26] = bytes(4)
    (tmp_path / "a").write_bytes(data)
    assert decoded(tmp_path / "a").duration_s == pytest.approx(SECONDS)


def test_little_missing_is_no_fault(tmp_path: Path) -> None:
    whole = plain()(SPEECH)
    (tmp_path / "a").write_bytes(whole[: -int(0.4 * RATE) * 2])
    assert decoded(tmp_path / "a").issues == ()


def test_more_samples_than_declared_are_taken(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(plain(data_size=RATE * 2, riff_size=RATE * 2 + 36)(SPEECH))
    assert decoded(tmp_path / "a").duration_s == pytest.approx(SECONDS)


def test_chunks_after_the_samples_are_no_samples(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(plain(after=chunk(b"LIST", b"INFO" + bytes(100_000)))(SPEECH))
    assert decoded(tmp_path / "a").duration_s == pytest.approx(SECONDS)


@pytest.mark.parametrize(
    "maker",
    [
        encoded("libmp3lame", "mp3"),
        encoded("aac", "ipod"),
        encoded("libopus", "ogg", rate=48_000),
    ],
    ids=["mp3", "m4a", "opus"],
)
def test_damage_in_the_middle_is_named_and_can_be_passed(maker: Maker, tmp_path: Path) -> None:
    data = bytearray(maker(SPEECH))
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(number * 7_919 % 251 for number in range(200))
    path = tmp_path / "a"
    path.write_bytes(data)
    with pytest.raises(errors.AudioTruncated, match=r"decodes for [456]\.\d s, then: its data is damaged"):
        decoded(path)
    found = decoded(path, allow=True)
    assert found.issues == ("truncated",)
    # what is lost is silent, and what follows is where it was
    assert found.duration_s == pytest.approx(SECONDS, abs=0.15)
    before = np.fromfile(found.tracks[0].path, dtype="<i2").astype(np.float64)
    path.write_bytes(maker(SPEECH))
    after = np.fromfile(decoded(path).tracks[0].path, dtype="<i2").astype(np.float64)
    start, length, frame = int(8.5 * RATE), 2 * RATE, int(0.08 * RATE)
    wanted = after[start : start + length]
    near = before[start - frame : start + length + frame]
    assert np.correlate(near, wanted, "valid").max() > 0.95 * np.dot(wanted, wanted)


def test_flac_is_taken_as_far_as_its_damage(tmp_path: Path) -> None:
    data = bytearray(written("FLAC", "PCM_16")(SPEECH))
    middle = len(data) // 2
    data[middle] ^= 1
    path = tmp_path / "a"
    path.write_bytes(data)
    with pytest.raises(errors.AudioTruncated, match=r"decodes for [456]\.\d s, then: its data is damaged"):
        decoded(path)
    found = decoded(path, allow=True)
    assert found.issues == ("truncated",)
    assert 4 < found.duration_s < 7


def test_flac_of_a_writer_that_did_not_know_its_length(tmp_path: Path) -> None:
    data = bytearray(written("FLAC", "PCM_16")(SPEECH))
    data[21] &= 0xF0  # the 36 bits of the number of samples in STREAMINFO
    data[22:26] = bytes(4)
    (tmp_path / "a").write_bytes(data)
    found = decoded(tmp_path / "a")
    assert found.issues == ()
    assert found.duration_s == pytest.approx(SECONDS)


def test_flac_keeps_the_short_frames_of_digital_silence(tmp_path: Path) -> None:
    """Frames that PyAV's parser loses."""
    sound = beeps(talk(200, seed=1), 200, 44_100)
    path = write(tmp_path / "a.flac", sound, rate=44_100)
    found = decoded(path)
    assert found.duration_s == pytest.approx(200)
    assert found.issues == ()


def test_a_file_that_was_exchanged_since_it_was_hashed_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(plain()(SPEECH))
    version = file_version(path.stat())
    decode(str(path), str(tmp_path / "out"), "mix", allow_truncated=False, version=version)
    path.chmod(0o600)  # size and mtime are what they were, as where a copy kept the times; ctime is not
    with pytest.raises(errors.AudioUnavailable, match="changed during the run"):
        decode(str(path), str(tmp_path / "out"), "mix", allow_truncated=False, version=version)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a"]
