"""The table of forms and endings against what the libraries that decode them know and really open."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from pipeline.audio.probe import probe
from pipeline.formats import AUDIO_EXTENSIONS, FORMATS
from tests.audio.forms import Maker, encoded, plain, sentence, written

NOT_AUDIO = {"avif", "heic", "heif", "ism", "apl", "mks"}
"""Endings that the library gives to a form, of files that hold pictures, playlists or subtitles."""

MADE: dict[str, Maker] = {
    "3g2": encoded("libopencore_amrnb", "3g2", rate=8_000, bit_rate=12_200),
    "3gp": encoded("libopencore_amrnb", "3gp", rate=8_000, bit_rate=12_200),
    "aac": encoded("aac", "adts"),
    "ac3": encoded("ac3", "ac3", rate=48_000),
    "aiff": written("AIFF", "PCM_16"),
    "amr": encoded("libopencore_amrnb", "amr", rate=8_000, bit_rate=12_200),
    "asf": encoded("wmav2", "asf", rate=44_100, bit_rate=96_000),
    "au": written("AU", "PCM_16"),
    "avi": encoded("libmp3lame", "avi", rate=44_100),
    "caf": written("CAF", "PCM_16"),
    "eac3": encoded("eac3", "eac3", rate=48_000),
    "flac": written("FLAC", "PCM_16"),
    "flv": encoded("libmp3lame", "flv", rate=44_100),
    "iff": written("SVX", "PCM_16"),
    "m4a": encoded("aac", "ipod"),
    "matroska": encoded("libopus", "matroska", rate=48_000),
    "mov": encoded("aac", "mov"),
    "mp3": encoded("libmp3lame", "mp3"),
    "mp4": encoded("aac", "mp4"),
    "mpeg": encoded("mp2", "mpeg", rate=44_100),
    "mpegts": encoded("aac", "mpegts"),
    "nistsphere": written("NIST", "PCM_16"),
    "ogg": written("OGG", "VORBIS"),
    "rm": encoded("ac3", "rm", rate=44_100),
    "tta": encoded("tta", "tta"),
    "voc": written("VOC", "PCM_16"),
    "w64": written("W64", "PCM_16"),
    "wav": plain(),
    "webm": encoded("libopus", "webm", rate=48_000),
    "wv": encoded("wavpack", "wv"),
}


@pytest.mark.parametrize("form", FORMATS)
def test_each_form_is_known_to_the_library_and_the_table_has_its_endings(form: str) -> None:
    known = set(av.format.ContainerFormat(form, "r").extensions)
    assert known - NOT_AUDIO <= {ending.removeprefix(".") for ending in AUDIO_EXTENSIONS}


@pytest.mark.parametrize("form", MADE)
def test_a_file_of_each_form_opens_under_each_of_its_endings(form: str, tmp_path: Path) -> None:
    assert FORMATS[form]
    made = MADE[form](sentence())
    for ending in FORMATS[form]:
        path = tmp_path / f"recording.{ending}"
        path.write_bytes(made)
        assert probe(str(path)).channels == 1


def test_endings_stand_for_audio_once_and_with_their_dot() -> None:
    assert len(AUDIO_EXTENSIONS) == len(set(AUDIO_EXTENSIONS)) > 60
    assert all(ending.startswith(".") and ending == ending.lower() for ending in AUDIO_EXTENSIONS)
    assert {".mkv", ".au", ".mpga", ".wav", ".ts", ".spx"} <= set(AUDIO_EXTENSIONS)
