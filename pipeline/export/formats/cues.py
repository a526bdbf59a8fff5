"""Cues, the pieces of subtitles: which words are shown together, in which lines, from when to when. Pure.

Where limits collide: each word once and in order, then no overlap, line length, number of lines, duration, rate. The
first ones are kept whatever the words are; of all ways to part the words into such cues the best one is found, in time
linear in the number of words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from pipeline.export.formats.cue_limits import CueLimits
from pipeline.export.formats.cue_lines import DASH, CueWord, Room, Ruler, chars_of, is_wide, lines_of
from pipeline.export.formats.cue_words import cue_words, splits_of
from pipeline.export.formats.spoken import SpokenSegment

LAST_MS = 100 * 3_600_000 - 1
"""The last time that subtitle files have: 99:59:59.999."""
# What is bad about a cue. One step is worse than any sum of what follows it in a few cues.
_SHORT = 1e6
_FAST, _FASTER = 1e4, 100.0  # and for each time that the rate is above its limit
_CUE, _SENTENCE, _SPEAKER = 20.0, 10.0, 15.0  # for each; each sentence's end inside; two speakers
_EMPTY = 30.0  # an empty cue; a full one 0
_SILENCE, _SILENCE_MS = 60.0, 500  # for each second of silence inside, beyond this


class Turn(msgspec.Struct, frozen=True):
    """What one speaker says in a cue."""

    channel: int
    lines: tuple[str, ...]


class Cue(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown at once. It begins with its first word, and may end later than its last."""

    begin_ms: int
    end_ms: int
    turns: tuple[Turn, ...]

    @property
    def lines(self) -> list[str]:
        return [line for turn in self.turns for line in turn.lines]


def cues_of(segments: Sequence[SpokenSegment], limits: CueLimits) -> list[Cue]:
    """The cues of what is said in a recording. None overlaps another, none is empty."""
    ruler = Ruler(limits)
    words = cue_words(segments, ruler)
    shown = [_turns(words[start:end], ruler) for start, end in pairwise(_ends(words, ruler, limits))]
    return [*_timed(words, shown, limits)]


def exceeded(cues: Sequence[Cue], limits: CueLimits) -> dict[str, int]:
    """How often each limit was exceeded, by what the user is told."""
    ruler, found = Ruler(limits), dict[str, int]()

    def count(times: int, what: str) -> None:
        if times:
            found[what] = times

    long = [line for cue in cues for line in cue.lines if ruler.width(line) > ruler.line]
    wide = sum(any(map(is_wide, line)) for line in long)
    lasts = [(cue.end_ms - cue.begin_ms, cue) for cue in cues]
    gaps = [after.begin_ms - before.end_ms for before, after in pairwise(cues)]
    count(len(long) - wide, f"lines longer than {limits.line_chars} characters")
    count(wide, f"lines longer than {limits.cjk_line_chars} wide characters")
    count(sum(ms < limits.min_ms for ms, _ in lasts), f"cues shorter than {round(limits.min_s, 2):g} s")
    count(
        sum(ms < limits.reading_ms(_chars(cue.turns)) for ms, cue in lasts),
        f"cues faster than {limits.chars_per_s:g} characters a second",
    )
    count(sum(gap < limits.gap_ms for gap in gaps), f"gaps shorter than {limits.gap_frames} frames")
    count(sum(cue.end_ms > LAST_MS for cue in cues), "cues after 99:59:59, the last time that subtitles have")
    return found


def _ends(words: Sequence[CueWord], ruler: Ruler, limits: CueLimits) -> list[int]:
    """Where cues end in the best of all ways, as places in the list of words; 0 first."""
    size = len(words)
    begins = [*(word.begin for word in words), math.inf]
    splits = splits_of(words)
    best = [0.0, *[math.inf] * size]
    before = [0] * (size + 1)
    max_ms, min_ms, full = limits.max_ms, limits.min_ms, ruler.line * ruler.lines
    for start in range(size):
        begin, room = begins[start], Room(ruler)
        heard, width, inside = 0, 0, best[start] + _CUE
        for end in range(start + 1, size + 1):
            word = words[end - 1]
            if not room.takes(word) and end > start + 1:
                break
            if end > start + 1:
                silence = begins[end - 1] - heard - _SILENCE_MS
                if silence > 0:
                    inside += silence / 1000 * _SILENCE
                if splits[end - 1] == 0:
                    inside += _SENTENCE
            heard = max(heard, word.heard)
            if heard - begin > max_ms and end > start + 1:
                break
            width += word.width + ruler.space
            cost = inside + splits[end] + _EMPTY * (1 - min(1.0, width / full)) ** 2
            if room.is_dialogue:
                cost += _SPEAKER
            lasts = min(begins[end] - begin, max_ms)
            if lasts < min_ms:
                cost += _SHORT
            if (reading_ms := room.chars * 1000 / limits.chars_per_s) > lasts:
                cost += _FAST + _FASTER * min(reading_ms / (lasts + 1), 50)
            if cost < best[end]:
                best[end], before[end] = cost, start
    ends = [size]
    while ends[-1]:
        ends.append(before[ends[-1]])
    return ends[::-1]


def _turns(words: Sequence[CueWord], ruler: Ruler) -> tuple[list[CueWord], tuple[Turn, ...]]:
    own: dict[int, list[CueWord]] = {}
    for word in words:
        own.setdefault(word.channel, []).append(word)
    dash = DASH if len(own) > 1 else ""
    turns = tuple(Turn(channel, lines_of(said, ruler, dash=dash)) for channel, said in own.items())
    return [*words], turns


def _timed(
    words: Sequence[CueWord], shown: Sequence[tuple[list[CueWord], tuple[Turn, ...]]], limits: CueLimits
) -> Iterator[Cue]:
    """Each cue begins with its first word, and is shown until its last is over: longer where that is too short or too
    fast to read, as far as the next cue lets it. The gap before that is given up where that keeps another limit."""
    end = 0
    for (said, turns), (following, _) in pairwise([*shown, ([], ())]):
        begin = max(said[0].begin, end)  # later than its first word only where too many begin at once
        least = sorted((limits.min_ms, min(limits.reading_ms(_chars(turns)), limits.max_ms)))
        wanted = begin + max(min(max(word.stop for word in said) - begin, limits.max_ms), least[1])
        if not following:
            end = wanted
        else:
            after = following[0].begin
            end = min(wanted, after - limits.gap_ms)
            for needed in least:
                if end < begin + needed <= after:
                    end = begin + needed
            end = max(end, begin + limits.frame_ms)
        yield Cue(begin_ms=begin, end_ms=end, turns=turns)


def _chars(turns: Sequence[Turn]) -> int:
    return sum(chars_of(line) for turn in turns for line in turn.lines)
