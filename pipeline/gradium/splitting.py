"""Splits what messages said into single words: punctuation joins a word, times are spread over the words of a message.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby, zip_longest

import msgspec

from pipeline.gradium.punctuation import is_opening, is_punctuation, space_between
from pipeline.model import Timing

MAX_WORD = 1_000
"""The most characters of one word."""
CHARACTER_MS = 80
"""How long a character of a word takes where no end is known: slow speech has about 12 in a second."""


class Said(msgspec.Struct, frozen=True):
    """A message: its text, and its times as the service said them, in milliseconds."""

    text: str
    start: int
    stop: int | None
    stream_id: int | None


class Spoken(msgspec.Struct, frozen=True):
    """A single word, with times in milliseconds that may be outside of the audio, as those of messages."""

    text: str
    written: str | msgspec.UnsetType
    """How it was written, where that is not `text`."""
    start: int
    stop: int | None
    stream_id: int | None
    timing: Timing


class _Part(msgspec.Struct, frozen=True):
    """A word as it grows."""

    place: int
    """Of the message whose times it has."""
    text: str
    written: str
    last: tuple[int, str]
    """Its last token, and the message that has it."""


def single_words(messages: Sequence[Said], *, latest: int) -> list[Spoken]:
    """The words of all messages, which are in the order they came in; in time order. The audio is over at `latest`."""
    streams: dict[int | None, list[int]] = {}
    for place, message in enumerate(messages):
        streams.setdefault(message.stream_id, []).append(place)
    words = []
    for stream_id, places in streams.items():
        parts = _parts((place, messages[place].text) for place in places)
        by_message = [(messages[place], [*group]) for place, group in groupby(parts, key=lambda part: part.place)]
        for (message, group), following in zip_longest(by_message, by_message[1:]):
            until = latest if following is None else following[0].start
            timing: Timing = "exact" if len(group) == 1 else "spread"
            for part, (start, stop) in zip(group, _spread(message, group, until, latest), strict=True):
                written = msgspec.UNSET if part.written == part.text else part.written
                word = Spoken(part.text, written, start, stop, stream_id, timing)
                words.append((start, message.start, part.place, word))
    return [word for *_, word in sorted(words, key=lambda one: one[:3])]


def _parts(messages: Iterable[tuple[int, str]]) -> list[_Part]:
    """The words of one stream's messages."""
    words: list[_Part] = []
    waiting: _Part | None = None
    """Punctuation that belongs to the word after it."""
    for place, text in messages:
        for token in text.split():
            part = _Part(place, token, token, (place, token))
            if not is_punctuation(token):
                words += [part] if waiting is None else _joined(waiting, part, place)
                waiting = None
            elif words and waiting is None and not is_opening(token):
                words[-1:] = _joined(words[-1], part, words[-1].place)
            elif waiting is None:
                waiting = part
            else:
                *full, waiting = _joined(waiting, part, waiting.place)
                words += full
    if waiting is not None:
        words[-1:] = _joined(words[-1], waiting, words[-1].place) if words else [waiting]
    return words


def _joined(before: _Part, after: _Part, place: int) -> list[_Part]:
    """Both as one word with the times of that message; as two where that would be longer than a word may be."""
    (of_before, last), (of_after, _) = before.last, after.last
    space = " " if of_before == of_after else space_between(last, after.written)
    written = f"{before.written}{space}{after.written}"
    if len(written) > MAX_WORD:
        return [before, after]
    return [_Part(place, before.text + after.text, written, after.last)]


def _spread(message: Said, parts: Sequence[_Part], until: int, latest: int) -> list[tuple[int, int | None]]:
    """Start and stop of a message's words, by their length in characters; the stream's next words begin at `until`.

    Where the message has no end, its words have none, and start as they would at a slow pace.
    """
    if len(parts) == 1:
        return [(message.start, message.stop)]
    lengths = [len(part.text) for part in parts]
    whole, start = sum(lengths), message.start
    end = min(start + whole * CHARACTER_MS, latest) if message.stop is None else message.stop
    if until >= start:
        end = min(end, until)
    span = max(end - start, 0)
    *starts, _ = (start + span * done // whole for done in accumulate(lengths, initial=0))
    return [*zip(starts, [None] * len(starts) if message.stop is None else [*starts[1:], message.stop], strict=True)]
