"""Subtitles of a long recording and of a call, from the command to pysubs2 and to a browser's screen."""

from __future__ import annotations

import io
import wave
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pipeline.export.formats.cue_limits import CueLimits
from pipeline.export.formats.format import Recording
from pipeline.export.formats.subtitles import WebVTT
from pipeline.model import Transcript, Word
from tests.batch import batch, jsonl_of
from tests.beeps import RECOGNIZER, beeps, talk, write
from tests.export.browser import Browser, Shown, needs_chromium
from tests.export.formats.nights_of_words import CJK, HOSTILE, RIGHT_TO_LEFT, row
from tests.export.formats.subtitle_reading import ReadCue, check_limits, check_words, read_srt, read_vtt, squeezed
from tests.servers import start_server

pytestmark = pytest.mark.slow
LIMITS = CueLimits()
SECONDS = 600


def test_ten_minutes_and_a_call_have_every_word_once_within_the_limits(tmp_path: Path, out: Path) -> None:
    rows = run(tmp_path / "audio", out)
    for format_ in ("srt", "vtt"):
        assert batch("export", out, "--format", format_, "--to", tmp_path / format_).exit == 0
    for name, words in rows.items():
        vtt = read_vtt((tmp_path / f"vtt/{name}.vtt").read_text("utf-8"))
        srt = read_srt((tmp_path / f"srt/{name}.srt").read_text("utf-8"))
        check_words(vtt, (words,))
        assert [(cue.begin, cue.end, cue.lines) for cue in srt] == [(cue.begin, cue.end, cue.lines) for cue in vtt]
        exceeded = check_limits(vtt, LIMITS, (words,))
        if name == "talk":
            assert len(words.words) > 900
            assert not exceeded
        else:
            assert {channel for cue in vtt for channel, _ in cue.turns} == {0, 1}
            assert any(len(cue.turns) == 2 for cue in vtt)


def test_what_is_exceeded_is_told_at_the_end(tmp_path: Path, out: Path) -> None:
    rows = run(tmp_path / "audio", out, seconds=30)
    told = batch("export", out, "--format", "vtt", "--to", tmp_path / "vtt", "--chars-per-s", "4")
    expected: dict[str, int] = {}
    for name, words in rows.items():
        cues = read_vtt((tmp_path / f"vtt/{name}.vtt").read_text("utf-8"))
        for what, times in check_limits(cues, CueLimits(chars_per_s=4), (words,)).items():
            expected[what] = expected.get(what, 0) + times
    assert expected["cues faster than 4 characters a second"] > 5
    for what, times in expected.items():
        assert f"{times} {what}" in told.stderr


@needs_chromium
def test_a_browser_shows_the_same_words_at_the_same_times(tmp_path: Path, out: Path) -> None:
    rows = run(tmp_path / "audio", out)
    assert batch("export", out, "--format", "vtt", "--beside").exit == 0
    with Browser() as browser:
        for name, words in rows.items():
            text = (tmp_path / f"audio/{name}.vtt").read_text("utf-8")
            cues = read_vtt(text)
            shown = browser.show((tmp_path / f"audio/{name}.wav").read_bytes(), text, at=times(cues))
            check_shown(shown, cues)
            if name == "talk":
                check_words([*map(as_read, shown.cues)], (words,))


@needs_chromium
def test_a_browser_shows_hostile_right_to_left_and_wide_words_as_they_are() -> None:
    said = [*HOSTILE, *RIGHT_TO_LEFT, *CJK, "iPhone", "שלום"]
    words = [
        Word(text="".join(text.split()), start_s=n * 0.4, stop_s=n * 0.4 + 0.35, channel=channel)
        for channel in (0, 1)
        for n, text in enumerate(said[:: 1 - 2 * channel])
    ]
    for own in (words[: len(said)], words):
        rows = (row(own),)
        text = WebVTT(LIMITS).document(Recording(audio="a.wav", rows=rows)).text
        cues = read_vtt(text)
        check_words(cues, rows)
        with Browser() as browser:
            check_shown(browser.show(silence(60), text, at=times(cues)), cues)


@needs_chromium
def test_a_browser_shows_nothing_of_a_recording_without_words() -> None:
    text = WebVTT(LIMITS).document(Recording(audio="a.wav", rows=(row([]),))).text
    with Browser() as browser:
        assert browser.show(silence(2), text, at=[1.0]) == Shown([], [[]], [""])


def run(folder: Path, out: Path, *, seconds: int = SECONDS) -> dict[str, Transcript]:
    """Transcribes a talk, and a call in which both sometimes speak at once; returns their rows by name."""
    pauses = beeps(talk(seconds, seed=1), seconds, 8_000)
    call = [beeps(talk(seconds / 4, seed=seed, pause_s=2.5), seconds / 4, 8_000) for seed in (2, 3)]
    write(folder / "talk.wav", pauses, rate=8_000)
    write(folder / "call.wav", *call, rate=8_000)
    with start_server(recognizer=RECOGNIZER) as server:
        assert batch("run", folder, "--out", out, "--set", "audio.channels=split", server=server).exit == 0
    return {
        Path(line["id"]).stem: row([msgspec.convert(word, Word) for word in line["words"]]) for line in jsonl_of(out)
    }


def times(cues: list[ReadCue]) -> list[float]:
    """Within some cues, the first and the last among them, and between two."""
    some = [*cues[:: max(1, len(cues) // 12)], cues[-1]]
    between = next(((a.end + b.begin) / 2 for a, b in pairwise(cues) if b.begin - a.end > 100), None)
    return [(cue.begin + cue.end) / 2000 for cue in some] + ([] if between is None else [between / 1000])


def check_shown(shown: Shown, cues: list[ReadCue]) -> None:
    assert [(cue["begin"], cue["end"]) for cue in shown.cues] == [(cue.begin / 1000, cue.end / 1000) for cue in cues]
    assert [cue["text"] for cue in shown.cues] == ["\n".join(cue.lines) for cue in cues]
    for found, cue in zip(shown.cues, cues, strict=True):
        assert found["voices"] == [f"Channel {channel}" for channel, _ in cue.turns if channel is not None]
    for second, active, rendered in zip(times(cues), shown.active, shown.rendered, strict=True):
        expected = [cue for cue in cues if cue.begin <= second * 1000 < cue.end]
        assert [one["text"] for one in active] == ["\n".join(cue.lines) for cue in expected]
        assert squeezed(rendered) == squeezed("".join(line for cue in expected for line in cue.lines))


def as_read(cue: dict[str, object]) -> ReadCue:
    lines = str(cue["text"]).split("\n")
    return ReadCue(round(float(str(cue["begin"])) * 1000), round(float(str(cue["end"])) * 1000), [(None, lines)])


def silence(seconds: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writing:
        writing.setnchannels(1)
        writing.setsampwidth(2)
        writing.setframerate(8_000)
        writing.writeframes(np.zeros(8_000 * seconds, np.int16).tobytes())
    return file.getvalue()
