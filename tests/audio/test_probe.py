"""What may be sent as it is, told by content."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import errors
from pipeline.audio.probe import probe
from pipeline.source.local import file_version
from tests.audio.forms import SAMPLE, Maker, chunk, encoded, numbers, plain, sentence, wav, written
from tests.audio.lies import OGG_LIES, WAV_LIES

SENT_AS_IT_IS: dict[str, tuple[Maker, str]] = {
    "16 bit": (plain(), "audio/wav"),
    "24 bit": (plain(bits=24), "audio/wav"),
    "32 bit": (plain(bits=32), "audio/wav"),
    "8 kHz": (plain(rate=8_000), "audio/wav"),
    "chunks around the samples": (plain(before=chunk(b"LIST", b"INFOabc"), after=chunk(b"LIST", b"INFO")), "audio/wav"),
    "ogg opus": (encoded("libopus", "ogg", rate=48_000), "audio/ogg"),
    "ogg opus of libsndfile": (written("OGG", "OPUS", rate=48_000), "audio/ogg"),
    "ogg opus in frames of 60 ms": (
        encoded("libopus", "ogg", rate=48_000, codec_options={"frame_duration": "60"}),
        "audio/ogg",
    ),
    "ogg opus in frames of 2.5 ms": (
        encoded("libopus", "ogg", rate=48_000, codec_options={"frame_duration": "2.5"}),
        "audio/ogg",
    ),
}
DECODED: dict[str, Maker] = {
    "stereo": plain(channels=2),
    "8 bit": plain(bits=8),
    "float": plain(tag=3, bits=32),
    "extensible": plain(extensible=16),
    "a-law": written("WAV", "ALAW"),
    "big-endian": plain(name=b"RIFX", order=">"),
    "rf64": plain(name=b"RF64", data_size=0xFFFFFFFF, riff_size=0xFFFFFFFF, ds64=0),
    "streamed": plain(data_size=0xFFFFFFFF, riff_size=0xFFFFFFFF),
    "riff size too small": plain(riff_size=1_000),
    "data size too large": plain(data_size=10_000_000),
    "half a sample at the end": lambda speech: wav(numbers(speech) + b"\0"),
    "junk at the end": lambda speech: plain()(speech) + b"\1\2\3",
    "odd chunk without pad": plain(before=chunk(b"LIST", b"INFOabc", pad=False)),
    "stereo opus": encoded("libopus", "ogg", rate=48_000, layout="stereo"),
    "two opus streams end to end": lambda speech: 2 * encoded("libopus", "ogg", rate=48_000)(speech),
    "opus that breaks off": lambda speech: encoded("libopus", "ogg", rate=48_000)(speech)[:-50],
    "vorbis": written("OGG", "VORBIS"),
    "mp3": encoded("libmp3lame", "mp3"),
}


@pytest.mark.parametrize("name", SENT_AS_IT_IS)
def test_goes_as_it_is(name: str, tmp_path: Path) -> None:
    maker, content_type = SENT_AS_IT_IS[name]
    path = tmp_path / "speech.mp3"  # the name says nothing
    path.write_bytes(maker(sentence()))
    found = probe(str(path))
    assert found.content_type == content_type
    assert found.channels == 1
    assert found.duration_s == pytest.approx(len(sentence()) / 24_000, abs=0.001)
    assert found.version == file_version(path.stat())


@pytest.mark.parametrize("name", DECODED)
def test_must_be_decoded(name: str, tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(DECODED[name](sentence()))
    assert probe(str(path)).content_type is None


@pytest.mark.parametrize("name", [*WAV_LIES, *OGG_LIES])
def test_a_header_that_lies_about_the_length_is_not_believed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "speech"
    path.write_bytes((WAV_LIES | OGG_LIES)[name](sentence()))
    if name in ("2 Hz", "2 GHz"):
        with pytest.raises(errors.AudioUnreadable, match="damaged in its header: 1 channels at 2"):
            probe(str(path))
    else:
        assert probe(str(path)).content_type is None


def test_an_ogg_file_with_other_positions_is_as_long_as_its_packets(tmp_path: Path) -> None:
    path = tmp_path / "speech.ogg"
    for name in ("last page says 1 s", "all pages say a tenth"):
        path.write_bytes(OGG_LIES[name](sentence()))
        assert probe(str(path)).duration_s == pytest.approx(10 * len(sentence()) / 24_000, abs=0.1)


def test_no_file_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(errors.AudioUnreadable, match="no regular file"):
        probe(str(tmp_path / "pipe"))
    with pytest.raises(errors.AudioMissing):
        probe(str(tmp_path / "none"))


def test_plain_wav_needs_no_decoder() -> None:
    code = (
        "import sys; from pipeline.audio import probe; probe.probe(sys.argv[1]); "
        "print({'av', 'numpy'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, SAMPLE / "door-16k.wav"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
