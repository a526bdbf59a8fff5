"""A recording that lies elsewhere is inspected by parts of it: as a local one is, or its length is an estimate."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pipeline.audio.probe import Probe, probe
from pipeline.audio.remote import MOST_BYTES, probe_by_size, probe_remote
from pipeline.errors import AttemptError, AudioMissing, NoParts, SourceChanged
from pipeline.model import FileVersion
from pipeline.source import FileInfo
from tests.audio.forms import Maker, chunk, encoded, plain, sentence, written
from tests.audio.lies import OGG_LIES, WAV_LIES
from tests.audio.test_formats import MADE
from tests.audio.test_lengths import COUNTING, NOT_COUNTING
from tests.source.bucket import Bucket

AT = "s3://b/recording.bin"
SPEECH = np.tile(sentence(), 12)
SECONDS = len(SPEECH) / 24_000
Outcome = Probe | str
"""Or the class of the error."""


def tag(size: int) -> bytes:
    """An ID3 tag with a picture."""

    def number(value: int) -> bytes:
        return bytes(value >> shift & 127 for shift in (21, 14, 7, 0))

    frame = b"\0image/png\0\3\0" + bytes(size)
    return b"ID3\4\0\0" + number(len(frame) + 10) + b"APIC" + number(len(frame)) + b"\0\0" + frame


def tagged(maker: Maker) -> Maker:
    return lambda speech: tag(150_000) + maker(speech)


def with_picture(speech: np.ndarray) -> bytes:
    data = written("FLAC", "PCM_16")(speech)
    return data[:42] + bytes([6]) + (150_000).to_bytes(3, "big") + bytes(150_000) + data[42:]


MP3 = {"id3v2_version": "0"}
ESTIMATED: dict[str, tuple[Maker, float]] = {
    "long opus": (encoded("libopus", "ogg", rate=48_000), 0.01),
    "m4a": (encoded("aac", "ipod", bit_rate=16_000), 0.1),
    "mp3 behind a picture": (tagged(encoded("libmp3lame", "mp3", options=MP3)), 0.1),
    "mp3 without a count behind a picture": (
        tagged(encoded("libmp3lame", "mp3", options=MP3 | {"write_xing": "0"})),
        0.1,
    ),
    "flac behind a picture": (with_picture, 0.001),
}
"""By their starts and ends, and how far off they may be, in seconds."""
EXACT = ("wav", "rf64", "flac", "mp3", "webm", "aiff", "wav streamed", "wav mu-law")


def outcome(found: object) -> Outcome:
    assert isinstance(found, Probe)
    return msgspec.structs.replace(found, version=FileVersion(found.version.size_bytes, 0, 0, 0))


def inspected(data: bytes, path: Path) -> tuple[Outcome, Outcome, int]:
    """What the file itself tells, what parts of it tell, and how many bytes were read of it elsewhere."""
    path.write_bytes(data)
    bucket, found = Bucket({AT: data}), list[Outcome]()
    for look in (lambda: probe(str(path)), lambda: probe_remote(bucket.sources(), AT, bucket.info(AT))):
        try:
            found.append(outcome(look()))
        except AttemptError as error:
            found.append(type(error).__name__)  # what FFmpeg says depends on where it stopped reading
    return found[0], found[1], bucket.bytes[AT]


def check(data: bytes, path: Path) -> Outcome:
    local, elsewhere, read = inspected(data, path)
    assert read <= MOST_BYTES
    if elsewhere != local:
        assert len(data) > MOST_BYTES
        assert isinstance(elsewhere, Probe)
        assert not elsewhere.is_counted
        assert elsewhere.content_type is None
    return elsewhere


@pytest.mark.parametrize("name", EXACT)
def test_a_header_is_enough_where_it_is_at_the_start(name: str, tmp_path: Path) -> None:
    data = (COUNTING | NOT_COUNTING)[name](SPEECH)
    local, elsewhere, read = inspected(data, tmp_path / "a")
    assert elsewhere == local
    assert isinstance(local, Probe)
    assert read <= MOST_BYTES < len(data)


@pytest.mark.parametrize("name", ESTIMATED)
def test_else_the_start_and_the_end_give_an_estimate(name: str, tmp_path: Path) -> None:
    maker, within_s = ESTIMATED[name]
    data = maker(SPEECH)
    assert len(data) > MOST_BYTES
    found = check(data, tmp_path / "a")
    assert isinstance(found, Probe)
    assert found.duration_s == pytest.approx(SECONDS, abs=within_s)


def test_chunks_after_the_samples_are_looked_at(tmp_path: Path) -> None:
    after = chunk(b"LIST", b"INFO" + bytes(200_000)) + chunk(b"id3 ", bytes(100))
    local, elsewhere, read = inspected(plain(after=after)(SPEECH), tmp_path / "a")
    assert elsewhere == local
    assert isinstance(local, Probe)
    assert local.content_type is not None
    assert read < 30_000


def test_what_has_no_header_is_estimated_by_its_size() -> None:
    info = FileInfo("v", 3_200_000, 0.0)
    assert probe_by_size("s3://b/a.wav?x=1", info).duration_s == 100
    assert probe_by_size("s3://b/a.m4a", info).duration_s == 0  # unknown
    bucket = Bucket({AT: bytes(10)})
    row = probe_remote(bucket.sources(), "s3://b/a.parquet#row=3", info)
    assert (row.duration_s, row.is_counted, row.version.size_bytes) == (200, False, 3_200_000)
    assert probe_remote(bucket.sources(), AT, info._replace(size_bytes=None)).version.size_bytes > 0
    assert not bucket.gets


def test_a_server_that_sends_no_parts_leaves_an_estimate() -> None:
    bucket = Bucket({AT: encoded("libopus", "ogg", rate=48_000)(SPEECH)})
    sources = bucket.sources()
    read = sources.read

    def whole(path: str, start: int, stop: int, version: str | None = None, **_: bool) -> bytes:
        if start > 50_000:
            raise NoParts("all of it")
        return read(path, start, stop, version)

    sources.read = whole  # type: ignore[method-assign]
    found = probe_remote(sources, AT, bucket.info(AT))
    assert (found.duration_s, found.is_counted) == (0, False)


def test_errors_of_the_source_are_raised() -> None:
    bucket = Bucket({AT: plain()(SPEECH)})
    info = bucket.info(AT)
    with pytest.raises(SourceChanged):
        probe_remote(bucket.sources(), AT, info._replace(version="other"))
    bucket.errors[AT] = AudioMissing("gone")
    with pytest.raises(AudioMissing, match="gone"):
        probe_remote(bucket.sources(), AT, info)


def test_an_error_in_the_middle_of_a_header_is_not_taken_for_the_end_of_the_file() -> None:
    data = written("FLAC", "PCM_16")(SPEECH)
    bucket = Bucket({AT: data})
    sources = bucket.sources()
    read = sources.read

    def fails(path: str, start: int, stop: int, version: str | None = None, **_: bool) -> bytes:
        if start:
            raise AudioMissing("gone meanwhile")
        return read(path, start, stop, version)

    sources.read = fails  # type: ignore[method-assign]
    with pytest.raises(AudioMissing, match="gone meanwhile"):
        probe_remote(sources, AT, bucket.info(AT))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MADE, *COUNTING, *NOT_COUNTING, *WAV_LIES, *OGG_LIES])
def test_parts_tell_the_same_as_the_file_or_an_estimate(name: str, tmp_path: Path) -> None:
    """Whole, short, long, cut anywhere, and with damaged bytes."""
    maker = (MADE | COUNTING | NOT_COUNTING | WAV_LIES | OGG_LIES)[name]
    rng = random.Random(name)
    path = tmp_path / "a"
    for speech in (sentence(), SPEECH):
        data = maker(speech)
        check(data, path)
        for _ in range(6):
            check(data[: rng.randrange(len(data))], path)
            damaged = bytearray(data)
            for _ in range(4):
                damaged[rng.randrange(min(len(data), rng.choice([100, 20_000, len(data)])))] = rng.randrange(256)
            check(bytes(damaged), path)
