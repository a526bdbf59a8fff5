"""Outputs whose rows change from night to night, made without a run; and what an export of them should hold."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from pipeline.checkpoint import Checkpoint
from pipeline.export.export import ExportOptions, export
from pipeline.export.exported import Exported
from pipeline.export.state import ExportState
from pipeline.model import Transcript
from pipeline.sink import FolderStore, Sink
from tests.records import transcript


class Output:
    """An output folder with parts, or only a JSONL, and a checkpoint that knows the order of its rows."""

    def __init__(self, folder: Path, *, lines_only: bool = False) -> None:
        folder.mkdir()
        self.folder = folder
        self._sink = Sink(FolderStore(folder))
        self._lines_only = lines_only
        self.parts: dict[int, list[Transcript]] = {}
        with Checkpoint(folder / "checkpoint.sqlite"):
            pass

    def write(self, parts: Mapping[int, Sequence[Transcript]], order: Sequence[str]) -> None:
        """Has the output hold these rows; parts that are as they were stay untouched. Known places stay."""
        with closing(sqlite3.connect(self.folder / "checkpoint.sqlite")) as db, db:
            for id_ in order:
                db.execute(
                    """INSERT OR IGNORE INTO utterances (id, row, state, expected_s, config_hash)
                       VALUES (?, x'', 2, 1, 'c')""",
                    (id_,),
                )
        if self._lines_only:
            self._sink.lines.write(row for rows in parts.values() for row in rows)
        else:
            for part in self.parts.keys() - parts.keys():
                (self.folder / self._sink.parts.name(part)).unlink()
            for part, rows in parts.items():
                if self.parts.get(part) != [*rows]:
                    self._sink.parts.table(part).write([rows])
        self.parts = {part: [*rows] for part, rows in parts.items()}


def spoken(id_: str, audio: str, text: str, **more: object) -> Transcript:
    """A row of a recording, with words of half a second, one each second."""
    row = transcript(id_, text)
    values = {"audio": audio, "duration_s": float(max(1, len(row.words)))} | more
    return msgspec.structs.replace(row, **values)


def exported(out: Path, format_: str, to: Path, **more: object) -> Exported:
    return export(out, ExportOptions(format=format_, to=to, **more))  # type: ignore[arg-type]


def tree(folder: Path) -> dict[str, bytes]:
    """The files of a folder and what they hold."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def killed_export(step: int, out: Path, format_: str, to: Path, **more: object) -> bool:
    """An export that is `killed`."""
    return killed(step, lambda: exported(out, format_, to, **more))


def killed(step: int, call: Callable[[], object]) -> bool:
    """A call in a process of its own that ends at its n-th fsync, rename, removal or commit, as by kill -9; whether it
    came to its end before."""
    if not (pid := os.fork()):
        left = step

        def count() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(9)

        def counted(call: Callable[..., Any]) -> Callable[..., Any]:
            def counting(*args: Any, **named: Any) -> Any:
                count()
                return call(*args, **named)

            return counting

        @contextmanager
        def transaction(state: ExportState) -> Iterator[None]:
            with committing(state):
                yield
            count()

        committing = ExportState.transaction
        ExportState.transaction = transaction  # type: ignore[method-assign]
        Path.unlink = counted(Path.unlink)  # type: ignore[method-assign]
        os.fsync = counted(os.fsync)
        Path.replace = counted(Path.replace)  # type: ignore[method-assign]
        try:
            call()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 9), "the call failed"
    return status == 0
