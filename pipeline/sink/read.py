"""Published transcripts read back: for rows that get the same transcript, or the same one with other metadata.

Reads OUT/transcripts and OUT/transcripts.jsonl. Where a file cannot be read the row is simply not found: the caller has
another way, and a damaged output is told where it is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec

from pipeline.model import Transcript
from pipeline.sink.folder import part_path


def transcripts_in_part(folder: Path, part: int, ids: Collection[str] | None = None) -> dict[str, Transcript]:
    """Rows of a part by id: those of `ids`, or all of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = None if ids is None else [("id", "in", list(ids))]
    try:
        rows = pq.read_table(part_path(folder, part), filters=wanted).to_pylist()
    except (OSError, pa.ArrowInvalid):
        return {}
    return {row["id"]: _transcript(row) for row in rows}


def transcripts_in_lines(path: Path, ids: Collection[str]) -> dict[str, Transcript]:
    """Rows of the JSONL by id."""
    wanted = frozenset(ids)
    decode = msgspec.json.Decoder(Transcript).decode
    try:
        with path.open("rb") as file:
            rows = [row for line in file if (row := decode(line)).id in wanted]
    except (OSError, msgspec.DecodeError):
        return {}
    return {row.id: row for row in rows}


def all_lines(path: Path) -> Iterator[Transcript]:
    """Every whole row of the JSONL; a torn last line is left out. Raises OSError."""
    decode = msgspec.json.Decoder(Transcript).decode
    with path.open("rb") as file:
        for line in file:
            try:
                yield decode(line)
            except msgspec.DecodeError:
                return


def attempts_in_part(folder: Path, part: int) -> tuple[int, float]:
    """Rows and credits of a part of the ledger. Raises OSError."""
    import pyarrow.parquet as pq

    prices = pq.read_table(part_path(folder, part), columns=["credits"])["credits"].to_pylist()
    return len(prices), sum(prices)


def _transcript(row: dict[str, Any]) -> Transcript:
    return msgspec.convert({**row, "metadata": dict(row["metadata"])}, Transcript)
