"""JSON Lines files: appended to, written whole, rewritten with some rows replaced, and read. Raises OutputError."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from pipeline.built import built
from pipeline.clips import KeptClip
from pipeline.earlier import Transcript1, decoding_either
from pipeline.errors import DamagedFile
from pipeline.model import Failure, Transcript
from pipeline.sink.rows import Which, damaged, decoding
from pipeline.sink.store import Store

T = TypeVar("T", bound=msgspec.Struct)
_encode = msgspec.json.Encoder().encode
_BLOCK_BYTES = 1 << 20


@built
class _Row(msgspec.Struct):
    id: str


_DECODE: dict[type, Callable[[bytes], Any]] = {
    Transcript: decoding_either(msgspec.json.Decoder(Transcript).decode, msgspec.json.Decoder(Transcript1).decode),
    Failure: msgspec.json.Decoder(Failure).decode,
    KeptClip: msgspec.json.Decoder(KeptClip).decode,
}
_id_of = msgspec.json.Decoder(_Row).decode


class Lines(Generic[T]):
    """A file whose lines are records of one type."""

    def __init__(self, store: Store, name: str, kind: type[T]) -> None:
        self._store = store
        self.name = name
        self._decode: Callable[[bytes], T] = _DECODE[kind]

    def size(self) -> int | None:
        """Its bytes; None where it does not exist."""
        return self._store.size(self.name)

    def is_format_1(self) -> bool:
        """Whether a version before 0.2 wrote the transcripts, all of which are of one format."""
        if not self.size():
            return False
        with self._store.read(self.name) as file, decoding(self._store, self.name):
            return "flags" in msgspec.json.decode(file.readline())

    def append(self, records: Iterable[T], committed: int) -> int | None:
        """Appends after the first `committed` bytes; returns the new size, or None where the store cannot append."""
        return self._store.append(self.name, _lines(records), committed)

    def write(self, records: Iterable[T]) -> int:
        """Writes the whole file; returns its bytes."""
        with self._store.put(self.name) as file:
            file.writelines(_lines(records))
            return file.tell()

    def replace(self, which: Which, records: Iterable[T]) -> int:
        """Rewrites the file without the rows that `which` selects and with `records` at its end; returns its bytes."""
        with self._store.put(self.name) as file:
            if self.size() is not None:
                file.writelines(line for is_selected, line in self._split(which) if not is_selected)
            file.writelines(_lines(records))
            return file.tell()

    def ends_line_at(self, end: int) -> bool:
        """Whether a line of the file ends at byte `end`."""
        if self.size() is None:
            return False
        with self._store.read(self.name) as file:
            file.seek(end - 1)
            return file.read(1) == b"\n"

    def rows(self, upto: int | None = None, on_damage: Callable[[bytes], None] | None = None) -> Iterator[T]:
        """All rows, or those of the first `upto` bytes. Raises DamagedFile for a line that cannot be decoded, or calls
        `on_damage` with it.

        A last line without a newline is being written, or was cut by a crash: it is skipped without `on_damage`.
        """
        for number, (end, line) in enumerate(self._numbered(), 1):
            if upto is not None and end > upto:
                return
            try:
                with decoding(self._store, self.name):
                    row = self._decode(line)
            except DamagedFile as error:
                if on_damage is not None:
                    on_damage(line)
                elif line.endswith(b"\n"):
                    raise damaged(self._store, self.name, f"line {number}: {error.__cause__}") from error
            else:
                yield row

    def rows_behind(self, start: int) -> Iterator[tuple[int, T]]:
        """Rows after the first `start` bytes, each with the offset of its end; without a last line that is being
        written."""
        for end, line in self._numbered(start):
            if not line.endswith(b"\n"):
                return
            with decoding(self._store, self.name):
                row = self._decode(line)
            yield end, row

    def rows_of(self, which: Which) -> Iterator[T]:
        """The rows that `which` selects; of all others only the id is decoded."""
        for is_selected, line in self._split(which):
            if is_selected:
                with decoding(self._store, self.name):
                    row = self._decode(line)
                yield row

    def _numbered(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """The lines after `start`, each with the offset of its end."""
        with self._store.read(self.name) as file:
            file.seek(start)
            for line in file:
                start += len(line)
                yield start, line

    def _split(self, which: Which) -> Iterator[tuple[bool, bytes]]:
        """All lines, each with whether `which` selects it."""
        with self._store.read(self.name) as file:
            while lines := file.readlines(_BLOCK_BYTES):
                with decoding(self._store, self.name):
                    ids = [_id_of(line).id for line in lines]
                selected = frozenset(which(ids))
                yield from ((id_ in selected, line) for id_, line in zip(ids, lines, strict=True))


def _lines(records: Iterable[T]) -> Iterator[bytes]:
    return (_encode(record) + b"\n" for record in records)
