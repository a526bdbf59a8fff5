"""The lines of a cue: how wide text is, what fits, where a line is best broken, which direction it has. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from pipeline.export.formats.cue_limits import CueLimits

DASH = "- "
"""Before what each speaker says, in a cue of several."""
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\u200f\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff]")
_LEFT_MARK, _RIGHT_MARK = "\u200e", "\u200f"
_ORPHAN = 40.0
_RAGGED = 100.0


class CueWord(NamedTuple):
    """A word as a cue shows it. Times in milliseconds."""

    text: str
    """As its segment has it: maybe with a space before its punctuation."""
    space: str
    """What is between it and the word of its channel before it: a space, or nothing."""
    chars: int
    width: int
    """Of its text, as `Ruler` measures it."""
    begin: int
    heard: int
    """When it is over, as far as a cue has to wait for it: the service may say a word of 60 s."""
    stop: int
    channel: int
    split: float
    """How bad it is to part it from the next word of its channel: 0 at the end of a sentence."""
    is_right_to_left: bool
    """Whether its segment is."""


class Ruler:
    """Measures text in units of which a line has `line`: so that a line is full with `line_chars` characters, with
    `cjk_line_chars` wide ones, and with parts of both in proportion."""

    def __init__(self, limits: CueLimits) -> None:
        self._narrow, self._wide = limits.cjk_line_chars, limits.line_chars
        self.line = limits.line_chars * limits.cjk_line_chars
        self.lines = limits.lines
        self.space = self._narrow
        self.dash = self.width(DASH)

    def width(self, text: str) -> int:
        if text.isascii():
            return len(text) * self._narrow
        return sum(_cells(char) * (self._wide if is_wide(char) else self._narrow) for char in text)


class Room:
    """What is left of a cue's lines while words are put into it: each speaker has lines of their own."""

    def __init__(self, ruler: Ruler) -> None:
        self._ruler = ruler
        self._words: list[CueWord] = []
        self._ends: dict[int, int] = {}  # by channel, how far its last line goes
        self._lines = 0
        self._dash = 0
        self.chars = 0
        """Of all lines, spaces and dashes included."""

    def takes(self, word: CueWord) -> bool:
        """Puts in the next word; says whether all of them fit. After False it is of no use."""
        self._words.append(word)
        if self._dash or word.channel == self._words[0].channel:
            return self._put(word)
        self._dash, self._lines, self._ends, self.chars = self._ruler.dash, 0, {}, 0
        return all(self._put(one) for one in self._words)

    @property
    def is_dialogue(self) -> bool:
        return self._dash > 0

    def _put(self, word: CueWord) -> bool:
        end, line = self._ends.get(word.channel), self._ruler.line
        if end is None:
            self._lines += 1
            width = self._dash + word.width
            self.chars += len(DASH) if self._dash else 0
        else:
            width = end + word.width + (self._ruler.space if word.space else 0)
            if width > line:
                self._lines += 1
                width = word.width
            else:
                self.chars += len(word.space)
            if end > line:  # a word longer than a line, which has a cue of its own
                return False
        self.chars += word.chars
        self._ends[word.channel] = width
        return width <= line and self._lines <= self._ruler.lines


def lines_of(words: Sequence[CueWord], ruler: Ruler, *, dash: str = "") -> tuple[str, ...]:
    """The text of one speaker's words in as few lines as they need, each as it is written to a file."""
    ends = _breaks(words, ruler, ruler.dash if dash else 0)
    starts = [0, *ends[:-1]]
    parts = [words[start:end] for start, end in zip(starts, ends, strict=True)]
    return tuple(_marked((dash if n == 0 else "") + joined(part), part[0]) for n, part in enumerate(parts))


def joined(words: Sequence[CueWord]) -> str:
    return words[0].text + "".join([word.space + word.text for word in words[1:]])


def chars_of(text: str) -> int:
    """The characters that take room: accents and other marks do not."""
    return len(text) if text.isascii() else sum(map(_cells, text))


@lru_cache(4096)
def is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF"


def is_right_to_left(text: str) -> bool:
    """Whether more of its letters are written from the right than from the left."""
    if not _RIGHT_TO_LEFT.search(text):
        return False
    directions = [unicodedata.bidirectional(char) for char in text]
    return sum(one in ("R", "AL") for one in directions) > directions.count("L")


@lru_cache(4096)
def _cells(char: str) -> int:
    return int(unicodedata.category(char) not in ("Mn", "Me", "Cf"))


def _marked(line: str, word: CueWord) -> str:
    """With a mark where a player, which goes by the first letter of a line, would take its direction for another."""
    if not word.is_right_to_left and not _RIGHT_TO_LEFT.search(line):
        return line
    strong = next((kind for char in line if (kind := unicodedata.bidirectional(char)) in ("L", "R", "AL")), "L")
    if (strong != "L") == word.is_right_to_left:
        return line
    return (_RIGHT_MARK if word.is_right_to_left else _LEFT_MARK) + line


def _breaks(words: Sequence[CueWord], ruler: Ruler, dash: int) -> list[int]:
    """The ends of lines: no more lines than needed; of those the best."""
    spans = [*_line_ends(words, ruler, dash)]
    if len(spans) == 1:
        return spans
    aim = (dash + sum(word.width + ruler.space for word in words)) / len(spans)
    best: dict[int, tuple[float, list[int]]] = {0: (0.0, [])}
    for number in range(len(spans)):
        found: dict[int, tuple[float, list[int]]] = {}
        for start, (cost, ends) in best.items():
            width = 0 if start else dash
            for end in range(start + 1, len(words) + 1):
                word = words[end - 1]
                width += word.width + (ruler.space if end > start + 1 and word.space else 0)
                if width > ruler.line and end > start + 1:
                    break
                now = cost + _RAGGED * ((width - aim) / ruler.line) ** 2
                if end < len(words):
                    now += word.split
                if end == start + 1 and width * 5 < ruler.line:
                    now += _ORPHAN
                if end not in found or now < found[end][0]:
                    found[end] = now, [*ends, end]
        best = found
        if number == len(spans) - 1:
            return best[len(words)][1]
    raise AssertionError  # what fits in so many lines has been found


def _line_ends(words: Sequence[CueWord], ruler: Ruler, dash: int) -> Iterator[int]:
    """The ends of lines that are filled as far as possible, which are as few as can be."""
    width = dash + words[0].width
    for place, word in enumerate(words[1:], 1):
        width += word.width + (ruler.space if word.space else 0)
        if width > ruler.line:
            yield place
            width = word.width
    yield len(words)
