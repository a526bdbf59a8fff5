"""Names, words and times for formats whose fields are separated by blanks or tabs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.export.formats.spoken import SpokenWord, spoken
from pipeline.model import Transcript

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Tabs, line ends of any kind, and other control characters."""
_UNSAFE = re.compile(r"[%;*<>\s\x00-\x1f\x7f-\x9f\ud800-\udfff]|#(?=0)|-(?=channel\d)")
"""What no name has: separators and control characters; what begins a comment for sclite or is a symbol of Kaldi's; and
what `channel_name` adds to names."""


def name(text: str) -> str:
    """The text as a name that is one field, with what is unsafe percent-encoded, as in `call%201`: for an id. No two
    texts get the same name."""
    return _UNSAFE.sub(
        lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass")), text
    )


def channel_name(text: str, channel: int) -> str:
    """The name of one channel of several. It is the name of nothing else, and in the order of bytes nothing else is
    between the channels of a text."""
    return f"{name(text)}-channel{channel + 1}"


def speaker(row: Transcript) -> str:
    """The name of who speaks in a row: its column `speaker`, or its id where nothing is known about that."""
    return name(row.metadata.get("speaker") or row.id)


def word(text: str) -> str:
    """A word as one field, which is never empty."""
    return "_".join(_CONTROL.sub(" ", text).split()) or "_"


def one_line(text: str) -> str:
    """The text without tabs, line ends and other control characters."""
    return _CONTROL.sub(" ", text)


def by_channel(row: Transcript) -> dict[int, list[SpokenWord]]:
    """The words of a row by channel, in the order of the names of channels."""
    found: dict[int, list[SpokenWord]] = {}
    for segment in spoken((row,)):
        found.setdefault(segment.channel, []).extend(segment.words)
    return dict(sorted(found.items(), key=lambda item: channel_number(item[0])))


def channel_number(channel: int) -> str:
    """From 1, as annotators and scoring tools count channels."""
    return str(channel + 1)


def milliseconds(time_s: float) -> int:
    return round(time_s * 1000)


def seconds(time_ms: int) -> str:
    """With three decimals."""
    return f"{time_ms // 1000}.{time_ms % 1000:03d}"


def plain(time_s: float) -> str:
    """With as many decimals as it has, at most six."""
    return f"{time_s:.6f}".rstrip("0").rstrip(".")


def line(*fields: str) -> bytes:
    """A line of fields separated by blanks."""
    return f"{' '.join(fields)}\n".encode()


def joined(words: Iterable[SpokenWord]) -> str:
    return " ".join(word(one.text) for one in words)
