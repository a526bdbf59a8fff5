"""Exports of rows whose recordings lie elsewhere: their names, their addresses in other formats, and their audio."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from pipeline.audio.probe import read_recording
from pipeline.errors import AudioForbidden, UsageError
from pipeline.export.audio_of import AudioOf, NoAudio
from pipeline.export.formats.hub import AudioBytes
from pipeline.export.formats.kaldi import Kaldi
from pipeline.export.formats.lhotse import Lhotse
from pipeline.export.formats.nemo import Nemo
from pipeline.export.local_copies import LocalCopies
from pipeline.export.names import common_folder, mirrored, path_of, unlike
from pipeline.export.recordings import Recordings
from pipeline.export.state import ExportState
from pipeline.model import Transcript
from pipeline.source.addresses import ending_of
from tests.audio.forms import numbers, plain, sentence
from tests.records import transcript
from tests.source.bucket import Bucket


@pytest.mark.parametrize(
    ("audio", "path", "suffix"),
    [
        ("/a/b.wav", "/a/b.wav", ".wav"),
        ("s3://b/day/one.flac", "/s3/b/day/one.flac", ".flac"),
        ("https://h/a/b.mp3?v=1/x", "/https/h/a/b.mp3", ".mp3"),
        ("s3://b/what?.wav", "/s3/b/what?.wav", ".wav"),
        ("s3://b/a\nb\x7f", "/s3/b/a_b_", ""),
        ("/d/train-0.parquet#row=17", "/d/train-0-row17", ""),
        ("s3://b/train-0.parquet#row=17", "/s3/b/train-0-row17", ""),
        ("s3://b/a.w v", "/s3/b/a.w v", ""),
    ],
)
def test_files_are_called_after_the_path_of_an_address(audio: str, path: str, suffix: str) -> None:
    assert (path_of(audio), ending_of(audio)) == (path, suffix)


def test_names_lead_nowhere_else_and_those_of_two_addresses_can_be_told_apart() -> None:
    audios = [
        "s3://b/../../etc/passwd",
        "s3://b/x//a.wav",
        "s3://b/x/a.wav",
        "https://h/x/a.wav?v=1",
        "https://h/x/a.wav?v=2",
    ]
    root = common_folder(audios)
    assert root == "/"
    assert all(".." not in mirrored(audio, root).split("/") for audio in audios)
    assert len({unlike(audio, root) for audio in audios}) == len(audios)
    assert [mirrored(audio, common_folder(audios[1:3])) for audio in audios[1:3]] == ["a.wav", "a.wav"]
    assert common_folder(["s3://b/x/1/a.wav", "s3://b/x/2/a.wav"]) == "/s3/b/x"


def row(audio: str, **more: object) -> Transcript:
    return msgspec.structs.replace(transcript("a"), audio=audio, sample_rate=16_000, channels=1, **more)


def test_addresses_stand_in_manifests_of_others_as_they_are() -> None:
    there = row("s3://b/a.wav")
    [line] = Nemo().lines(there)
    assert json.loads(line)["audio_filepath"] == "s3://b/a.wav"
    [source] = json.loads(Lhotse().lines(there)[0])["sources"]
    assert (source["type"], source["source"]) == ("url", "s3://b/a.wav")
    assert json.loads(Lhotse().lines(row("/a.wav"))[0])["sources"][0]["type"] == "file"
    assert Kaldi().lines(there)[0] == b"a s3://b/a.wav\n"
    assert b" -i https://h/a.mp3 " in Kaldi().lines(row("https://h/a.mp3"))[0]
    for unsafe in ("https://h/a.mp3?x=$(id)", "s3://b/a b.mp3", "/a.parquet#row=1"):
        assert Kaldi().lines(row(unsafe))[0] == b""


def test_nothing_can_be_written_beside_an_address(tmp_path: Path) -> None:
    state = ExportState(tmp_path / "state.sqlite")
    recordings = Recordings(state, beside=True)
    with pytest.raises(UsageError, match=r"--beside: s3://b/a\.wav is no local file.*--to"):
        recordings._refuse_addresses(["/a.wav", "s3://b/a.wav"])
    recordings._refuse_addresses(["/a.wav"])
    state.close()


# -- audio ------------------------------------------------------------------------------------------------------------


def transcribed(bucket: Bucket, tmp_path: Path, audio: str, data: bytes, **more: object) -> Transcript:
    """A row of a recording in a bucket, as it was transcribed."""
    bucket.objects[audio] = data
    (tmp_path / "one").write_bytes(data)
    found = read_recording(str(tmp_path / "one"))
    return row(audio, audio_hash=found.audio_hash, duration_s=found.probe.duration_s, **more)


def audio_of(bucket: Bucket, tmp_path: Path, rows: Iterable[Transcript], **more: int) -> list[AudioBytes | NoAudio]:
    folder = tmp_path / "spool"
    with bucket.sources() as sources, AudioOf(folder, sources, decoders=2, **more) as audio:
        found = [one for _, one in audio.of(rows)]
    assert not folder.exists()
    return found


def test_audio_is_fetched_once_for_all_rows_of_a_recording(tmp_path: Path) -> None:
    bucket = Bucket()
    first = transcribed(bucket, tmp_path, "s3://b/x/a.wav", plain()(sentence()))
    second = transcribed(bucket, tmp_path, "s3://b/x/b.wav", plain()(sentence()[9:]))
    found = audio_of(bucket, tmp_path, [first, first, second, first])
    assert found == [
        AudioBytes(data=bucket.objects[one.audio], name=one.audio.rpartition("/")[2])
        for one in (first, first, second, first)
    ]
    assert bucket.gets == {"s3://b/x/a.wav": 1, "s3://b/x/b.wav": 1}


def test_why_there_is_no_audio_is_told(tmp_path: Path) -> None:
    bucket = Bucket()
    rows = [
        transcribed(bucket, tmp_path, f"s3://b/{name}.wav", plain()(sentence()[n:]))
        for n, name in enumerate(["gone", "no", "changed", "here"])
    ]
    del bucket.objects["s3://b/gone.wav"]
    bucket.errors["s3://b/no.wav"] = AudioForbidden("s3://b/no.wav is refused")
    bucket.objects["s3://b/changed.wav"] = plain()(sentence()[5:])
    found = audio_of(bucket, tmp_path, rows)
    whys = [(one.why, one.message) for one in found[:3] if isinstance(one, NoAudio)]
    assert [why for why, _ in whys] == ["missing", "unreadable", "changed"]
    assert "s3://b/no.wav is refused" in whys[1][1]
    assert isinstance(found[3], AudioBytes)


def test_copies_take_no_more_than_their_space(tmp_path: Path) -> None:
    bucket = Bucket()
    one = len(numbers(sentence())) + 44
    rows = [transcribed(bucket, tmp_path, f"s3://b/{n}.wav", plain()(sentence()[n:])) for n in range(12)]
    big = transcribed(bucket, tmp_path, "s3://b/big.wav", plain()(sentence().repeat(4)))
    found = audio_of(bucket, tmp_path, [*rows, big, *rows], spool_bytes=2 * one)
    assert [isinstance(one, AudioBytes) for one in found] == [True] * 12 + [False] + [True] * 12
    assert isinstance(found[12], NoAudio)
    assert found[12].why == "too large"


def test_the_first_row_gets_its_copy_though_the_size_of_a_later_one_is_known_before(tmp_path: Path) -> None:
    bucket = Bucket({f"s3://b/{n}": bytes(80) for n in range(3)})
    sources, asked = bucket.sources(), threading.Event()
    stat = sources.stat

    def late(path: str):  # type: ignore[no-untyped-def]
        found = stat(path)
        if path == "s3://b/0":
            assert asked.wait(10)
        else:
            asked.set()
        return found

    sources.stat = late  # type: ignore[method-assign]

    async def hold_all() -> list[str]:
        copies, order = LocalCopies(sources, tmp_path / "spool", 100), list[str]()

        async def one(audio: str) -> None:
            assert Path(await copies.hold(audio)).read_bytes() == bytes(80)
            order.append(audio)
            copies.release(audio)

        await asyncio.wait_for(asyncio.gather(*(one(audio) for audio in bucket.objects)), 10)
        copies.close()
        return order

    assert asyncio.run(hold_all()) == [*bucket.objects]
    assert len([*(tmp_path / "spool").iterdir()]) == 1


def test_rows_of_parquet_files_are_called_after_file_row_and_format(tmp_path: Path) -> None:
    bucket = Bucket()
    one = transcribed(bucket, tmp_path, "s3://b/t.parquet#row=3", plain()(sentence()))
    sources = bucket.sources()
    sources._rows = lambda: bucket  # type: ignore[method-assign, assignment, return-value]
    bucket.fetch = lambda path, file, most: file.write(bucket.objects[path])  # type: ignore[attr-defined]
    with AudioOf(tmp_path / "spool", sources, decoders=1) as audio:
        [(_, found)] = audio.of([one])
    assert isinstance(found, AudioBytes)
    assert found.name == "t-row3.wav"
