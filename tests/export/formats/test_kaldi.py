"""Kaldi's data directory under the rules of its `validate_data_dir.sh`, and of how Kaldi opens what `wav.scp` names."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings

from pipeline.export.formats.fields import channel_name, name
from pipeline.export.formats.kaldi import Kaldi
from pipeline.model import Transcript, Word
from tests.export.formats.rows import exported, many, plain, row_of, words_of


def read(rows: list[Transcript]) -> dict[str, dict[str, str]]:
    """What follows the key of each line, by file and key."""
    found = {}
    for file, data in zip(Kaldi.files, exported(Kaldi(), rows), strict=True):
        lines = [line.decode() for line in data.split(b"\n")]
        assert lines.pop() == ""
        keys = [line.split()[0] for line in lines]
        assert keys == sorted({*keys}, key=str.encode)
        found[file] = {key: line.removeprefix(f"{key} ") for key, line in zip(keys, lines, strict=True)}
    return found


def validated(rows: list[Transcript]) -> dict[str, dict[str, str]]:
    found = read(rows)
    assert len({(*of,) for of in found.values()}) == 1  # the same keys in all files
    assert found["utt2spk"] == found["spk2utt"] == {key: key for key in found["text"]}
    for key, segment in found["segments"].items():
        recording, start, stop = segment.split()
        assert recording in found["wav.scp"]
        assert float(stop) > float(start) >= 0
        assert float(found["utt2dur"][key]) > 0
        assert not re.search(r"(?<!\w)(<s>|</s>|#0)(?!\w)", f"{key} {found['text'][key]}")
        assert found["text"][key].split() == found["text"][key].split(" ") != [""]
    for source in found["wav.scp"].values():
        assert source.endswith(" - |") or "|" not in source
        assert source == source.strip()
        assert not re.search(r":\d+$|\]$", source)
    return found


@settings(max_examples=20)
@given(many())
def test_the_directory_is_valid_and_has_each_word_once(rows: list[Transcript]) -> None:
    # a path that a command can take: what is left out is another test
    rows = [msgspec.structs.replace(row, audio=f"/audio/{place}.wav") for place, row in enumerate(rows)]
    found = validated(rows)
    wanted = {}
    for row in rows:
        for channel, words in words_of(row).items():
            key = name(row.id) if len(words_of(row)) == 1 else channel_name(row.id, channel)
            wanted[key] = [plain(word.text) for word in words]
    assert {key: [*map(plain, text.split())] for key, text in found["text"].items()} == wanted


def test_a_span_has_its_place_in_the_recording() -> None:
    said = [Word(text="hi", start_s=0.0)]
    one = row_of("a#t=10.5,12", said, audio="/audio/a.wav", offset_s=10.5, span_s=1.5, duration_s=1.5)
    assert validated([one]) == {
        "wav.scp": {"a#t=10.5,12": "/audio/a.wav"},
        "segments": {"a#t=10.5,12": "a#t=10.5,12 10.5 12"},
        "text": {"a#t=10.5,12": "hi"},
        "utt2spk": {"a#t=10.5,12": "a#t=10.5,12"},
        "spk2utt": {"a#t=10.5,12": "a#t=10.5,12"},
        "utt2dur": {"a#t=10.5,12": "1.5"},
    }


STEREO = [Word(text="left", start_s=0.0), Word(text="right", start_s=0.5, channel=1)]


@pytest.mark.parametrize(
    ("fields", "words", "options"),
    [
        ({"channels": 2}, STEREO, ["-af pan=mono|c0=c0", "-af pan=mono|c0=c1"]),
        ({"channels": 2}, STEREO[:1], ["-ac 1"]),
        ({"channels": 2}, STEREO[1:], ["-af pan=mono|c0=c1"]),
        ({"channels": 2, "channel": 0}, STEREO[:1], ["-af pan=mono|c0=c0"]),
        ({"channels": 2, "channel": 1}, STEREO[:1], ["-af pan=mono|c0=c1"]),
        ({"channels": None, "channel": 1}, STEREO[:1], ["-af pan=mono|c0=c1"]),
        ({"audio": "/audio/a.opus"}, STEREO[:1], ["-ac 1"]),
    ],
)
def test_a_shell_runs_the_command_of_a_channel(
    fields: dict[str, object], words: list[Word], options: list[str], tmp_path: Path
) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    audio = fields.get("audio", "/audio/\u00e9t\u00e9,1.wav")
    found = validated([row_of("a", words, **{"audio": audio, **fields})])["wav.scp"]
    for source, wanted in zip(found.values(), options, strict=True):
        env = {"PATH": f"{tmp_path}:{os.defpath}"}
        said = subprocess.run(["sh", "-c", source[:-1]], env=env, capture_output=True, text=True, check=True).stdout
        wanted_args = f"-nostdin -v error -i {audio} {wanted} -f wav -c:a pcm_s16le -"
        assert said.split("\n")[:-1] == wanted_args.split()


@pytest.mark.parametrize(
    "path", ["/a b.opus", "/a'b.opus", "/$(id).opus", "/a;b.opus", "/a`b.opus", "/a&b.opus", "/~.opus"]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_no_path_is_quoted_for_a_shell(path: str, channels: int) -> None:
    for audio in (path, path.replace(".opus", ".wav")):
        files = exported(Kaldi(), [row_of("a", STEREO[:1], audio=audio, channels=channels)])
        opened = channels == 1 and audio.endswith(".wav")
        assert files[0] == (f"a {audio}\n".encode() if opened else b"")


@pytest.mark.parametrize("audio", ["/a.wav|", "/a|b.wav", "/a\nb /etc/passwd.wav", "/a.wav\n", "/a\u2028.wav"])
def test_no_path_becomes_a_command_or_a_line(audio: str) -> None:
    assert exported(Kaldi(), [row_of("a", STEREO[:1], audio=audio)]) == [b""] * 6


def test_a_row_without_words_is_left_out() -> None:
    assert exported(Kaldi(), [row_of("a", audio="/a.wav")]) == [b""] * 6


@pytest.mark.parametrize("other", ["a!", "a-", "a-channel1", "a-channel10", "a-channel1x", "a0"])
def test_no_row_stands_between_the_channels_of_another(other: str) -> None:
    call = row_of("a", STEREO, audio="/a.wav", channels=2)
    assert len(validated([call, row_of(other, STEREO[:1], audio="/b.wav")])["text"]) == 3
