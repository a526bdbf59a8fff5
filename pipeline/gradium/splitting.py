"""Splits what messages said into single words: punctuation joins a word, times are spread over the words of a message.

Pure: no I/O.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby, zip_longest

import msgspec

from pipeline.gradium.punctuation import Role, roles_of, space_between
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
    stop_at: int = 0
    """How many messages had come when its stop did."""


class Spoken(msgspec.Struct, frozen=True):
    """A single word, with times in milliseconds that may be outside of the audio, as those of messages."""

    text: str
    written: str | msgspec.UnsetType
    """How it was written, where that is not `text`."""
    start: int
    stop: int | None
    stream_id: int | None
    timing: Timing


class _Token(msgspec.Struct, frozen=True):
    place: int
    """Of its message."""
    text: str
    role: Role


class _Part(msgspec.Struct, frozen=True):
    """A word as it grows."""

    place: int
    """Of the message whose times it has."""
    text: str
    written: str
    first: _Token
    last: _Token


def single_words(messages: Sequence[Said], *, latest: int) -> list[Spoken]:
    """The words of all messages, which are in the order they came in; in time order. The audio is over at `latest`."""
    streams: dict[int | None, list[int]] = {}
    for place, message in enumerate(messages):
        streams.setdefault(message.stream_id, []).append(place)
    words = []
    for stream_id, places in streams.items():
        tokens = _tokens(messages, places)
        opening = _opening(tokens)
        parts = groupby(_parts(tokens), key=lambda part: part.place)
        by_message = [(_with_its_stop(messages[place], place, opening), [*group]) for place, group in parts]
        for (message, group), following in zip_longest(by_message, by_message[1:]):
            until = latest if following is None else following[0].start
            timing: Timing = "exact" if len(group) == 1 else "spread"
            for part, (start, stop) in zip(group, _spread(message, group, until, latest), strict=True):
                written = msgspec.UNSET if part.written == part.text else part.written
                word = Spoken(part.text, written, start, stop, stream_id, timing)
                words.append((start, message.start, part.place, word))
    return [word for *_, word in sorted(words, key=lambda one: one[:3])]


def _tokens(messages: Sequence[Said], places: Iterable[int]) -> list[_Token]:
    """The tokens of the messages of one stream."""
    found = [(place, token) for place in places for token in messages[place].text.split()]
    roles = roles_of([token for _, token in found])
    return [_Token(place, token, role) for (place, token), role in zip(found, roles, strict=True)]


def _opening(tokens: Sequence[_Token]) -> list[int]:
    """The messages that begin with opening punctuation."""
    firsts = [next(group) for _, group in groupby(tokens, key=lambda token: token.place)]
    return [token.place for token in firsts if token.role == "opening"]


def _with_its_stop(message: Said, place: int, opening: Sequence[int]) -> Said:
    """The message without the stop that came after opening punctuation, to which that belongs."""
    following = bisect_right(opening, place)
    if following < len(opening) and opening[following] < message.stop_at:
        return msgspec.structs.replace(message, stop=None)
    return message


def _parts(tokens: Iterable[_Token]) -> list[_Part]:
    """The words of one stream."""
    words: list[_Part] = []
    waiting: _Part | None = None
    """Punctuation that belongs to the word after it."""
    for token in tokens:
        part = _Part(token.place, token.text, token.text, token, token)
        if token.role == "word":
            words += [part] if waiting is None else _joined(waiting, part, token.place)
            waiting = None
        elif words and waiting is None and token.role != "opening":
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
    is_together = before.last.place == after.first.place
    space = " " if is_together else space_between(before.last.role, after.first.role)
    written = f"{before.written}{space}{after.written}"
    if len(written) > MAX_WORD:
        return [before, after]
    return [_Part(place, before.text + after.text, written, before.first, after.last)]


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
