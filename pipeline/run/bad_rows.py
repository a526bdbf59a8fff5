"""Rows of manifests that cannot be used, or share an id: listed together before anything is sent, or skipped as
failures. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipeline.checkpoint import Place, Repeated, ScannedRow
from pipeline.checkpoint.schema import BAD_ROW
from pipeline.errors import BadManifestRow, ManifestError
from pipeline.gradium.request import check_keywords, check_language
from pipeline.model import KEYWORDS, BadRow, Failure, Utterance
from pipeline.texts import plural

KEPT = 50


def problem_of(row: Utterance) -> str | None:
    """What the service would not take of a row's settings."""
    problem = None if row.language is None else check_language(row.language)
    if problem is not None or row.metadata.get(KEYWORDS, "").strip() in ("", "[]"):
        return problem
    problem = check_keywords(row.keywords) if row.keywords else "write words with commas between them, or a list"
    return problem and f"`{KEYWORDS}`: {problem}; a column of another meaning needs another name"


class BadRows:
    """Those of one scan."""

    def __init__(self, sources: Sequence[str], run_id: str) -> None:
        """`sources` is what the user calls the manifests, in the order of the scan."""
        self.first: list[BadRow] = []
        self.count = 0
        self._sources = sources
        self._run_id = run_id

    def note(self, bad: BadRow) -> None:
        """Counts a bad row."""
        self.count += 1
        if len(self.first) < KEPT:
            self.first.append(bad)

    def note_repeated(self, repeated: Iterable[Repeated]) -> None:
        """Counts the rows whose id another row has, which are never skipped: nobody can say which one is meant."""
        for one in repeated:
            first, second = (*one.places, one.places[0])[:2]
            taken_by = first.audio
            if first.line is not None:
                file = "line " if first.source == second.source else f"{self._name(first)}:"
                taken_by = f"{file}{first.line}"
            advice = "give each row an id of its own"
            if second.line is None:
                advice = "name a folder above both, whose ids tell them apart, or give each its own --out"
            message = f"id {one.id!r} is taken by {taken_by}; {advice}"
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
