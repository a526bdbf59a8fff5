"""JSONL: rows appended durably, or the file replaced as a whole without some of its rows.

The caller keeps the number of bytes that are committed; what a crash left behind that mark is cut off.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from pipeline.built import built
from pipeline.durable import keep_as, replacing, sync_folder
from pipeline.model import Transcript
from pipeline.sink.damage import reading
from pipeline.sink.read import Which

_encoder = msgspec.json.Encoder()
_COPY_BYTES = 1 << 20


@built
class _Row(msgspec.Struct):
    id: str


def lines(records: Iterable[Any]) -> Iterator[bytes]:
    for record in records:
        yield _encoder.encode(record) + b"\n"


def append(path: Path, records: Iterable[Any], committed: int) -> int:
    """Appends after the first `committed` bytes, dropping what lies behind them; returns the new number of bytes."""
    created = not path.exists()
    with path.open("ab") as file:
        try:
            file.truncate(committed)  # never longer: the caller has seen that so much is there
            file.seek(committed)
            file.writelines(lines(records))
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        except OSError:
            with suppress(OSError):
                os.ftruncate(file.fileno(), committed)  # half a line is worse than none
            raise
    if created:
        sync_folder(path.parent)
    return size


def replace_rows(path: Path, which: Which, records: Iterable[Any]) -> int:
    """Replaces the file by one without the rows that are meant and with `records` at its end; returns its bytes."""
    with replacing(path) as temp, temp.open("wb") as out:
        if path.exists():
            out.writelines(line for meant, line in marked(path, which) if not meant)
        out.writelines(lines(records))
        out.flush()
        return out.tell()


def marked(path: Path, which: Which) -> Iterator[tuple[bool, bytes]]:
    """The lines of the file, and whether they are meant."""
    for ids, batch in _batches(path):
        meant = frozenset(which(ids))
        yield from ((id_ in meant, line) for id_, line in zip(ids, batch, strict=True))


def _batches(path: Path) -> Iterator[tuple[list[str], list[bytes]]]:
    decode = msgspec.json.Decoder(_Row).decode
    with reading(path), path.open("rb") as file:
        while batch := file.readlines(_COPY_BYTES):
            yield [decode(line).id for line in batch], batch


def rows_of(path: Path, which: Which) -> Iterator[Transcript]:
    """The rows that are meant. Raises DamagedFile where one of the file is damaged."""
    decode = msgspec.json.Decoder(Transcript).decode
    for meant, line in marked(path, which):
        if meant:
            with reading(path):
                row = decode(line)
            yield row


def write(path: Path, records: Iterable[Any]) -> int:
    """One JSONL file, atomically; returns its bytes."""
    with replacing(path) as temp, temp.open("wb") as out:
        out.writelines(lines(records))
        out.flush()
        return out.tell()


def without(path: Path, damaged: Iterable[bytes], aside: Path) -> int:
    """Takes damaged lines out of the file, which is kept as it was under the name `aside`; returns its bytes."""
    drop = frozenset(damaged)
    keep_as(path, aside)
    with replacing(path) as temp, temp.open("wb") as out, path.open("rb") as old:
        out.writelines(line for line in old if line not in drop)
        out.flush()
        return out.tell()


def cut_torn_line(path: Path) -> int:
    """Cuts off what stands behind the last newline; returns the bytes that are left."""
    with path.open("r+b") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _COPY_BYTES)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end != size:
            file.truncate(end)
            os.fsync(file.fileno())
        return end
