"""What an export did, in figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from pipeline.texts import plural, visible


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What an export did."""

    where: str
    """The folder that it wrote to, or `beside the recordings`."""
    unit: Literal["row", "file"]
    """What is counted: files in formats of one file for each recording."""
    total: int
    """How many there are now, …"""
    written: int
    """… how many of them were written, because they are new or changed, …"""
    removed: int
    """… and how many were removed."""
    exceeded: Mapping[str, int] = {}
    """Of the subtitles that were written: how often each limit was exceeded."""
    left: Mapping[str, int] = {}
    """What was left out or left alone, by the reason."""

    def lines(self) -> list[str]:
        """The sentences for people."""
        first = f"{plural(self.total, self.unit)} in {visible(self.where)}: {self.written:,} written"
        removed = f", {self.removed:,} removed" if self.removed else ""
        return [first + removed, *map(_counted, self.exceeded.items()), *map(_counted, self.left.items())]


def _counted(reason: tuple[str, int]) -> str:
    """The reasons begin with a noun in the plural."""
    what, count = reason
    noun, _, rest = what.partition(" ")
    return f"{plural(count, noun.removesuffix('s'))} {rest}"
