"""Rows of manifests that cannot be used, or share an id: told together before anything is sent, or skipped as failures.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipeline.checkpoint import Place, Repeated, ScannedRow
from pipeline.checkpoint.schema import BAD_ROW
from pipeline.errors import BadManifestRow, ManifestError
from pipeline.model import BadRow, Failure, Utterance
from pipeline.sentences import plural

BAD_ROWS_SHOWN = 50


class BadRows:
    """Those of one scan."""

    sources: Sequence[str]
    """What the user calls the manifests, in the order of the scan."""

    def __init__(self, run_id: str) -> None:
        self.bad_rows: list[BadRow] = []
        """The first of them."""
        self.bad_count = 0
        self._run_id = run_id

    def note(self, bad: BadRow) -> None:
        """Counts a bad row."""
        self.bad_count += 1
        if len(self.bad_rows) < BAD_ROWS_SHOWN:
            self.bad_rows.append(bad)

    def note_repeated(self, repeated: Iterable[Repeated]) -> None:
        """Counts the rows whose id another row has, which are never skipped: nobody can say which one is meant."""
        for one in repeated:
            first, second = (*one.places, one.places[0])[:2]
            told = self._told(first, beside=second)
            self.note(
                BadRow(
                    manifest=self._source(second),
                    line=second.line,
                    message=f"id {one.id!r} is taken by {told}; {self._mended(second)}",
                    id=one.id,
                )
            )

    def _told(self, place: Place, *, beside: Place) -> str:
        if place.line is None:
            return place.audio
        return f"line {place.line}" if place.source == beside.source else f"{self._source(place)}:{place.line}"

    def _mended(self, place: Place) -> str:
        if place.line is None:
            return "name a folder above both, whose ids tell them apart, or give each its own --out"
        return "give each row an id of its own"

    def _source(self, place: Place) -> str:
        """What a row is called by: its file in a folder, or the manifest."""
        if place.line is None and place.audio:
            return place.audio
        return self.sources[place.source]

    def refuse_bad(self, *, skippable: bool = True) -> None:
        """Raises ManifestError with every bad row (the first 50 in full)."""
        if not self.bad_count:
            return
        told = [str(bad) for bad in self.bad_rows]
        if self.bad_count > len(told):
            told.append(f"… and {self.bad_count - len(told):,} more")
        hint = "mend them, or skip them with --skip-bad-rows" if skippable else "mend them"
        raise ManifestError(*told, f"{plural(self.bad_count, 'bad row')}, nothing was sent; {hint}")

    def as_failure(self, bad: BadRow, source: int) -> ScannedRow:
        """The row of the errors for a bad one that is skipped."""
        now = datetime.now(UTC)
        manifest = Path(self.sources[source]).name
        if sum(Path(one).name == manifest for one in self.sources) > 1:
            manifest = self.sources[source]
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
