"""CSV: one table with a row for each transcript."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from operator import attrgetter

import msgspec

from pipeline.model import Transcript

COLUMNS = (
    "id", "audio", "text", "reference", "wer", "duration_s", "offset_s", "span_s", "channel", "language", "status",
    "issues", "sample_rate", "channels", "model", "service", "attempts", "latency_s", "credits", "run_id",
    "finished_at", "metadata",
)  # fmt: skip
_values = attrgetter(*COLUMNS)
_ISSUES, _FINISHED, _METADATA = map(COLUMNS.index, ("issues", "finished_at", "metadata"))
_encode = msgspec.json.Encoder().encode


class Csv:
    """`transcripts.csv`: RFC 4180, UTF-8, with a header. `metadata` is a JSON object, `issues` are joined by `; `."""

    files: tuple[str, ...] = ("transcripts.csv",)
    needs_words = False

    def __init__(self) -> None:
        self._text = io.StringIO(newline="")
        self._write = csv.writer(self._text).writerow
        self.header: tuple[bytes, ...] = (self._line(COLUMNS),)

    def lines(self, row: Transcript) -> tuple[bytes, ...]:
        values = [*_values(row)]
        values[_ISSUES] = "; ".join(row.issues)
        values[_FINISHED] = row.finished_at.isoformat()
        values[_METADATA] = _encode(row.metadata).decode() if row.metadata else ""
        return (self._line(values),)

    def place(self, row: Transcript) -> bytes | None:
        return None

    def _line(self, values: Sequence[object]) -> bytes:
        self._text.seek(0)
        self._text.truncate()
        self._write(values)
        return self._text.getvalue().encode()
