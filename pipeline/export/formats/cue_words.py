"""The words of a recording as cues show them: in time order, spelled as their segments are. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import accumulate

from pipeline.export.formats.cue_lines import CueWord, Ruler, chars_of, is_right_to_left, is_wide
from pipeline.export.formats.spoken import SpokenSegment
from pipeline.segments import PAUSE_S, ends_sentence

_CLAUSE = re.compile("[,;:\u2013\u2014\u060c\u061b\u3001\uff0c\uff1b\uff1a][\"'\u2019\u201d\u00bb)\\]\u300d\u300f]*$")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff]")
_NO_BREAK_SPACES = "\u00a0\u202f"
_SPLIT, _SPLIT_CLAUSE = 60.0, 20.0
_HEARD_MS, _HEARD_MS_PER_CHAR = 500, 100
"""A word is heard in this time: a longer one is drawn out, has no end of its own, or the service is wrong."""


def cue_words(segments: Sequence[SpokenSegment], ruler: Ruler) -> list[CueWord]:
    """The words of all segments that have something to show, in time order."""
    placed: list[tuple[float, int, CueWord]] = []
    before: dict[int, str] = {}  # the last word of each channel
    for segment in segments:
        words = [*_of_segment(segment, before.get(segment.channel), ruler)]
        placed += words
        if words:
            before[segment.channel] = words[-1][2].text
    placed.sort(key=lambda one: one[:2])
    return _with_splits([word for *_, word in placed])


def splits_of(words: Sequence[CueWord]) -> list[float]:
    """How bad a cue's end is before each of the words, and after the last: for the channel for which it is worst."""
    now: dict[int, float] = {}
    found = [0.0]
    for word in words:
        now[word.channel] = word.split
        found.append(max(now.values()) if len(now) > 1 else word.split)
    return found


def _of_segment(segment: SpokenSegment, before: str | None, ruler: Ruler) -> Iterator[tuple[float, int, CueWord]]:
    right_to_left = is_right_to_left(segment.text)
    last = len(segment.words) - 1
    for place, (word, (space, written)) in enumerate(zip(segment.words, _written(segment), strict=True)):
        text = _clean(written)
        if not text:
            continue
        chars, begin = chars_of(text), max(0, round(word.start_s * 1000))
        stop = max(begin, round(word.stop_s * 1000))
        if before is not None and not space and place == 0 and not _is_joined(before, text):
            space = " "
        yield (
            word.start_s,
            word.channel,
            CueWord(
                text=text,
                space=space,
                chars=chars,
                width=max(1, ruler.width(text)),
                begin=begin,
                heard=min(stop, begin + _HEARD_MS + _HEARD_MS_PER_CHAR * chars),
                stop=stop,
                channel=word.channel,
                split=0.0 if place == last else _SPLIT,
                is_right_to_left=right_to_left,
            ),
        )
        before = text


def _with_splits(words: Sequence[CueWord]) -> list[CueWord]:
    """With how bad it is to part each from the next of its channel: less after a clause, or before a pause."""
    found: list[CueWord] = []
    following: dict[int, CueWord] = {}
    for word in reversed(words):
        after = following.get(word.channel)
        following[word.channel] = word
        if after is None or ends_sentence(word.text, after.text):
            found.append(word._replace(split=0.0))
        elif word.split:
            pause = (after.begin - word.heard) / (1000 * PAUSE_S)
            split = _SPLIT_CLAUSE if _CLAUSE.search(word.text) else word.split
            found.append(word._replace(split=split * (1 - min(max(pause, 0.0), 1.0))))
        else:
            found.append(word)
    found.reverse()
    return found


def _written(segment: SpokenSegment) -> list[tuple[str, str]]:
    """Each word as the segment spells it, and what is between it and the word before it."""
    texts = [word.text for word in segment.words]
    if segment.text == " ".join(texts):
        return [("" if place == 0 else " ", text) for place, text in enumerate(texts)]
    places = [place for place, char in enumerate(segment.text) if not char.isspace()]
    lengths = [len("".join(text.split())) for text in texts]
    if "".join(segment.text.split()) != "".join("".join(text.split()) for text in texts):
        return [(" ", text) for text in texts]  # of an output that something else wrote
    found, stop = [], 0
    for end, length in zip(accumulate(lengths), lengths, strict=True):
        if not length:
            found.append(("", ""))
            continue
        begin = places[end - length]
        space = " " if begin > stop and stop else ""
        stop = places[end - 1] + 1
        found.append((space, segment.text[begin:stop]))
    return found


def _clean(text: str) -> str:
    """Without control characters, and with plain spaces; empty where there is nothing to show."""
    if text.isprintable() and " " not in text:
        return text
    if all(unicodedata.category(char) in ("Cc", "Cf") or char.isspace() for char in text):
        return ""
    kept = "".join(char for char in text if char.isspace() or unicodedata.category(char) != "Cc").strip()
    return re.sub(r"\s+", lambda found: found[0] if found[0] in _NO_BREAK_SPACES else " ", kept)


def _is_joined(before: str, after: str) -> bool:
    """Whether two sentences have no space between them, as in Chinese and Japanese."""
    return is_wide(before[-1]) and is_wide(after[0]) and not _HANGUL.search(before[-1] + after[0])
