"""Transcripts read back while more are published: nothing is read twice because of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from pipeline.checkpoint import Stored
from pipeline.model import Transcript
from pipeline.run.stored import StoredTranscripts
from pipeline.sink import FolderStore, Sink
from tests.records import transcript


class Counting(Sink):
    """Counts the lines that it reads."""

    lines_read = 0

    def lines_behind(self, start: int) -> Iterator[tuple[int, Transcript]]:
        for found in super().lines_behind(start):
            self.lines_read += 1
            yield found


def test_each_line_is_read_once_while_the_jsonl_grows(tmp_path: Path) -> None:
    sink, size = Counting(FolderStore(tmp_path), ("jsonl",)), 0
    published = StoredTranscripts(sink)
    for number in range(30):
        _, size = sink.publish([transcript(f"r{number}")], 0, size)
        asked = [Stored(id=f"r{n}", part=0, transcript=None) for n in (0, number, 99)]
        found = asyncio.run(published.read(asked))
        assert [row and row.id for row in found] == ["r0", f"r{number}", None]
    published.close()
    assert sink.lines_read == 30
