"""The segments of a transcript, and its text: sentences, or turns where each speaker has a channel of its own.

Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from pipeline.model import Segment, Word

PAUSE_S = 1.0
"""A pause that ends a sentence, also where there is no punctuation."""
TURN_PAUSE_S = 5.0
"""A pause that ends a turn, also where no other channel speaks in it."""
_DASHES = r"\-\u2010-\u2015"
_CLOSERS = r"\"')\]}\u2018\u2019\u201c\u201d\xab\xbb\u2039\u203a\u3009\u300b\u300d\u300f\u3011\u3015\uff09\uff3d\uff5d"
"""Closing brackets, and what closes a quotation in one language or another."""
_ENDS = re.compile(rf"[.?!\u2026\u3002\uff0e\uff01\uff1f\u0964\u061f\u06d4][{_CLOSERS}{_DASHES}]*$")
"""A word that may end a sentence: a full stop or the like, maybe within quotes or brackets, or with a dash after it."""
_ABBREVIATION = re.compile(
    rf"\W*(?:[^\W\d_](?:\.[^\W\d_])*|mr|mrs|ms|dr|prof|st|hr|fr|mme|vs|no|nr)\.[{_DASHES}]*", re.IGNORECASE
)
"""A word whose full stop ends no sentence: an initial, `e.g.`, a title before a name."""


def segments_of(words: Sequence[Word]) -> tuple[Segment, ...]:
    """The segments of words in time order.

    With words of one channel each sentence is one: it ends with its punctuation or before a pause. With several, each
    turn is one: the sentences of one channel up to where another begins to speak.
    """
    channels = sorted({word.channel for word in words})
    sentences = [
        sentence for channel in channels for sentence in _sentences([word for word in words if word.channel == channel])
    ]
    if has_turns(words):
        sentences.sort(key=lambda sentence: sentence[0].start_s)
        sentences = [*_turns(sentences)]
    return tuple(_segment(sentence) for sentence in sentences)


def has_turns(words: Sequence[Word]) -> bool:
    """Whether their segments are turns: the words are of several channels."""
    return len({word.channel for word in words}) > 1


def text_of(segments: Sequence[Segment]) -> str:
    """The text of a transcript: that of its segments, in their order."""
    return " ".join(segment.text for segment in segments)


def as_written(words: Sequence[Word], segments: Sequence[Segment]) -> list[Word]:
    """The words of a transcript, each with how the service wrote it, as its segments tell: to make other segments of
    the same words. Words that are not those of the segments are returned as they are."""
    tokens = {
        channel: iter([token for one in segments if one.channel == channel for token in one.text.split()])
        for channel in {word.channel for word in words}
    }
    found = []
    for word in words:
        written: list[str] = []
        wanted = "".join(word.text.split())
        while sum(map(len, written)) < len(wanted):
            token = next(tokens[word.channel], None)
            if token is None:
                return [*words]
            written.append(token)
        if "".join(written) != wanted:
            return [*words]
        spaced = " ".join(written)
        found.append(word if spaced == word.text else msgspec.structs.replace(word, written=spaced))
    return found


def _sentences(words: Sequence[Word]) -> Iterator[list[Word]]:
    sentence = [*words[:1]]
    for before, word in pairwise(words):
        if _pause_s(before, word) >= PAUSE_S or ends_sentence(before.text, word.text):
            yield sentence
            sentence = []
        sentence.append(word)
    if sentence:
        yield sentence


def _turns(sentences: Sequence[list[Word]]) -> Iterator[list[Word]]:
    turn: list[Word] = []
    for sentence in sentences:
        if turn and (turn[-1].channel != sentence[0].channel or _pause_s(turn[-1], sentence[0]) >= TURN_PAUSE_S):
            yield turn
            turn = []
        turn.extend(sentence)
    yield turn


def ends_sentence(text: str, following: str) -> bool:
    return bool(_ENDS.search(text)) and not _ABBREVIATION.fullmatch(text) and not following[:1].islower()


def _pause_s(before: Word, word: Word) -> float:
    return word.start_s - (before.start_s if before.stop_s is None else before.stop_s)


def _segment(words: Sequence[Word]) -> Segment:
    return Segment(
        text=" ".join(word.written or word.text for word in words),
        start_s=words[0].start_s,
        stop_s=max((word.stop_s for word in words if word.stop_s is not None), default=None),
        channel=words[0].channel,
    )
