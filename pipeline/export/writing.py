"""Writes the files of an export: to a temporary file beside it, flushed, then renamed. Raises OutputError."""

from __future__ import annotations

import gzip
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, cast

from pipeline.errors import OutputError, UsageError
from pipeline.sink.store import sync_folder
from pipeline.texts import visible

COMPRESSED = ".gz"
Stamp = tuple[int, int]
"""The size of a file in bytes, and its mtime in nanoseconds: another one after any change."""


@contextmanager
def failing(path: Path) -> Iterator[None]:
    """An OSError in the block becomes a sentence."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{visible(str(error.filename or path))} cannot be written: {error.strerror or error}; what is exported "
            "so far stays: fix this and run the same command again"
        ) from error


def temporary(path: Path) -> Path:
    """The file that becomes `path`."""
    return path.with_name(f".{path.name}.tmp")


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Writes the temporary file of `path`, and flushes it; it is removed where the block fails."""
    temp = temporary(path)
    with failing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temp.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):
                temp.unlink(missing_ok=True)
            raise


def rename_all(paths: Collection[Path]) -> None:
    """Gives written temporary files their names."""
    for path in paths:
        with failing(path):
            temporary(path).replace(path)
    for folder in dict.fromkeys(path.parent for path in paths):
        with failing(folder):
            sync_folder(folder)


def write_all(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Writes files whose contents are in memory."""
    for name, content in contents.items():
        with writing(folder / name) as file:
            file.write(content)
    rename_all([folder / name for name in contents])


def remove(folder: Path, names: Collection[str]) -> None:
    """Removes files, their temporary ones, and the folders that are empty then, but for `folder` itself."""
    for name in names:
        path = folder / name
        with failing(path):
            for one in (path, temporary(path)):
                with suppress(FileNotFoundError, NotADirectoryError):
                    one.unlink()
        for parent in [*Path(name).parents][:-1]:
            with suppress(OSError):  # not empty, or gone
                (folder / parent).rmdir()


def remove_unfinished(folder: Path, names: Iterable[str]) -> None:
    """Removes the temporary files of these names, which a killed export left."""
    for name in names:
        with failing(folder / name), suppress(FileNotFoundError, NotADirectoryError):
            temporary(folder / name).unlink()


def stamp_of(folder: Path, name: str) -> Stamp:
    """The stamp of a file that was just written."""
    with failing(folder / name):
        status = (folder / name).stat()
    return status.st_size, status.st_mtime_ns


def stands(folder: Path, name: str, size: int | None, mtime_ns: int | None) -> bool | None:
    """Whether a file still has this stamp; None where it is missing, or has none because it was not written whole."""
    try:
        with failing(folder / name):
            status = (folder / name).stat()
    except OutputError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return None
        raise
    return None if size is None else (status.st_size, status.st_mtime_ns) == (size, mtime_ns)


def holds(path: Path, content: bytes) -> bool:
    """Whether a file is there and holds just this."""
    with suppress(OSError):
        return path.stat().st_size == len(content) and path.read_bytes() == content
    return False


def refuse_foreign(folder: Path, names: Collection[str]) -> None:
    """Raises UsageError where there are such files, which the export did not write, or not as they are."""
    if there := [name for name in names if os.path.lexists(folder / name)]:
        more = f" (and {len(there) - 1:,} more)" if len(there) > 1 else ""
        raise UsageError(
            f"{visible(str(folder / there[0]))}{more} would be overwritten, and was not written by this export as it "
            "is; move it away, export to another folder, or say --overwrite"
        )


def opened(path: Path) -> IO[bytes]:
    """Opens a file of lines."""
    return cast(IO[bytes], gzip.open(path)) if path.name.endswith(COMPRESSED) else path.open("rb")


def holds_more(path: Path, count: int) -> bool:
    """Whether a file of lines holds more than so many bytes."""
    with failing(path), opened(path) as file:
        return len(file.read(count + 1)) > count
