"""What is odd about manifests and no fault of a row: logged once each, and kept for whoever asks."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import msgspec

from pipeline.errors import ManifestError
from pipeline.model import NamedByPath, Utterance
from pipeline.source.spelling import cleaned, is_plain, other_spelling, spellings
from pipeline.texts import plural

KEPT = 100
PathOf = Callable[[str], tuple[str, bool] | None]
"""The path that the row of an id has in the checkpoint, and whether a run has ever found a recording there."""
log = logging.getLogger(__name__)


class Warnings:
    """Those of one scan."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, text: str) -> None:
        """Logs a warning."""
        self.count += 1
        if len(self.first) < KEPT:
            self.first.append(text)
            log.warning("%s", text)

    def refuse(self) -> None:
        """Raises ManifestError where there is one: for --strict."""
        if self.count:
            warnings = plural(self.count, "warning")
            raise ManifestError(f"{warnings} (see above), nothing was sent; fix them, or leave out --strict")


class Spellings:
    """Finds recordings whose paths are written otherwise than their files are called."""

    def __init__(self, warnings: Warnings, path_of: PathOf) -> None:
        self._warnings = warnings
        self._path_of = path_of
        self._count = 0
        self._first = ""

    def of(self, row: Utterance) -> Utterance | None:
        """The row with the path that its file has, where exactly one file goes by another spelling; or the one by which
        an earlier run found it, so that it stays the same row while its file is missing."""
        if is_plain(row.audio):
            return None  # nearly always, and a million may be missing
        if (path := other_spelling(row.audio)) is not None:
            path = os.path.normpath(path)  # a backslash may have hidden dots
            # the id of a path is seen by people, too: once the manifest is fixed it is the same
            id_ = self._ids(row)["\\" in path]
        elif (known := self._known(row)) is not None:
            id_, path = known
        else:
            return None
        self._count += 1
        self._first = self._first or f"{row.audio!a} is read as {path!a}"
        return msgspec.structs.replace(row, audio=path, id=id_)

    def _ids(self, row: Utterance) -> tuple[str, str]:
        """The ids that the row has once its spelling is fixed: where its backslashes part folders, and where not."""
        id_ = (cleaned(row.id) or row.id) if isinstance(row, NamedByPath) else row.id
        return (id_.replace("\\", "/") if isinstance(row, NamedByPath) else id_), id_

    def _known(self, row: Utterance) -> tuple[str, str] | None:
        """The id and the path of the row that an earlier run found under another spelling."""
        if self._path_of(row.id) == (row.audio, True):
            return None
        others = {os.path.normpath(one) for one in spellings(row.audio)}
        for id_ in dict.fromkeys((*self._ids(row), row.id)):
            if (known := self._path_of(id_)) is not None and known[0] in others:
                return id_, known[0]
        return None

    def warn(self) -> None:
        """Warns of them, once."""
        if self._count:
            rows = "1 row names its recording" if self._count == 1 else f"{self._count:,} rows name their recordings"
            self._warnings.add(f"{rows} in another spelling: {self._first}; write the paths as the files are called")
