"""Problems of manifests: bad rows, refused together or skipped as failures; warnings; and misspelled paths."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pipeline.checkpoint import Place, Repeated, ScannedRow
from pipeline.checkpoint.schema import BAD_ROW
from pipeline.errors import BadManifestRow, ManifestError
from pipeline.gradium.request import check_keywords, check_language
from pipeline.keywords import KEYWORDS
from pipeline.model import BadRow, Failure, NamedByPath, Utterance
from pipeline.source.addresses import is_address
from pipeline.source.spelling import cleaned, is_plain, other_spelling, spellings
from pipeline.texts import plural

BAD_ROWS_KEPT = 50
WARNINGS_KEPT = 100
PathOf = Callable[[str], tuple[str, bool] | None]
"""The path that the row of an id has in the checkpoint, and whether a run has ever found a recording there."""
log = logging.getLogger(__name__)


def problem_of(row: Utterance, model: str) -> str | None:
    """Why the service would not take a row's settings in requests to that model; None where it would."""
    problem = None if row.language is None else check_language(row.language, model)
    if problem is not None or row.metadata.get(KEYWORDS, "").strip() in ("", "[]"):
        return problem
    problem = check_keywords(row.keywords) if row.keywords else "write words with commas between them, or a list"
    return problem and f"`{KEYWORDS}`: {problem}; a column of another meaning needs another name"


class BadRows:
    """The problems of one scan."""

    def __init__(self, sources: Sequence[str], run_id: str) -> None:
        """`sources` is what the user calls the manifests, in the order of the scan."""
        self.first: list[BadRow] = []
        self.count = 0
        self._sources = sources
        self._run_id = run_id

    def note(self, bad: BadRow) -> None:
        """Counts a bad row."""
        self.count += 1
        if len(self.first) < BAD_ROWS_KEPT:
            self.first.append(bad)

    def note_repeated(self, repeated: Iterable[Repeated]) -> None:
        """Counts the rows whose id another row has, which are never skipped: either may be the right one."""
        for one in repeated:
            first, second = (*one.places, one.places[0])[:2]
            other = first.audio
            if first.line is not None:
                file = "line " if first.source == second.source else f"{self._name(first)}:"
                other = f"{file}{first.line}"
            advice = "give each row an id of its own"
            if second.line is None:
                advice = "name a folder above both, whose ids tell them apart, or give each its own --out"
            message = f"id {one.id!r} is taken by {other}; {advice}"
            self.note(BadRow(manifest=self._name(second), line=second.line, message=message, id=one.id))

    def _name(self, place: Place) -> str:
        """What a row is called by: its file in a folder, or the manifest."""
        if place.line is None and place.audio:
            return place.audio
        return self._sources[place.source]

    def refuse(self, *, skippable: bool = True) -> None:
        """Raises ManifestError with every bad row (the first 50 in full)."""
        if not self.count:
            return
        lines = [str(bad) for bad in self.first]
        if self.count > len(lines):
            lines.append(f"… and {self.count - len(lines):,} more")
        advice = "fix them, or skip them with --skip-bad-rows" if skippable else "fix them"
        raise ManifestError(*lines, f"{plural(self.count, 'bad row')}, nothing was sent; {advice}")

    def as_failure(self, bad: BadRow, source: int) -> ScannedRow:
        """The row of the errors for a bad one that is skipped."""
        now = datetime.now(UTC)
        manifest = Path(self._sources[source]).name
        if sum(Path(one).name == manifest for one in self._sources) > 1:
            manifest = self._sources[source]
        name = f"{manifest}:{bad.line or bad.message[:80]}"
        utterance = Utterance(id=name, audio="", line=bad.line, metadata={"id": bad.id} if bad.id else {})
        failure = Failure(
            id=name,
            audio="",
            error=BadManifestRow.__name__,
            message=bad.message,
            retryable=False,
            attempts=0,
            first_seen=now,
            last_seen=now,
            run_id=self._run_id,
            metadata=utterance.metadata,
        )
        return ScannedRow(
            utterance=utterance,
            config_hash=BAD_ROW,
            expected_s=0.0,
            version=None,
            size=None,
            failure=failure,
            source=source,
        )


class Warnings:
    """The problems of one scan."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, text: str) -> None:
        """Logs a warning."""
        self.count += 1
        if len(self.first) < WARNINGS_KEPT:
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
        """The row with the path that its file has, where exactly one file is spelled otherwise; or the one by which
        an earlier run found it, so that it stays the same row while its file is missing."""
        if is_plain(row.audio) or is_address(row.audio):
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
