"""Transcripts read back while more are published: nothing is read twice because of it, and a lost row is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.checkpoint import Identity, Stored
from pipeline.errors import OutputError
from pipeline.model import Transcript
from pipeline.run.stored import StoredTranscripts
from pipeline.sink import FolderStore, Sink
from pipeline.sink.lines import Lines
from tests.records import transcript


def at(id_: str, part: int | None, row: Transcript | None = None) -> Stored:
    return Stored(id=id_, part=part, transcript=row)


def test_each_line_is_read_once_while_the_jsonl_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink, size, read = Sink(FolderStore(tmp_path), ("jsonl",)), 0, 0
    really = Lines[Transcript].rows_behind

    def counting(lines: Lines[Transcript], start: int) -> Iterator[tuple[int, Transcript]]:
        nonlocal read
        for found in really(lines, start):
            read += 1
            yield found

    monkeypatch.setattr(Lines, "rows_behind", counting)
    stored = StoredTranscripts(sink)
    for number in range(30):
        _, size = sink.publish([transcript(f"r{number}")], 0, size)
        asked = [at(f"r{n}", 0) for n in (0, number, 99)]
        found = asyncio.run(stored.read(asked))
        assert [row and row.id for row in found] == ["r0", f"r{number}", None]
    stored.close()
    assert read == 30


def test_rows_are_found_in_the_checkpoint_and_in_parts_however_often_they_are_asked_for(tmp_path: Path) -> None:
    sink = Sink(FolderStore(tmp_path), ("parquet",))
    for part in (1, 2):
        sink.publish([transcript(f"{part}-{n}", f"said {part} {n}") for n in range(3)], part, 0)
    stored, waiting = StoredTranscripts(sink), transcript("waits", "not published")
    asked = [at("1-2", 1), at("waits", None, waiting), at("2-0", 2), at("1-0", 1), at("nobody", 2)]
    for _ in range(3):
        found = asyncio.run(stored.read(asked))
        assert [row and row.text for row in found] == ["said 1 2", "not published", "said 2 0", "said 1 0", None]
    stored.close()


def test_a_row_that_has_another_transcript_by_now_is_no_answer(tmp_path: Path) -> None:
    sink = Sink(FolderStore(tmp_path), ("parquet",))
    sink.publish([row := transcript("a", audio_hash="new")], 1, 0)
    old = Identity(audio_hash="old", config_hash=row.config_hash)
    stored = StoredTranscripts(sink)
    assert asyncio.run(stored.read_of({old: at("a", 1), Identity.of(row): at("a", 1)})) == {Identity.of(row): row}


def test_a_part_that_lacks_rows_is_told(tmp_path: Path) -> None:
    sink = Sink(FolderStore(tmp_path), ("parquet",))
    sink.publish([transcript("a")], 1, 0)
    asyncio.run(StoredTranscripts(sink).check([1], {1: 1}))
    with pytest.raises(OutputError, match=r"part-000001.parquet is damaged: it has 1 rows and had 2"):
        asyncio.run(StoredTranscripts(sink).check([1], {1: 2}))
