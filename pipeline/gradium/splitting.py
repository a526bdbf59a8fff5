"""Splits what messages said into single words: punctuation joins a word, times are spread over the words of a message.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby, zip_longest

import msgspec

from pipeline.gradium.punctuation import is_opening, is_punctuation, space_between
from pipeline.model import Word

MAX_WORD = 1_000
"""The most characters of one word."""
CHARACTER_S = 0.08
"""How long a character of a word takes where no end is known: slow speech has about 12 in a second."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A message: its text, and its times on the clip's clock as the service said them, which may be outside of it."""

    text: str
    start_s: float
    stop_s: float | None
    stream_id: int | None


class _Part(msgspec.Struct, frozen=True):
    """A word as it grows."""

    place: int
    """Of the message whose times it has."""
    text: str
    written: str
    last: tuple[int, str]
    """Its last token, and the message that has it."""


def single_words(messages: Sequence[Said], *, duration_s: float, channel: int, clip: int) -> tuple[Word, ...]:
    """The words of all messages, which are in the order they came in; in time order within 0 … `duration_s`."""
    streams: dict[int | None, list[int]] = {}
    for place, message in enumerate(messages):
        streams.setdefault(message.stream_id, []).append(place)
    limit_s = round(duration_s, 3)
    if limit_s > duration_s:
        limit_s = max(0.0, round(limit_s - 0.001, 3))
    words = []
    for stream_id, places in streams.items():
        parts = _parts((place, messages[place].text) for place in places)
        by_message = [(messages[place], [*group]) for place, group in groupby(parts, key=lambda part: part.place)]
        for (message, group), following in zip_longest(by_message, by_message[1:]):
            until_s = None if following is None else following[0].start_s
            spans = _spread(message, [len(part.text) for part in group], until_s, limit_s)
            for part, (start_s, stop_s) in zip(group, spans, strict=True):
                word = Word(
                    text=part.text,
                    start_s=start_s,
                    stop_s=stop_s,
                    channel=channel,
                    stream_id=stream_id,
                    clip=clip,
                    timing="exact" if len(group) == 1 else "spread",
                    written=msgspec.UNSET if part.written == part.text else part.written,
                )
                words.append((start_s, message.start_s, part.place, word))
    return tuple(word for *_, word in sorted(words, key=lambda one: one[:3]))


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


def _spread(
    message: Said, lengths: Sequence[int], until_s: float | None, limit_s: float
) -> list[tuple[float, float | None]]:
    """Start and stop of a message's words of these lengths in characters; the stream's next words are at `until_s`.

    Where the message has no end, its words have none, and start as they would at a slow pace.
    """
    start_s = _within(message.start_s, limit_s)
    stop_s = None if message.stop_s is None else max(start_s, _within(message.stop_s, limit_s))
    characters = sum(lengths)
    end_s = min(limit_s, start_s + characters * CHARACTER_S) if stop_s is None else stop_s
    if until_s is not None and until_s >= message.start_s:
        end_s = min(end_s, _within(until_s, limit_s))
    *starts, _ = (round(start_s + (end_s - start_s) * done / characters, 3) for done in accumulate(lengths, initial=0))
    return [*zip(starts, [None] * len(starts) if stop_s is None else [*starts[1:], stop_s], strict=True)]


def _within(at_s: float, limit_s: float) -> float:
    return round(min(max(at_s, 0.0), limit_s), 3)
