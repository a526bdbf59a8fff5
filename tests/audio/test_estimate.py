"""What a length is by the header: counted and exact, or a guess that is said to be one, and never more than fits."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.audio.probe import probe
from pipeline.audio.upload import estimate
from pipeline.config.settings import AudioSettings
from pipeline.errors import AudioTruncated
from pipeline.model import Utterance
from pipeline.price import Price
from tests.audio.forms import Maker, Speech, encoded, numbers, wav, written
from tests.audio.test_lengths import COUNTING, NOT_COUNTING, SECONDS, SPEECH

HUGE_S = 1e15
PER_SECOND = Price(3)
EXACT = COUNTING | {name: NOT_COUNTING[name] for name in ("wav streamed", "wav all ones", "ogg")}
"""A streamed WAV is all samples to its end, and Ogg-Opus is counted by its packets."""


def flac_of_a_pipe(speech: Speech) -> bytes:
    return with_flac_samples(0)(speech)


def with_flac_samples(count: int) -> Maker:
    def make(speech: Speech) -> bytes:
        data = bytearray(written("FLAC", "PCM_16")(speech))
        (told,) = struct.unpack_from(">Q", data, 18)
        struct.pack_into(">Q", data, 18, told >> 36 << 36 | count)
        return bytes(data)

    return make


def with_webm_duration(seconds: float | None) -> Maker:
    def make(speech: Speech) -> bytes:
        data = bytearray(encoded("libopus", "webm", rate=48_000)(speech))
        place = data.index(b"\x44\x89\x88")  # the element Duration, a double in milliseconds
        if seconds is None:
            data[place : place + 11] = b"\xec\x89" + bytes(9)  # Void
        else:
            struct.pack_into(">d", data, place + 3, seconds * 1000)
        return bytes(data)

    return make


def with_au_size(size: int) -> Maker:
    def make(speech: Speech) -> bytes:
        data = bytearray(written("AU", "PCM_16")(speech))
        struct.pack_into(">I", data, 8, size)
        return bytes(data)

    return make


def with_w64_size(size: int) -> Maker:
    def make(speech: Speech) -> bytes:
        data = bytearray(written("W64", "PCM_16")(speech))
        struct.pack_into("<Q", data, data.index(b"data") + 16, size)
        return bytes(data)

    return make


def with_aiff_frames(count: int) -> Maker:
    def make(speech: Speech) -> bytes:
        data = bytearray(written("AIFF", "PCM_16")(speech))
        struct.pack_into(">I", data, data.index(b"COMM") + 10, count)
        return bytes(data)

    return make


GUESSED: dict[str, Maker] = {
    "adts": NOT_COUNTING["adts"],
    "mp3 without a count": NOT_COUNTING["mp3 without a count"],
    "flac of a pipe": flac_of_a_pipe,
    "webm without a length": with_webm_duration(None),
    "mpegts": encoded("aac", "mpegts"),
}
LYING: dict[str, Maker] = {
    "flac": with_flac_samples((1 << 36) - 1),
    "webm": with_webm_duration(HUGE_S),
    "au": with_au_size((1 << 31) - 2),
    "w64": with_w64_size((1 << 62) - 2),
    "wav": lambda speech: wav(
        numbers(speech), name=b"RF64", data_size=0xFFFFFFFF, riff_size=0xFFFFFFFF, ds64=(1 << 62) - 2
    ),
}


def made(tmp_path: Path, make: Callable[[Speech], bytes]) -> str:
    path = tmp_path / "recording"
    path.write_bytes(make(SPEECH))
    return str(path)


@pytest.mark.parametrize("name", sorted(EXACT))
def test_what_a_header_counts_is_within_a_hundredth(name: str, tmp_path: Path) -> None:
    path = made(tmp_path, EXACT[name])
    assert probe(path).is_counted
    found = estimate(Utterance(id="a", audio=path), probe(path), AudioSettings(), PER_SECOND)
    assert not found.is_guess
    assert found.sent_s == pytest.approx(SECONDS, rel=0.01)


@pytest.mark.parametrize("name", sorted(GUESSED))
def test_what_no_header_counts_is_said_to_be_a_guess(name: str, tmp_path: Path) -> None:
    path = made(tmp_path, GUESSED[name])
    found = estimate(Utterance(id="a", audio=path), probe(path), AudioSettings(), PER_SECOND)
    assert found.is_guess
    assert SECONDS / 5 < found.sent_s < SECONDS * 5


@pytest.mark.parametrize("name", sorted(LYING))
def test_no_header_makes_a_recording_longer_than_its_bytes_can_hold(name: str, tmp_path: Path) -> None:
    path = made(tmp_path, LYING[name])
    settings = AudioSettings(allow_truncated=True)
    found = estimate(Utterance(id="a", audio=path), probe(path), settings, PER_SECOND)
    assert found.sent_s < SECONDS * 10


@pytest.mark.parametrize("name", ["au", "aiff"])
def test_samples_that_a_header_counts_and_are_not_there_are_refused_as_by_a_run(name: str, tmp_path: Path) -> None:
    path = made(tmp_path, {"au": with_au_size(1 << 22), "aiff": with_aiff_frames(1 << 21)}[name])
    with pytest.raises(AudioTruncated, match="although its header says"):
        estimate(Utterance(id="a", audio=path), probe(path), AudioSettings(), PER_SECOND)


def test_a_guess_bounds_no_row_that_knows_better(tmp_path: Path) -> None:
    path = made(tmp_path, NOT_COUNTING["adts"])
    found = estimate(
        Utterance(id="a", audio=path, offset_s=SECONDS * 8, duration_s=2.0), probe(path), AudioSettings(), PER_SECOND
    )
    assert (found.audio_s, found.is_guess) == (2.0, True)


def test_channels_that_are_sent_by_themselves_may_turn_out_alike(tmp_path: Path) -> None:
    path = made(tmp_path, written("WAV", "PCM_16", channels=2))
    split = estimate(Utterance(id="a", audio=path), probe(path), AudioSettings(channels="split"), PER_SECOND)
    assert (split.is_guess, split.requests) == (True, 2)
    assert split.sent_s == pytest.approx(2 * split.audio_s)
    assert not estimate(Utterance(id="a", audio=path), probe(path), AudioSettings(), PER_SECOND).is_guess


def test_only_units_make_the_price_of_pieces_depend_on_pauses(tmp_path: Path) -> None:
    utterance = Utterance(id="a", audio=made(tmp_path, written("WAV", "PCM_16")))
    whole, cut = AudioSettings(), AudioSettings().model_copy(update={"max_clip_s": 1.0})
    in_units = Price(3, 1.0, 0.1)
    assert estimate(utterance, probe(utterance.audio), cut, in_units).requests > 1
    found = {
        (name, price): estimate(utterance, probe(utterance.audio), settings, price).depends_on_pauses
        for name, settings in (("whole", whole), ("cut", cut))
        for price in (PER_SECOND, in_units)
    }
    assert [about for about, depends in found.items() if depends] == [("cut", in_units)]
