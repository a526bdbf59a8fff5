"""Reads a damaged output folder for a rebuild, past what cannot be read. Damaged files are kept under another name."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from pipeline.clips import KeptClip
from pipeline.errors import DamagedFile
from pipeline.model import Attempt, Failure, Transcript
from pipeline.sink.lines import Lines
from pipeline.sink.parts import Parts
from pipeline.sink.sink import CLIPS, ERRORS_JSONL, ERRORS_TABLE, JSONL, Sink
from pipeline.sink.store import FolderStore, keep_copy

T = TypeVar("T", bound=msgspec.Struct)


class Salvage(Sink):
    """An output folder in any formats, which may be damaged. Methods block and raise OutputError."""

    def __init__(self, out: Path) -> None:
        self._folder = FolderStore(out)
        super().__init__(self._folder)
        self._out = out
        self.damaged: list[Path] = []
        """The new paths of files that could not be read completely."""

    def set_damaged_aside(self) -> None:
        """Renames parts that cannot be read, and folders with the name of an output file."""
        parts: Parts[Transcript] | Parts[Attempt]
        for parts in (self.parts, self.attempts):
            for part in parts.numbers():
                path = self._out / parts.name(part)
                if not path.is_file() or not parts.is_whole(part) or parts.table(part).is_damaged():
                    self._set_aside(path)
        for name in (JSONL, CLIPS, ERRORS_JSONL, ERRORS_TABLE):
            if (self._out / name).is_dir():
                self._set_aside(self._out / name)

    def readable_lines(self) -> Iterator[Transcript]:
        """The readable rows of the JSONL. A last line that a crash cut is no damage."""
        return self._readable(self.lines, may_be_cut=True)

    def drop_damaged_lines(self) -> int:
        """Removes unreadable lines from a JSONL without parts; returns its bytes. The old file is kept, unless only a
        last line was cut by a crash."""
        damaged = set[bytes]()
        deque(self.lines.rows(on_damage=damaged.add), 0)
        if any(line.endswith(b"\n") for line in damaged):
            self._keep(JSONL)
        with self._store.read(JSONL) as old, self._store.put(JSONL) as new:
            new.writelines(line for line in old if line.endswith(b"\n") and line not in damaged)
            return new.tell()

    def readable_errors(self) -> Iterator[Failure]:
        """The readable failures of errors.jsonl, and where that is damaged or missing of errors.parquet."""
        known, has_lines = len(self.damaged), self.errors.size() is not None
        if has_lines:
            yield from self._readable(self.errors)
        if self._store.size(ERRORS_TABLE) is not None and (not has_lines or len(self.damaged) > known):
            try:
                yield from self._errors_table().rows()
            except DamagedFile:
                self._keep(ERRORS_TABLE)

    def readable_clips(self) -> Iterator[KeptClip]:
        """The readable rows of clips.jsonl."""
        return self._readable(self.clips) if self.clips.size() is not None else iter(())

    def run_records(self) -> Iterator[bytes]:
        """The contents of runs/*.json, the oldest first."""
        for name in sorted(self._store.names("runs/*.json")):
            with self._store.read(name) as file:
                record = file.read()
            yield record

    def _readable(self, lines: Lines[T], *, may_be_cut: bool = False) -> Iterator[T]:
        damaged = deque[bytes](maxlen=1)

        def note(line: bytes) -> None:
            if line.endswith(b"\n") or not may_be_cut:
                damaged.append(line)

        yield from lines.rows(on_damage=note)
        if damaged:
            self._keep(lines.name)

    def _keep(self, name: str) -> None:
        """Keeps a copy of a file that is about to be rewritten."""
        with self._folder.as_output_errors(name):
            keep_copy(self._out / name, kept := _free_name(self._out / name))
        self.damaged.append(kept)

    def _set_aside(self, path: Path) -> None:
        """Renames a damaged file to a name that readers of the folder ignore."""
        with self._folder.as_output_errors():
            self.damaged.append(path.rename(_free_name(path)))


def _free_name(path: Path) -> Path:
    """An unused name for a damaged file."""
    name = path.name if path.suffix != ".parquet" else f"_{path.name}"
    kept, number = path.with_name(f"{name}.damaged"), 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{name}.damaged-{number}")
    return kept
