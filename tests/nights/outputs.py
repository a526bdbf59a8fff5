"""What lies in an output folder after a night, as a reader sees it: both forms of each table, which say the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.nights.answers import Identity, Span, identity_in, spans_in


@dataclass(frozen=True)
class Row:
    """A row of the transcripts."""

    id: str
    audio: str
    run_id: str
    identity: Identity | None
    """What its text answers to."""
    spans: tuple[Span, ...]
    """The pieces that were answered for it, where there were any."""
    audio_hash: str
    config_hash: str
    language: str
    reference: str | None
    metadata: dict[str, str]
    status: str


@dataclass(frozen=True)
class Problem:
    """A row of the errors."""

    id: str
    error: str
    retryable: bool
    kept: bool | None
    """None in an output from before there was such a column."""
    run_id: str


@dataclass(frozen=True)
class Attempt:
    """A row of the ledger."""

    id: str
    run_id: str
    outcome: str
    billed: str
    credits: float


class Output:
    """All tables of an output folder."""

    def __init__(self, out: Path) -> None:
        self.faults: list[str] = []
        """What no reader should ever see: an id that stands twice, forms that differ."""
        rows = self._both(_parts(out / "transcripts"), _lines(out / "transcripts.jsonl"), "transcripts", "text")
        self.rows = {id_: _row(row) for id_, row in rows.items()}
        errors = self._both(_parts(out / "errors.parquet"), _lines(out / "errors.jsonl"), "errors", "error")
        self.errors = {id_: _problem(row) for id_, row in errors.items()}
        self.attempts = [
            Attempt(row["id"], row["run_id"], row["outcome"], row["billed"], row["credits"])
            for row in _parts(out / "attempts")
        ]

    def has_of(self, id_: str, path: str) -> bool:
        """Whether a row has a transcript, and one of the recording under that path."""
        return id_ in self.rows and self.rows[id_].audio.endswith(f"/{path}")

    def _both(
        self, parts: list[dict[str, Any]], lines: list[dict[str, Any]], kind: str, column: str
    ) -> dict[str, dict[str, Any]]:
        found = {}
        for form, rows in (("Parquet", parts), ("JSONL", lines)):
            found[form] = {row["id"]: row for row in rows}
            if len(found[form]) != len(rows):
                ids = [row["id"] for row in rows]
                self.faults.append(f"{kind}: ids stand twice in {form}: {[one for one in ids if ids.count(one) > 1]}")
        told = [{id_: row[column] for id_, row in rows.items()} for rows in found.values()]
        if told[0] != told[1]:
            self.faults.append(f"{kind}: Parquet and JSONL differ: {told[0]} and {told[1]}")
        return found["Parquet"]


def _parts(path: Path) -> list[dict[str, Any]]:
    files = sorted(path.glob("part-*.parquet")) if path.is_dir() else [path] * path.exists()
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def _row(row: dict[str, Any]) -> Row:
    told = row["metadata"]
    return Row(
        id=row["id"],
        audio=row["audio"],
        run_id=row["run_id"],
        identity=identity_in(row["text"]),
        spans=spans_in(row["text"]),
        audio_hash=row["audio_hash"],
        config_hash=row["config_hash"],
        language=row["language"],
        reference=row["reference"],
        metadata=json.loads(told) if isinstance(told, str) else dict(told),
        status=row["status"],
    )


def _problem(row: dict[str, Any]) -> Problem:
    return Problem(row["id"], row["error"], row["retryable"], row.get("kept"), row["run_id"])
