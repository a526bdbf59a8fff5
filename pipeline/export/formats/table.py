"""CSV: one table with a row for each transcript."""

from __future__ import annotations

import csv
import io

import msgspec

from pipeline.model import Transcript

COLUMNS = (
    "id", "audio", "text", "reference", "wer", "duration_s", "offset_s", "span_s", "channel", "language", "status",
    "issues", "sample_rate", "channels", "model", "service", "attempts", "latency_s", "credits", "run_id",
    "finished_at", "metadata",
)  # fmt: skip
_encode = msgspec.json.Encoder().encode


class Csv:
    """`transcripts.csv`: RFC 4180, UTF-8, with a header. `metadata` is a JSON object, `issues` are joined by `; `."""

    files: tuple[str, ...] = ("transcripts.csv",)
    needs_words = False

    def __init__(self) -> None:
        self.header: tuple[bytes, ...] = (_line(COLUMNS),)

    def lines(self, row: Transcript) -> tuple[bytes, ...]:
        metadata = _encode(row.metadata).decode() if row.metadata else ""
        instead = {"issues": "; ".join(row.issues), "metadata": metadata, "finished_at": row.finished_at.isoformat()}
        return (_line([instead[name] if name in instead else getattr(row, name) for name in COLUMNS]),)

    def place(self, row: Transcript) -> bytes | None:
        return None


def _line(values: object) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(values)  # type: ignore[arg-type]
    return text.getvalue().encode()
