"""JSON Lines files: rows appended, all written, some replaced, and read back. Methods raise OutputError."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from pipeline.built import built
from pipeline.errors import DamagedFile
from pipeline.model import Failure, KeptClip, Transcript
from pipeline.sink.rows import Which, damaged, decoding
from pipeline.sink.store import Store

T = TypeVar("T", bound=msgspec.Struct)
_encode = msgspec.json.Encoder().encode
_BLOCK_BYTES = 1 << 20


@built
class _Row(msgspec.Struct):
    id: str


_DECODE: dict[type, Callable[[bytes], Any]] = {
    Transcript: msgspec.json.Decoder(Transcript).decode,
    Failure: msgspec.json.Decoder(Failure).decode,
    KeptClip: msgspec.json.Decoder(KeptClip).decode,
}
_id_of = msgspec.json.Decoder(_Row).decode


class Lines(Generic[T]):
    """One file, whose lines are records of one kind."""

    def __init__(self, store: Store, name: str, kind: type[T]) -> None:
        self._store = store
        self.name = name
        self._decode: Callable[[bytes], T] = _DECODE[kind]

    def size(self) -> int | None:
        """Its bytes; None where there is no such file."""
        return self._store.size(self.name)

    def append(self, records: Iterable[T], committed: int) -> int | None:
        """Appends behind the first `committed` bytes; returns the new number of bytes, or None where the store cannot
        append."""
        return self._store.append(self.name, _lines(records), committed)

    def write(self, records: Iterable[T]) -> int:
        """Writes the whole file; returns its bytes."""
        with self._store.put(self.name) as file:
            file.writelines(_lines(records))
            return file.tell()

    def replace(self, which: Which, records: Iterable[T]) -> int:
        """Writes the file anew, without the rows that are meant and with `records` at its end; returns its bytes."""
        with self._store.put(self.name) as file:
            if self.size() is not None:
                file.writelines(line for is_meant, line in self._marked(which) if not is_meant)
            file.writelines(_lines(records))
            return file.tell()

    def ends_line_at(self, end: int) -> bool:
        """Whether the file has so many bytes, and a line ends there."""
        if self.size() is None:
            return False
        with self._store.read(self.name) as file:
            file.seek(end - 1)
            return file.read(1) == b"\n"

    def rows(self, upto: int | None = None, on_damage: Callable[[bytes], None] | None = None) -> Iterator[T]:
        """All rows, or those of the first `upto` bytes. Raises DamagedFile for a line that cannot be decoded, or hands
        it to `on_damage`.

        A last line that has no newline is being written, or was torn by a crash: only `on_damage` gets it.
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
        """Rows behind the first `start` bytes, each with the number of bytes up to its end; not of a last line that is
        being written."""
        for end, line in self._numbered(start):
            if not line.endswith(b"\n"):
                return
            with decoding(self._store, self.name):
                row = self._decode(line)
            yield end, row

    def rows_of(self, which: Which) -> Iterator[T]:
        """The rows that are meant; of all others only the id is decoded."""
        for is_meant, line in self._marked(which):
            if is_meant:
                with decoding(self._store, self.name):
                    row = self._decode(line)
                yield row

    def _numbered(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """The lines behind `start`, each with the number of bytes up to its end."""
        with self._store.read(self.name) as file:
            file.seek(start)
            for line in file:
                start += len(line)
                yield start, line

    def _marked(self, which: Which) -> Iterator[tuple[bool, bytes]]:
        """The lines, and whether they are meant."""
        with self._store.read(self.name) as file:
            while lines := file.readlines(_BLOCK_BYTES):
                with decoding(self._store, self.name):
                    ids = [_id_of(line).id for line in lines]
                meant = frozenset(which(ids))
                yield from ((id_ in meant, line) for id_, line in zip(ids, lines, strict=True))


def _lines(records: Iterable[T]) -> Iterator[bytes]:
    return (_encode(record) + b"\n" for record in records)
