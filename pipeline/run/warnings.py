"""What is odd about manifests and no fault of a row: told once each, and kept for whoever asks."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

import msgspec

from pipeline.model import NamedByPath, Utterance
from pipeline.source.spelling import cleaned, other_spelling

KEPT = 100
NAMED = 3
log = logging.getLogger(__name__)


class Warnings:
    """Those of one scan."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, text: str) -> None:
        """Tells a warning."""
        self.count += 1
        if len(self.first) < KEPT:
            self.first.append(text)
            log.warning("%s", text)


class Spellings:
    """Finds recordings whose paths are written otherwise than their files are called."""

    def __init__(self, warnings: Warnings) -> None:
        self._warnings = warnings
        self._count = 0
        self._first = ""

    def of(self, row: Utterance) -> Utterance | None:
        """The row with the path that its file has, where exactly one file goes by another spelling."""
        if (path := other_spelling(row.audio)) is None:
            return None
        path = os.path.normpath(path)  # a backslash may have hidden dots
        self._count += 1
        self._first = self._first or f"{row.audio!a} is read as {path!a}"
        # the id of a path is seen by people, too: once the manifest is mended it is the same
        id_ = cleaned(row.id) if isinstance(row, NamedByPath) else row.id
        if isinstance(row, NamedByPath) and "\\" not in path:
            id_ = id_.replace("\\", "/")
        return msgspec.structs.replace(row, audio=path, id=id_ or row.id)

    def tell(self) -> None:
        """Warns of them, once."""
        if self._count:
            rows = "1 row names its recording" if self._count == 1 else f"{self._count:,} rows name their recordings"
            self._warnings.add(f"{rows} in another spelling: {self._first}; write the paths as the files are called")


def titled(manifests: Sequence[str]) -> str:
    """Manifests in few words."""
    if len(manifests) <= NAMED:
        return ", ".join(manifests)
    return f"{', '.join(manifests[:NAMED])} and {len(manifests) - NAMED:,} more"
