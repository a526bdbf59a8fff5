"""What an answer answers to, and how its text tells it: each request is answered with one word that names its audio.

So a transcript says which recording, which settings and which samples its text was answered for.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from pipeline.gradium import wire
from tests.nights.recordings import HEADER, name_of, place_of


class Identity(NamedTuple):
    """What an answer answers to: the recording, and the settings that were asked for."""

    content: str
    language: str
    temp: str
    channels: str = "mix"
    """`split` where channels were sent by themselves; what goes out as it is has only one."""


class Span(NamedTuple):
    """Samples of a track, which one request carried."""

    track: str
    first: int
    last: int


def asked_for(body: bytes, language: str, temp: str) -> tuple[Identity, Span | None]:
    """What a request is about; without a span where it is a whole file as it was."""
    place = place_of(body)
    if place is None:
        return Identity(name_of(body), language, temp), None
    content, track, first, last = place
    return Identity(content, language, temp, "mix" if track == "mix" else "split"), Span(track, first, last)


def price_of(body: bytes) -> float:
    """What the service bills for a WAV file."""
    [bytes_per_s] = struct.unpack_from("<I", body, 28) if len(body) > HEADER else [1]
    return max(0, len(body) - HEADER) / bytes_per_s * wire.CREDITS_PER_S


def word_of(identity: Identity, span: Span | None) -> str:
    """The text of an answer."""
    return "_".join((*identity[:3], *map(str, span or ())))


def identity_in(text: str) -> Identity | None:
    """What a transcript answers to, by its own words."""
    said = [word.split("_") for word in text.split() if word != "odd"]
    found = {
        Identity(*parts[:3], "mix" if len(parts) < 4 or parts[3] == "mix" else "split")
        for parts in said
        if len(parts) in (3, 6)
    }
    if len(found) != 1 or (len(said) > 1 and any(len(parts) != 6 for parts in said)):
        return None
    return found.pop()


def spans_in(text: str) -> tuple[Span, ...]:
    """The samples that the answers of a transcript were given for."""
    said = [word.split("_") for word in text.split()]
    return tuple(sorted(Span(parts[3], int(parts[4]), int(parts[5])) for parts in said if len(parts) == 6))


def is_odd(identity: Identity) -> bool:
    """Whether the answer to this content deserves a second look: its times run backwards."""
    return int(identity.content, 16) % 4 == 1
