"""Transcripts of done utterances, wherever they are: still in the checkpoint, or in a part or the JSONL.

Reads the output folder, each part once.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection

from pipeline.checkpoint import Placed
from pipeline.model import Transcript
from pipeline.sink import Sink


async def transcripts_of(placed: Collection[Placed], sink: Sink) -> dict[str, Transcript]:
    """The transcripts by the utterance's id; those that cannot be found are left out."""
    known = {one.id: one.transcript for one in placed if one.transcript is not None}
    by_part: dict[int | None, list[str]] = defaultdict(list)
    for one in placed:
        if one.id not in known:
            by_part[one.part].append(one.id)
    for part, ids in by_part.items():
        known |= await asyncio.to_thread(sink.read, ids, part)
    return known
