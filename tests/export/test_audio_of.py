"""The audio of rows: the recording as it is, or the samples that were transcribed, and no audio that was not."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile

from pipeline.audio.decode import decode
from pipeline.audio.prepare import Preparation
from pipeline.audio.probe import read_recording
from pipeline.config.settings import AudioSettings
from pipeline.errors import NoDecoder, OutputError
from pipeline.export import copier
from pipeline.export.audio_of import AudioOf, NoAudio
from pipeline.export.formats.hub import AudioBytes
from pipeline.model import Transcript, Utterance
from pipeline.price import Price
from pipeline.source import Sources
from tests.acceptance.test_full_disk import small_disk
from tests.audio.forms import RATE, Maker, encoded, numbers, plain, sentence, wav, written
from tests.records import transcript

Ask = Callable[..., list[AudioBytes | NoAudio]]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """The audio of rows; the folder is gone afterwards, and no copy was left in it."""

    def of(*rows: Transcript, sources: Sources | None = None, **more: Any) -> list[AudioBytes | NoAudio]:
        folder = tmp_path / "spool"
        with AudioOf(folder, sources or Sources(), decoders=1, **more) as audio:
            found = list(audio.of(rows))
        assert [row for row, _ in found] == [*rows]
        assert not folder.exists()
        return [one for _, one in found]

    return of


class Here:
    """In place of processes, which take a third of a second to start."""

    def __init__(self, make_tool: Callable[[], Callable[[Any], Any]], count: int) -> None:
        self._tool = make_tool()

    async def start(self) -> None: ...

    async def call(self, task: Any, *, timeout_s: float) -> Any:
        return self._tool(task)

    async def close(self) -> None: ...


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copier, "Workers", Here)


def file(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def row_of(path: str, duration_s: float | None = None, **more: Any) -> Transcript:
    """The row of a recording, of which `duration_s` were transcribed."""
    row = transcript(Path(path).name, audio_hash=read_recording(path).audio_hash)
    if duration_s is None:
        tracks = decode(path, f"{path}-decoded", 0, allow_truncated=True).tracks
        duration_s = round(tracks[0].samples / RATE - more.get("offset_s", 0), 6)
    return msgspec.structs.replace(row, audio=path, duration_s=duration_s, **more)


def heard(audio: AudioBytes | NoAudio, dtype: str = "float32") -> Any:
    """Samples of shape (samples, channels), as anybody decodes them."""
    assert isinstance(audio, AudioBytes), audio
    return soundfile.read(io.BytesIO(audio.data), dtype=dtype, always_2d=True)[0]


def sent(row: Transcript, folder: Path, **settings: Any) -> list[bytes]:
    """The samples that a run sends for a row, of each channel."""
    asked = Utterance(id=row.id, audio=row.audio, offset_s=row.offset_s, duration_s=row.span_s, channel=row.channel)

    async def prepared() -> list[bytes]:
        preparation = Preparation(AudioSettings(decoders=1, **settings), Price(credits_per_s=3), folder / "sent")
        try:
            clips = (await preparation.prepare(asked, read_recording(row.audio))).clips
            found = []
            for clip in clips:
                first, length = clip.request.span_bytes or (44, None)
                data = Path(clip.request.path).read_bytes()[first:]
                found.append(data[:length])
            return found
        finally:
            await preparation.close()

    return asyncio.run(prepared())


AS_THEY_ARE: dict[str, Maker] = {
    "wav": plain(),
    "8k.wav": plain(rate=8_000, bits=8),
    "stereo.wav": plain(channels=2, rate=44_100),
    "float.wav": plain(tag=3, bits=32),
    "flac": written("FLAC", "PCM_16", channels=2),
    "mp3": encoded("libmp3lame", "mp3"),
    "ogg": written("OGG", "VORBIS"),
    "opus": encoded("libopus", "ogg", rate=48_000),
}
DECODED: dict[str, Maker] = {
    "m4a": encoded("aac", "ipod", layout="stereo"),
    "mp4": encoded("aac", "mp4"),
    "webm": encoded("libopus", "webm", rate=48_000),
    "aiff": written("AIFF", "PCM_24"),
    "wv": encoded("wavpack", "wv"),
    "aac": encoded("aac", "adts"),
}
"""Of no length by its header, for one."""


@pytest.mark.slow
@pytest.mark.parametrize("ending", AS_THEY_ARE)
def test_a_recording_that_others_read_is_its_own_bytes(ending: str, tmp_path: Path, ask: Ask) -> None:
    data = AS_THEY_ARE[ending](sentence())
    path = file(tmp_path, f"a {ending}.{ending}", data)
    [found] = ask(row_of(path))
    assert found == AudioBytes(data=data, name=f"a {ending}.{ending}")
    assert heard(found).size


def test_mono_wav_and_a_span_of_all_of_it_start_no_process(
    tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copier, "Workers", None)
    data = plain()(sentence())
    path = file(tmp_path, "a.wav", data)
    row = row_of(path)
    covering = msgspec.structs.replace(row, id="b", span_s=round(row.duration_s, 2), channel=0)
    assert ask(row, covering) == [AudioBytes(data=data, name="a.wav")] * 2


@pytest.mark.slow
@pytest.mark.parametrize("ending", DECODED)
def test_of_any_other_recording_all_that_decodes_is_copied(ending: str, tmp_path: Path, ask: Ask) -> None:
    path = file(tmp_path, f"a.{ending}", DECODED[ending](sentence()))
    [found] = ask(row_of(path))
    assert isinstance(found, AudioBytes)
    assert found.name == "a.flac"
    probed = read_recording(path).probe
    with soundfile.SoundFile(io.BytesIO(found.data)) as sound:
        assert (sound.format, sound.samplerate, sound.channels) == ("FLAC", probed.sample_rate, probed.channels)
    for channel in range(probed.channels):
        if probed.sample_rate == RATE:  # else the run resamples
            [track] = decode(path, str(tmp_path / "t"), channel, allow_truncated=False).tracks
            expected = np.fromfile(track.path, "<i2")
            mine = heard(found, "int32")[:, channel] / 65_536
            assert len(mine) == len(expected)
            assert np.abs(mine - expected).max() <= 0.5  # of 24 bits the run rounds away eight
            if ending != "aiff":
                assert np.array_equal(mine, expected)


SPANS = [(0.0, 1.0), (0.5, None), (1.234567, 0.75), (2.0, 5.0), (0.0000208, 0.00005), (2.7, None)]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["stereo.wav", "flac", "m4a", "mp3"])
def test_a_part_has_the_samples_that_were_sent(ending: str, tmp_path: Path, ask: Ask) -> None:
    """At the service's sample rate, so that a run only cuts."""
    makers = (
        AS_THEY_ARE | DECODED | {"stereo.wav": plain(channels=2), "mp3": encoded("libmp3lame", "mp3", layout="stereo")}
    )
    path = file(tmp_path, f"a.{ending}", makers[ending](sentence()))
    rows, expected = [], []
    for offset_s, span_s in SPANS:
        row = row_of(path, 1.0, id=str(offset_s), offset_s=offset_s, span_s=span_s, channel=1)
        expected += sent(row, tmp_path, allow_truncated=True)
        rows.append(msgspec.structs.replace(row, duration_s=round(len(expected[-1]) / 2 / RATE, 6)))
    for found, samples in zip(ask(*rows), expected, strict=True):
        assert heard(found, "int16")[:, 0].tobytes() == samples
        assert isinstance(found, AudioBytes)
        assert found.name.startswith(f"{Path(path).stem}_")
        assert found.name.endswith("_ch1.flac")


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_parts_are_cut_at_the_nearest_sample_of_the_recording(rate: int, tmp_path: Path, ask: Ask) -> None:
    values = np.random.default_rng(1).integers(-(1 << 23), 1 << 23, (2 * rate, 3), dtype=np.int32) << 8
    path = str(tmp_path / "a.wav")
    soundfile.write(path, values, rate, "PCM_24")
    part = row_of(path, 0.75, offset_s=0.3, span_s=0.75)
    one = msgspec.structs.replace(part, id="one", channel=2)
    all_, single = ask(part, one)
    expected = values[round(0.3 * rate) : round(1.05 * rate)]
    assert np.array_equal(heard(all_, "int32"), expected)
    assert np.array_equal(heard(single, "int32")[:, 0], expected[:, 2])


@pytest.mark.slow
@pytest.mark.parametrize("maker", ["16 channels", "float", "32 bits"])
def test_what_flac_does_not_hold(maker: str, tmp_path: Path, ask: Ask) -> None:
    made = {
        "16 channels": plain(channels=16),
        "float": plain(tag=3, bits=32),
        "32 bits": plain(bits=32),
    }[maker]
    path = file(tmp_path, "a.wav", made(sentence()))
    [found] = ask(row_of(path, 1.0, offset_s=1.0, span_s=1.0))
    expected = np.clip(sentence()[RATE : 2 * RATE], -1, 1)
    assert np.abs(heard(found)[:, -1] - expected).max() <= 2.0**-15


@pytest.mark.slow
def test_a_damaged_recording_keeps_its_clock(tmp_path: Path, ask: Ask) -> None:
    """It was transcribed with audio.allow_truncated, as far as it decodes."""
    data = bytearray(written("FLAC", "PCM_16")(np.tile(sentence(), 4)))
    cut = bytes(data[: len(data) // 2])
    path = file(tmp_path, "a.flac", cut)
    [found] = ask(row_of(path, issues=("truncated",)))
    decoded = decode(path, str(tmp_path / "t"), "mix", allow_truncated=True)
    assert heard(found, "int16")[:, 0].tobytes() == Path(decoded.tracks[0].path).read_bytes()


@pytest.mark.slow
def test_a_header_that_others_read_otherwise_is_not_passed_on(tmp_path: Path, ask: Ask) -> None:
    data = numbers(sentence())
    path = file(tmp_path, "a.wav", wav(data, data_size=len(data) // 2, riff_size=36 + len(data)))
    [found] = ask(row_of(path, len(data) / 2 / RATE, span_s=None, issues=()))
    assert abs(len(heard(found)) - len(data) / 2) <= 0.1 * RATE


def test_a_recording_that_is_gone_or_another_one_has_no_audio(tmp_path: Path, ask: Ask) -> None:
    path = file(tmp_path, "a.wav", plain()(sentence()))
    row = row_of(path)
    there = msgspec.structs.replace(row, id="there")
    gone = msgspec.structs.replace(row, id="gone", audio=f"{path}.gone")
    other = msgspec.structs.replace(row, id="other", audio=file(tmp_path, "b.wav", plain()(sentence()[::-1])))
    empty = msgspec.structs.replace(row, id="empty", audio=file(tmp_path, "c.wav", b""))
    found = ask(gone, there, other, empty)
    assert [one.why if isinstance(one, NoAudio) else one.name for one in found] == [
        "missing",
        "a.wav",
        "changed",
        "unreadable",
    ]
    assert isinstance(found[2], NoAudio)
    assert "is not the one that was transcribed" in found[2].message


def test_a_recording_that_changes_before_its_turn_has_no_audio(tmp_path: Path) -> None:
    paths = [file(tmp_path, f"{number}.wav", plain()(sentence())) for number in range(2)]
    rows = [row_of(path) for path in paths]
    with AudioOf(tmp_path / "spool", Sources(), decoders=1) as audio:
        found = audio.of(rows)
        assert isinstance(next(found)[1], AudioBytes)  # the second is looked at as well by now
        # at once: it may be being read
        Path(file(tmp_path, "other.wav", plain()(sentence()[::-1]))).replace(paths[1])
        last = next(found)[1]
    assert isinstance(last, NoAudio)
    assert last.why == "changed"


@pytest.mark.usefixtures("in_process")
def test_audio_is_at_most_so_large(tmp_path: Path, ask: Ask) -> None:
    noise = np.random.default_rng(1).uniform(-0.9, 0.9, 20 * RATE).astype(np.float32)
    path = file(tmp_path, "a.wav", plain()(noise))
    row = row_of(path)
    part = msgspec.structs.replace(row, id="part", offset_s=1.0, span_s=2.0, duration_s=2.0)
    whole, found = ask(row, part, most_bytes=200_000)
    assert isinstance(whole, NoAudio)
    assert whole.why == "too large"
    assert "MiB" in whole.message
    assert len(heard(found)) == 2 * RATE
    quiet = file(tmp_path, "b.wav", plain()(np.zeros(20 * RATE, np.float32)))
    [found] = ask(row_of(quiet), most_bytes=200_000)  # as FLAC it fits
    assert len(heard(found)) == 20 * RATE


@pytest.mark.usefixtures("in_process")
def test_a_recording_is_decoded_once_for_its_parts_while_there_is_room(
    tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real = copier.Copier.whole

    async def counted(self: Any, recording: Any, most_bytes: int) -> Any:
        calls.append(Path(recording.path).name)
        return await real(self, recording, most_bytes)

    monkeypatch.setattr(copier.Copier, "whole", counted)
    rows = []
    for name in ("a", "b"):
        path = file(tmp_path, f"{name}.flac", written("FLAC", "PCM_16")(sentence()))
        rows.append([row_of(path, 0.5, id=f"{name}{n}", offset_s=n / 10, span_s=0.5) for n in range(6)])
    mixed = [row for pair in zip(*rows, strict=True) for row in pair]
    expected = [soundfile.read(row.audio, RATE // 2, round(row.offset_s * RATE), dtype="int16")[0] for row in mixed]
    for found, samples in zip(ask(*mixed), expected, strict=True):
        assert np.array_equal(heard(found, "int16")[:, 0], samples)
    assert calls == ["a.flac", "b.flac"]
    calls.clear()
    monkeypatch.setattr(copier, "WHOLES_KEPT", 1)
    ask(*mixed)
    assert 2 < len(calls) <= 12


@pytest.mark.usefixtures("in_process")
def test_nothing_is_left_of_a_kill_and_an_end_in_the_middle(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / "0000001.flac").write_bytes(b"of a killed export")
    path = file(tmp_path, "a.wav", plain(channels=2)(sentence()))
    rows = [row_of(path, 0.5, id=str(n), offset_s=n / 10, span_s=0.5) for n in range(9)]
    with AudioOf(spool, Sources(), decoders=1) as audio:
        assert not spool.exists()
        found = audio.of(rows)
        next(found)
        assert spool.exists()
    assert not spool.exists()


def test_a_folder_that_cannot_be_made_ends_the_export(tmp_path: Path) -> None:
    path = file(tmp_path, "a.wav", plain(channels=2)(sentence()))
    rows = [row_of(path, 0.5, id=str(n), offset_s=n / 10, span_s=0.5) for n in range(3)]
    with (
        AudioOf(tmp_path / "none" / "spool", Sources(), decoders=1) as audio,
        pytest.raises(OutputError, match="cannot be created"),
    ):
        list(audio.of(rows))


def crashing() -> Callable[[object], object]:
    return lambda task: os.abort()


def missing() -> Callable[[object], object]:
    raise ImportError("libav is not here")


@pytest.mark.slow
def test_a_crash_costs_the_row_and_no_decoder_ends_the_export(
    tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(tmp_path, "a.wav", plain(channels=2)(sentence()))
    row = row_of(path, 0.5, offset_s=0.5, span_s=0.5)
    monkeypatch.setattr(copier, "make_copier", crashing)
    [found] = ask(row)
    assert isinstance(found, NoAudio)
    assert (found.why, "decoder failed 2 times" in found.message) == ("unreadable", True)
    monkeypatch.setattr(copier, "make_copier", missing)
    with pytest.raises(NoDecoder, match="libav is not here"):
        ask(row)


def test_a_name_of_any_bytes_becomes_text(tmp_path: Path, ask: Ask) -> None:
    data = plain()(sentence())
    path = file(tmp_path, os.fsdecode(b"caf\xe9\x1b.wav"), data)
    [found] = ask(row_of(path))
    assert isinstance(found, AudioBytes)
    assert found.name.encode().isascii() is False
    assert found.name == "caf\ufffd\x1b.wav"


def test_rows_are_taken_a_few_ahead(tmp_path: Path) -> None:
    row = row_of(file(tmp_path, "a.wav", plain()(sentence())))
    taken = 0

    def rows() -> Iterator[Transcript]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield row

    with AudioOf(tmp_path / "spool", Sources(), decoders=2) as audio:
        for place, _ in enumerate(audio.of(rows())):
            assert taken <= place + 5
    assert taken == 100


LONG = """
import resource, sys
from pathlib import Path
from pipeline.audio.copies import PartTask, WholeTask, make_copier
from pipeline.source.local import file_version_at
perform = make_copier()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
path, target = sys.argv[1:]
whole = perform(WholeTask(path=path, target=target, version=file_version_at(path), most_bytes=1 << 30))
part = perform(PartTask(path=whole, target=f"{target}-part", begin_s=60, end_s=3500, channel=0, most_bytes=1 << 30))
assert Path(part).stat().st_size
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
def test_memory_is_flat_over_an_hour(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with soundfile.SoundFile(path, "w", 16_000, 2, "PCM_16") as long:
        block = np.tile(np.resize(sentence(), (16_000, 2)), (60, 1))
        for _ in range(60):
            long.write(block)
    done = subprocess.run(
        [sys.executable, "-c", LONG, path, tmp_path / "out"], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 60, "MB above the libraries"


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_a_full_disk_ends_the_export(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).uniform(-0.9, 0.9, 60 * RATE).astype(np.float32)
    path = file(tmp_path, "a.wav", plain(channels=2)(noise))
    for left in (3 << 20, 1 << 16, 5_000, 0):  # 60 s take some 5.5 MB
        with small_disk(tmp_path / f"small-{left}", 6) as disk:
            size = (6 << 20) - left
            (disk / "filler").write_bytes(bytes(size - size % 4_096))
            rows = [row_of(path, 60.0, offset_s=0.5)]
            with AudioOf(disk / "spool", Sources(), decoders=1) as audio, pytest.raises(OutputError, match="cannot be"):
                list(audio.of(rows))


@pytest.mark.usefixtures("in_process")
def test_a_recording_whose_channels_change_is_told(tmp_path: Path, ask: Ask) -> None:
    """Such as a recorded broadcast; what is as it is needs no copy."""
    parts = [encoded("libmp3lame", "mp3", layout=layout)(sentence()) for layout in ("mono", "stereo")]
    row = row_of(file(tmp_path, "a.mp3", b"".join(parts)))
    [found] = ask(msgspec.structs.replace(row, offset_s=1.0, span_s=2.0, duration_s=2.0))
    assert isinstance(found, NoAudio)
    assert found.why == "unreadable"
    assert "its number of channels changes" in found.message
