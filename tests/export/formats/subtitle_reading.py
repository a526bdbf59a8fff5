"""Reads subtitle files with pysubs2, and counts what they exceed on its own, without the code under test."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import pysubs2

from pipeline.export.formats.cue_limits import CueLimits
from pipeline.model import Transcript

VOICE = re.compile(r"<v Channel (\d+)>(.*?)</v>", re.DOTALL)


class ReadCue(NamedTuple):
    begin: int
    end: int
    turns: list[tuple[int | None, list[str]]]
    """The lines of each channel; None where the file names no channel."""

    @property
    def lines(self) -> list[str]:
        return [line for _, lines in self.turns for line in lines]


def read_vtt(text: str) -> list[ReadCue]:
    found = []
    tagged = pysubs2.SSAFile.from_string(text, "vtt", keep_html_tags=True)
    for event, plain in zip(tagged, pysubs2.SSAFile.from_string(text, "vtt"), strict=True):
        turns: list[tuple[int | None, list[str]]] = [
            (int(channel), html.unescape(said).split("\n")) for channel, said in VOICE.findall(event.plaintext)
        ]
        lines = html.unescape(plain.plaintext).split("\n")
        found.append(ReadCue(event.start, event.end, turns or [(None, lines)]))
        assert found[-1].lines == lines
    return found


def read_srt(text: str) -> list[ReadCue]:
    return [
        ReadCue(event.start, event.end, [(None, as_said(event.plaintext).split("\n"))])
        for event in pysubs2.SSAFile.from_string(text, "srt")
    ]


def as_said(text: str) -> str:
    """Without what SubRip needs instead of escapes."""
    return text.replace("\u2060", "").replace("\uff5b", "{").replace("\uff5d", "}")


def squeezed(text: str) -> str:
    """What of a text has to be in its subtitles: all that is seen."""
    return "".join(char for char in text if not (char.isspace() or unicodedata.category(char) in ("Cc", "Cf")))


def words_by_channel(rows: tuple[Transcript, ...]) -> dict[int, list[tuple[int, str]]]:
    """The words of each channel with their starts in milliseconds, in the order they are said."""
    found: dict[int, list[tuple[int, str]]] = {}
    for row in rows:
        for word in sorted(row.words, key=lambda word: word.start_s):
            if text := squeezed(word.text):
                channel = word.channel if row.channel is None else row.channel
                start = round(round(row.offset_s + word.start_s, 6) * 1000)
                found.setdefault(channel, []).append((start, text))
    return found


def check_words(cues: list[ReadCue], rows: tuple[Transcript, ...]) -> None:
    """Every word once, whole, in the order of its channel; cues in the order of the words, without overlap."""
    expected = words_by_channel(rows)
    left = {channel: iter(words) for channel, words in expected.items()}
    only = next(iter(expected)) if len(expected) == 1 else None
    latest = end = 0
    for cue in cues:
        starts = []
        for channel, lines in cue.turns:
            for number, line in enumerate(lines):
                assert line.strip() == line
                shown = squeezed(line)
                if len(cue.turns) > 1 and number == 0:
                    assert shown.startswith("-")
                    shown = shown[1:]
                assert shown
                while shown:
                    start, text = next(left[only if channel is None else channel])  # type: ignore[index]
                    assert shown.startswith(text)
                    shown = shown.removeprefix(text)
                    starts.append(start)
        assert cue.begin in (min(starts), end)
        assert cue.begin >= min(starts)
        assert latest <= min(starts)
        assert end <= cue.begin < cue.end
        latest, end = max(starts), cue.end
    assert not any([*words] for words in left.values())


def check_limits(cues: list[ReadCue], limits: CueLimits, rows: tuple[Transcript, ...]) -> dict[str, int]:
    """What is exceeded, as the user is told; fails where a limit has to be kept."""
    longest = max(limits.line_chars, limits.cjk_line_chars)
    words = {text for said in words_by_channel(rows).values() for _, text in said}
    counted = Counter[str]()
    for cue in cues:
        assert len(cue.lines) <= limits.lines
        assert cue.end - cue.begin <= limits.max_s * 1000
        for line in cue.lines:
            if (wide := _wide(line)) / limits.cjk_line_chars + (_chars(line) - wide) / limits.line_chars > 1 + 1e-9:
                assert squeezed(line) in words, f"{line!r} is not one word, and longer than {longest}"
                chars = f"{limits.cjk_line_chars} wide" if wide else f"{limits.line_chars}"
                counted[f"lines longer than {chars} characters"] += 1
        seconds = (cue.end - cue.begin) / 1000
        if seconds < limits.min_s:
            counted[f"cues shorter than {limits.min_s:.2g} s"] += 1
        if sum(map(_chars, cue.lines)) > limits.chars_per_s * seconds + 1e-9:
            counted[f"cues faster than {limits.chars_per_s:g} characters a second"] += 1
    for before, after in pairwise(cues):
        if (after.begin - before.end) / 1000 < limits.gap_frames / limits.fps - 1e-9:
            counted[f"gaps shorter than {limits.gap_frames} frames"] += 1
    return dict(counted)


def _chars(line: str) -> int:
    return sum(unicodedata.category(char) not in ("Mn", "Me", "Cf") for char in line)


def _wide(line: str) -> int:
    return sum(unicodedata.east_asian_width(char) in ("W", "F") for char in line)
