"""SubRip (`.srt`) and WebVTT (`.vtt`), written by pysubs2."""

from __future__ import annotations

import html
import re

from pysubs2 import SSAEvent, SSAFile

from pipeline.export.formats.cue_limits import CueLimits
from pipeline.export.formats.cues import LAST_MS, Cue, cues_of, exceeded
from pipeline.export.formats.format import Document, Recording
from pipeline.export.formats.spoken import spoken

_JOINER = "\u2060"
"""A character that is not shown: SubRip cannot escape what its readers would take for markup, this parts it."""
_MARKUP = re.compile(r"<|--(?=>)|\\(?=[Nnh])|:\d{1,2}(?=[.,]\d)")
_BRACES = str.maketrans("{}", "\uff5b\uff5d")
_REFERENCES = re.compile(r"[{}]|\\(?=[Nnh])|(?<=:\d\d)\.(?=\d)")
_NUMBER = re.compile(r" *\d+ *")


class SubRip:
    """Subtitles that every player and editor takes."""

    suffix = ".srt"
    needs_words = True

    def __init__(self, limits: CueLimits) -> None:
        self._limits = limits

    def document(self, recording: Recording) -> Document:
        cues = cues_of(spoken(recording.rows), self._limits)
        texts = ["\n".join(map(_srt, cue.lines)) for cue in cues]
        if texts and _ends_in_number(cues[-1]):
            texts[-1] += _JOINER
        return Document(text=_file(cues, texts).to_string("srt"), exceeded=exceeded(cues, self._limits))


class WebVTT:
    """Subtitles of browsers. Where several channels speak, each text says of which it is."""

    suffix = ".vtt"
    needs_words = True

    def __init__(self, limits: CueLimits) -> None:
        self._limits = limits

    def document(self, recording: Recording) -> Document:
        cues = cues_of(spoken(recording.rows), self._limits)
        several = len({turn.channel for cue in cues for turn in cue.turns}) > 1
        texts = []
        for cue in cues:
            turns = ["\n".join(map(_vtt, turn.lines)) for turn in cue.turns]
            if several:
                named = zip(cue.turns, turns, strict=True)
                turns = [f"<v Channel {turn.channel}>{text}</v>" for turn, text in named]
            texts.append("\n".join(turns))
        if texts and not several and _ends_in_number(cues[-1]):
            texts[-1] = f"{texts[-1][:-1]}&#{ord(texts[-1][-1])};"
        return Document(text=_file(cues, texts).to_string("vtt"), exceeded=exceeded(cues, self._limits))


def _file(cues: list[Cue], texts: list[str]) -> SSAFile:
    found = SSAFile()
    found.events = [
        SSAEvent(start=min(cue.begin_ms, LAST_MS), end=min(cue.end_ms, LAST_MS), text=text)
        for cue, text in zip(cues, texts, strict=True)
    ]
    return found


def _srt(line: str) -> str:
    """A line that players show as it is: with full-width braces, because braces hide what is in them, and a character
    that is not shown within what they would take for a tag, a line break or a time."""
    return _MARKUP.sub(lambda found: found[0] + _JOINER, line).translate(_BRACES)


def _vtt(line: str) -> str:
    return _REFERENCES.sub(lambda found: f"&#{ord(found[0])};", html.escape(line, quote=False))


def _ends_in_number(cue: Cue) -> bool:
    """Whether pysubs2 would take the last line of a file for the number of a cue that is not there."""
    return len(cue.lines) > 1 and bool(_NUMBER.fullmatch(cue.lines[-1]))
