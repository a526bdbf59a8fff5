"""The line at the start of a run: how many files, how much audio, who answers; and nothing untrue in it."""

from __future__ import annotations

import json
import os
import re
import time
import wave
from pathlib import Path

import pytest
import soundfile

from tests.acceptance.test_terminal import EVIL, FORGED, check_json, check_text
from tests.batch import Corpus, Finished, batch, errors_of, rows_of, write_wav
from tests.gradium.repeats import END, Repeating, framed, line
from tests.servers import KEY, RunningServer

LOCAL = ("--set", "service.url=local", "--set", "local.recognizer=fingerprint")
BY = "local recognizer fingerprint"
DEAD = "https://127.0.0.2:1/asr"
"""No address that `is_this_machine` knows, and nobody answers."""


def opening(result: Finished) -> str | None:
    """The line, which stands before anything else that a run without warnings says."""
    first = result.stderr.splitlines()[0]
    return first if re.match(r"\d[\d,]* ", first) else None


def stereo_wav(path: Path, seconds: float) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(os.urandom(2 * 2 * int(44_100 * seconds)))


@pytest.mark.slow
def test_a_run_says_first_what_it_will_do_and_then_what_is_left(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=4, seconds=2.25)
    args = ("run", corpus.folder, "--out", out, *LOCAL)
    assert opening(batch(*args, "--limit", "1")) == f"1 of 4 files to do, 2.2 s of audio, {BY}"
    assert opening(batch(*args)) == f"3 of 4 files to do, 6.8 s of audio, {BY}"
    nothing = batch(*args)
    assert opening(nothing) is None
    assert nothing.stderr.startswith("done")
    corpus.add(9, seconds=61.0)
    write_wav(corpus.folder / "00001.wav", seed=77, seconds=70.0)
    assert opening(batch(*args)) == f"2 of 5 files to do, 2.2 min of audio, {BY}"
    assert opening(batch(*args, "--only", "all", "--id", "00000.wav")) == f"1 of 5 files to do, 2.2 s of audio, {BY}"
    assert opening(batch("run", corpus.folder / "00000.wav", "--out", tmp_path / "1", *LOCAL)) == (
        f"1 file, 2.2 s of audio, {BY}"
    )


@pytest.mark.slow
def test_lengths_are_those_of_the_headers_in_every_format(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    stereo_wav(folder / "a.wav", 10.0)  # by its size, 55 s
    samples, rate = soundfile.read(folder / "a.wav")
    for name in ("a.flac", "a.ogg"):
        soundfile.write(folder / name, samples, rate)
    result = batch("run", folder, "--out", out, *LOCAL, own_process=True)
    assert opening(result) == f"3 files, 30 s of audio, {BY}"


@pytest.mark.slow
def test_many_files_are_estimated_by_the_headers_of_a_few(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    stereo_wav(folder / "0.wav", 1.8)
    write_wav(folder / "1.wav", seed=1, seconds=1.8)
    rows = [f"{number},{folder}/{number % 2}.wav" for number in range(2_000)]
    (tmp_path / "m.csv").write_text("\n".join(["id,audio", *rows]) + "\n")
    result = batch("run", tmp_path / "m.csv", "--out", out, *LOCAL)
    told = opening(result)
    assert told is not None
    found = re.fullmatch(rf"2,000 files, about (\d+) min of audio, {BY}", told)
    assert found is not None, told
    assert 40 <= int(found[1]) <= 80, "60 min; by their sizes alone, 180"


@pytest.mark.slow
def test_a_length_that_no_header_counts_is_told_as_about(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    stereo_wav(folder / "a.wav", 3.0)
    samples, rate = soundfile.read(folder / "a.wav")
    soundfile.write(folder / "a.mp3", samples, rate)
    data = (folder / "a.mp3").read_bytes()
    (folder / "a.wav").unlink()
    place = max(data.find(b"Xing"), data.find(b"Info"))
    assert place > 0
    (folder / "a.mp3").write_bytes(data[:place] + b"\0\0\0\0" + data[place + 4 :])
    told = opening(batch("run", folder, "--out", out, *LOCAL))
    assert told is not None
    assert re.fullmatch(rf"1 file, about [\d.]+ s of audio, {BY}", told), told


@pytest.mark.slow
def test_rows_that_are_parts_of_a_recording_are_not_called_files(tmp_path: Path, out: Path) -> None:
    write_wav(tmp_path / "a.wav", seed=1, seconds=20.0)
    (tmp_path / "m.csv").write_text("id,audio,offset_s,duration_s\na,a.wav,0,5\nb,a.wav,5,\n")
    result = batch("run", tmp_path / "m.csv", "--out", out, *LOCAL)
    assert opening(result) == f"2 utterances, 20 s of audio, {BY}"
    (tmp_path / "nemo.jsonl").write_text(json.dumps({"audio_filepath": "a.wav", "duration": 20.0}) + "\n")
    result = batch("run", tmp_path / "nemo.jsonl", "--out", tmp_path / "2", *LOCAL)
    assert opening(result) == f"1 file, 20 s of audio, {BY}"


@pytest.mark.slow
def test_what_cannot_be_read_counts_as_a_file_and_adds_no_audio(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=2, seconds=3.0)
    (corpus.folder / "broken.wav").write_bytes(b"RIFF of nothing")
    assert opening(batch("run", corpus.folder, "--out", out, *LOCAL)) == f"3 files, 6 s of audio, {BY}"
    assert errors_of(out).keys() == {"broken.wav"}
    alone = batch("run", corpus.folder / "broken.wav", "--out", tmp_path / "2", *LOCAL)
    assert opening(alone) == f"1 file, {BY}"


@pytest.mark.slow
def test_who_answers_is_named_as_far_as_it_is_known(tmp_path: Path, out: Path, server: RunningServer) -> None:
    corpus = Corpus(tmp_path / "audio", count=1, seconds=3.0)
    args = ("run", corpus.folder, "--out", out)
    place = server.url.split("/")[2]
    assert opening(batch(*args, server=server)) == f"1 file, 3 s of audio, server at {place}"
    corpus.add(1, seconds=3.0)
    assert opening(batch(*args, server=server)) == f"1 of 2 files to do, 3 s of audio, {BY}"
    assert rows_of(out) == corpus.texts
    service = batch(
        *("run", corpus.folder, "--out", tmp_path / "2", "--set", f"service.url={DEAD}", "--max-duration", "1s"),
        GRADIUM_API_KEY="gd_none",
    )
    assert opening(service) == "2 files, 6 s of audio, Gradium service"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["text", "json"])
def test_it_is_one_line_of_the_form_that_was_asked_for(tmp_path: Path, out: Path, form: str) -> None:
    write_wav(tmp_path / "audio" / f"x {FORGED} \u202e.wav", seed=1, seconds=3.0)
    args = ("run", tmp_path / "audio", *LOCAL, "--log-format", form)
    result = batch(*args, "--out", out)
    assert result.exit == 0
    if form == "json":
        assert check_json(result)[0]["message"] == f"1 file, 3 s of audio, {BY}"
    else:
        check_text(result)
        assert opening(result) == f"1 file, 3 s of audio, {BY}"
    quiet = batch(*args, "--out", tmp_path / "3", "--progress", "off")
    assert quiet.exit == 0
    assert f"of audio, {BY}" not in quiet.stderr


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_name_that_a_local_server_gives_itself_acts_on_no_terminal(tmp_path: Path, out: Path, form: str) -> None:
    corpus = Corpus(tmp_path / "audio", count=1, seconds=3.0)
    balance = json.dumps({"remaining_credits": 9e9, "allocated_credits": 9e9, "recognizer": EVIL * 99}).encode()
    answer = framed(line(type="text", text="one", start_s=1) + END)
    args = ("run", corpus.folder, "--out", out, "--log-format", form)
    with Repeating([answer], balance=framed(balance)) as service:
        assert batch(*args, GRADIUM_API_KEY=KEY, GRADIUM_BATCH_SERVICE__URL=service.url).exit == 0
    corpus.add(1, seconds=3.0)
    with Repeating([answer], balance=framed(balance)) as service:
        result = batch(*args, GRADIUM_API_KEY=KEY, GRADIUM_BATCH_SERVICE__URL=service.url)
    assert result.exit == 0
    if form == "json":
        told = str(check_json(result)[0]["message"])
    else:
        check_text(result)
        told = result.stderr.splitlines()[0]
    assert re.match(r"1 of 2 files to do, 3 s of audio, local recognizer x\\x1b\]", told), told
    assert len(told) < 250


@pytest.mark.slow
def test_a_disk_that_hangs_delays_it_for_a_moment_only(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.run import opening as module

    corpus = Corpus(tmp_path / "audio", count=2, seconds=3.0)
    began = time.monotonic()
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    monkeypatch.setattr(module, "estimate", lambda *_: time.sleep(0.3))
    result = batch("run", corpus.folder, "--out", out, *LOCAL)
    assert opening(result) == f"2 files, about 3 s of audio, {BY}"  # of 32,000 bytes a second; these have 16,000
    assert result.exit == 0
    assert time.monotonic() - began < 60
