"""Published rows that are about to be replaced: what nobody else holds of them is copied into the checkpoint first.

Reads the output folder; writes the checkpoint, and transcripts.jsonl where it is the only format.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from pipeline.checkpoint import Checkpoint, Identity
from pipeline.checkpoint.replaced import Leaving
from pipeline.checkpoint.store import CLOSED_JSONL, JSONL_BYTES, Unpublished
from pipeline.model import Transcript
from pipeline.sink import Sink

AT_ONCE = 1_000
_decode = msgspec.msgpack.Decoder(Transcript).decode


def copies_of(leaving: Sequence[Leaving], sink: Sink, rows: Mapping[int, int]) -> list[tuple[int, Transcript | None]]:
    """What is leaving its part, by number; None where another transcript stands there. `rows` is how many the parts
    have."""
    by_part: dict[int, list[Leaving]] = defaultdict(list)
    for one in leaving:
        by_part[one.part].append(one)
    copies = []
    for part, members in by_part.items():
        # raises where rows are missing or cannot be read: nothing is forgotten then
        wanted = {one.id for one in members}
        found = {row.id: row for row in sink.part(part, rows.get(part, 0)) if row.id in wanted}
        copies += [(one.number, _checked(found.get(one.id), one)) for one in members]
    return copies


def replace_lines(checkpoint: Checkpoint, sink: Sink) -> None:
    """Writes a JSONL that stands alone anew with the listed results in place of their old rows, in two passes."""
    ids: set[str] = set()
    leaving: dict[str, list[Leaving]] = defaultdict(list)
    for batch in _batches(checkpoint):
        ids |= {id_ for _, was, _, row in batch for id_ in (was, _decode(row).id)}
        for one in checkpoint.leaving([(0, was) for _, was, _, _ in batch]):
            leaving[one.id].append(one)
    if leaving:
        _copy_lines(checkpoint, sink, leaving)
    checkpoint.set_fact(JSONL_BYTES, CLOSED_JSONL)
    rows = (_decode(row) for batch in _batches(checkpoint) for *_, row in batch)
    checkpoint.lines_replaced(sink.replace_lines(ids, rows))


def _copy_lines(checkpoint: Checkpoint, sink: Sink, leaving: dict[str, list[Leaving]]) -> None:
    copies: list[tuple[int, Transcript | None]] = []
    for row in sink.lines():
        copies += [(one.number, _checked(row, one)) for one in leaving.pop(row.id, ())]
        if len(copies) >= AT_ONCE:
            checkpoint.take_over(copies)
            copies = []
    lost: list[tuple[int, Transcript | None]] = [(one.number, None) for ones in leaving.values() for one in ones]
    checkpoint.take_over([*copies, *lost])


def _checked(row: Transcript | None, leaving: Leaving) -> Transcript | None:
    return row if row is not None and Identity.of(row) == leaving.identity else None


def _batches(checkpoint: Checkpoint) -> Iterator[list[Unpublished]]:
    done = 0
    while batch := checkpoint.replacing(done, AT_ONCE, 16 << 20):
        done += len(batch)
        yield batch
