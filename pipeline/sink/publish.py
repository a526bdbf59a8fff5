"""Publishes what the checkpoint has finished: transcripts into parts and JSONL, attempts into parts, errors as a whole.

Touches only the output folder. The order is always: files first, durably; then the caller notes that they are there.
A crash between the two is mended by publishing the same rows again, which replaces them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pipeline.errors import OutputError
from pipeline.model import Attempt, Failure, KeptClip, Transcript
from pipeline.sink.batches import in_batches
from pipeline.sink.damage import DamagedFile

if TYPE_CHECKING:
    from pipeline.sink.read import Which

JSONL_NAME = "transcripts.jsonl"
CLIPS_NAME = "clips.jsonl"
ERRORS_AT_ONCE = 10_000
ROWS_AT_ONCE = 500
OR_REBUILD = " or run gradium-batch rebuild on it"


class Sink:
    """Writes the output folder in the configured formats. Methods block and raise OutputError."""

    def __init__(self, out: Path, formats: Collection[str]) -> None:
        self._out = out
        self._parquet = "parquet" in formats
        self._jsonl = "jsonl" in formats

    def holds_transcripts(self) -> bool:
        """Whether somebody's transcripts lie here."""
        path = self._out / JSONL_NAME
        return bool(self.parts_on_disk("transcripts")) or (path.exists() and path.stat().st_size > 0)

    def tidy(self, transcripts: Collection[int], attempts: Collection[int]) -> None:
        """Removes what a crash left: the part that was not noted (its rows are still to be published), temp files.

        Raises OutputError where what was noted is gone, or where there is more than a crash can leave.
        """
        from pipeline.sink.folder import settle_parts

        with translated(self._out, OR_REBUILD):
            settle_parts(self._out / "transcripts", transcripts)
            settle_parts(self._out / "attempts", attempts)
            for name in (JSONL_NAME, CLIPS_NAME, "errors.parquet", "errors.jsonl", "summary.json"):
                (self._out / f".{name}.tmp").unlink(missing_ok=True)

    def check(self, transcripts: dict[int, int], attempts: dict[int, int]) -> None:
        """Raises OutputError where `tidy` would, or where a part cannot be read or has other rows than were noted."""
        from pipeline.sink.folder import unnoted_part
        from pipeline.sink.read import check_rows

        with translated(self._out, OR_REBUILD):
            for parts, folder, row in (
                (transcripts, self._out / "transcripts", Transcript),
                (attempts, self._out / "attempts", Attempt),
            ):
                unnoted_part(folder, parts)
                for part, rows in parts.items():
                    check_rows(folder, part, row, rows)

    def check_lines(self, committed: int) -> None:
        """Raises OutputError where the JSONL is not what was noted (-1: all of it), or a line is damaged."""
        if not self._jsonl or not committed:
            return
        path = self._out / JSONL_NAME
        if not self.lines_are_there(committed):
            raise OutputError(f"{path} is gone, or ends before what was written does")
        if path.exists():
            self._read_through(JSONL_NAME, Transcript, None if committed < 0 else committed)

    def check_others(self) -> None:
        """Raises OutputError where the errors or the answered clips cannot be read: a new checkpoint may need them."""
        from pipeline.sink.read import rows_in

        for name, row in (("errors.jsonl", Failure), (CLIPS_NAME, KeptClip)):
            if (self._out / name).exists():
                self._read_through(name, row)
        if (self._out / "errors.parquet").exists():
            with translated(self._out, OR_REBUILD):
                deque(rows_in(self._out / "errors.parquet", Failure), 0)

    def _read_through(self, name: str, row: type[msgspec.Struct], upto: int | None = None) -> None:
        from pipeline.sink.read import rows_in_lines

        with translated(self._out, OR_REBUILD):
            for _ in rows_in_lines(self._out / name, row, upto):
                pass

    def lines_are_there(self, committed: int) -> bool:
        """Whether the JSONL holds at least what was noted of it, to the end of a line. Raises OutputError."""
        if not self._jsonl or committed <= 0:
            return True
        path = self._out / JSONL_NAME
        if not path.exists():
            return False
        with translated(self._out, OR_REBUILD), path.open("rb") as file:
            file.seek(committed - 1)
            return file.read(1) == b"\n"

    def refuse_lost_lines(self) -> None:
        """Raises OutputError where the JSONL is not what it was, and there are no parts to write it anew from."""
        if not self._parquet:
            raise OutputError(
                f"{self._out / JSONL_NAME} is gone, or ends before what was written does; restore it, "
                f"or run gradium-batch rebuild {self._out} to go on with what is there"
            )

    def drop_lines(self, which: Which) -> int:
        """Rewrites the JSONL without the rows that are meant; returns its bytes."""
        from pipeline.sink.lines import replace_rows

        path = self._out / JSONL_NAME
        with translated(self._out):
            return replace_rows(path, which, ()) if self._jsonl and path.exists() else 0

    @property
    def has_parts(self) -> bool:
        """Whether rows go into Parquet parts, from which the JSONL can be written anew."""
        return self._parquet

    def publish(self, rows: Sequence[Transcript], next_part: int, jsonl_bytes: int | None) -> tuple[int, int | None]:
        """Writes rows that no part holds as a new part, and behind the first `jsonl_bytes` of the JSONL (None: it is
        written anew later). Returns the part (0 where rows go to the JSONL only) and the JSONL's bytes."""
        with translated(self._out):
            part = 0
            if self._parquet:
                from pipeline.sink.parts import write_part
                from pipeline.sink.schema import TRANSCRIPTS, table

                part = next_part
                write_part(self._out / "transcripts", part, table(TRANSCRIPTS, rows))
            if not self._jsonl:
                return part, 0
            if jsonl_bytes is None:
                return part, None
            from pipeline.sink.lines import append

            return part, append(self._out / JSONL_NAME, rows, jsonl_bytes)

    def replace(self, part: int, which: Which, rows: Iterable[Transcript], had: int) -> int:
        """Writes a part anew, which has `had` rows, without those that are meant and with `rows`; returns how many rows
        it has now. The JSONL is for `rewrite_lines` to follow."""
        from pipeline.sink.parts import replace_rows
        from pipeline.sink.schema import TRANSCRIPTS, table

        with translated(self._out, OR_REBUILD):
            tables = (table(TRANSCRIPTS, batch) for batch in in_batches(rows, ROWS_AT_ONCE))
            return replace_rows(self._out / "transcripts", part, which, tables, had)

    def replace_lines(self, which: Which, rows: Iterable[Transcript]) -> int:
        """Writes a JSONL that stands alone anew, without the rows that are meant and with `rows`; returns its bytes."""
        from pipeline.sink.lines import replace_rows

        with translated(self._out, OR_REBUILD):
            return replace_rows(self._out / JSONL_NAME, which, rows)

    def read(self, which: Which, part: int, had: int | None = None) -> Iterator[Transcript]:
        """The rows that are meant of a part, or of the JSONL (0). Raises OutputError where it cannot be read, or, in
        the end, does not have so many rows as it `had`."""
        with translated(self._out, OR_REBUILD):
            if part:
                from pipeline.sink.folder import part_path
                from pipeline.sink.read import rows_in

                yield from rows_in(part_path(self._out / "transcripts", part), Transcript, which, had)
            else:
                from pipeline.sink.lines import rows_of

                yield from rows_of(self._out / JSONL_NAME, which)

    def parts_on_disk(self, kind: str) -> list[int]:
        """Numbers of the parts of a kind ("transcripts", "attempts") that lie in the folder."""
        from pipeline.sink.folder import parts_in

        return parts_in(self._out / kind)

    def part(self, part: int, rows: int | None = None) -> Iterator[Transcript]:
        """All rows of a part. Raises OutputError where it cannot be read, or, in the end, does not have so many `rows`:
        what is made from it would lack them."""
        from pipeline.sink.folder import part_path
        from pipeline.sink.read import rows_in

        with translated(self._out, OR_REBUILD):
            yield from rows_in(part_path(self._out / "transcripts", part), Transcript, had=rows)

    def lines_behind(self, start: int) -> Iterator[tuple[int, Transcript]]:
        """Rows of the JSONL behind so many bytes, each with the number of bytes up to its end."""
        from pipeline.sink.read import rows_behind

        with translated(self._out, OR_REBUILD):
            yield from rows_behind(self._out / JSONL_NAME, start, Transcript)

    def lines(self) -> Iterator[Transcript]:
        """All rows of the JSONL. Raises OutputError where one is damaged: it would count as one that is not there."""
        from pipeline.sink.read import rows_in_lines

        with translated(self._out, OR_REBUILD):
            yield from rows_in_lines(self._out / JSONL_NAME, Transcript)

    def lines_bytes(self) -> int | None:
        """Length of the JSONL; None where there is none."""
        path = self._out / JSONL_NAME
        return path.stat().st_size if path.exists() else None

    def rewrite_lines(self, parts: Mapping[int, int]) -> int:
        """Writes the JSONL anew from the parts, by their rows; returns its bytes."""
        from pipeline.sink.lines import write

        if not self._jsonl:
            return 0
        with translated(self._out):
            rows = (row for part, count in sorted(parts.items()) for row in self.part(part, count))
            return write(self._out / JSONL_NAME, rows)

    def publish_attempts(self, attempts: Sequence[Attempt], part: int) -> None:
        from pipeline.sink.parts import write_part
        from pipeline.sink.schema import ATTEMPTS, table

        with translated(self._out):
            write_part(self._out / "attempts", part, table(ATTEMPTS, attempts))

    def holds_clips(self) -> bool:
        """Whether answered clips lie here."""
        return (self._out / CLIPS_NAME).exists()

    def write_clips(self, clips: Callable[[], Iterator[KeptClip]]) -> None:
        """Rewrites clips.jsonl as a whole; it goes where there are none."""
        from pipeline.sink.lines import write

        found = clips()
        with translated(self._out):
            if (first := next(found, None)) is None:
                (self._out / CLIPS_NAME).unlink(missing_ok=True)
            else:
                write(self._out / CLIPS_NAME, chain([first], found))

    def write_errors(self, failures: Callable[[], Iterator[Failure]]) -> None:
        """Rewrites errors.parquet and errors.jsonl as a whole; each format goes through `failures()` once."""
        from pipeline.sink.lines import write
        from pipeline.sink.parts import write_tables
        from pipeline.sink.schema import ERRORS, table

        with translated(self._out):
            if self._parquet:
                tables = (table(ERRORS, batch) for batch in in_batches(failures(), ERRORS_AT_ONCE))
                write_tables(self._out / "errors.parquet", ERRORS, tables)
            if self._jsonl:
                write(self._out / "errors.jsonl", failures())


@contextmanager
def translated(out: Path, or_else: str = "") -> Iterator[None]:
    """Damaged files and faults of the system as OutputError, which names the file and says what to do."""
    try:
        yield
    except DamagedFile as error:
        raise OutputError(
            f"{error.path} is damaged: {error}; restore it, or run gradium-batch rebuild {out}, which goes on with "
            "what the other files hold"
        ) from error
    except OSError as error:
        name = f" ({error.filename})" if error.filename else ""
        raise OutputError(
            f"the output folder {out} cannot be worked with: {error.strerror or error}{name}; "
            f"what was answered is kept in its checkpoint, so mend this{or_else} and run the same command again"
        ) from error
