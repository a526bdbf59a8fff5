"""Files of the output that hold other bytes than were written: the one rule that tells it from a fault of the system.

Whatever goes wrong while a file is read is damage, unless the system refused to read it, which it says with a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_REASON = 200


class DamagedFile(Exception):
    """A file of the output cannot be read for what is in it. Its text is the reason, on one line."""

    def __init__(self, path: Path, reason: object) -> None:
        told = " ".join(str(reason).split()) or type(reason).__name__
        super().__init__(told if len(told) <= MAX_REASON else f"{told[:MAX_REASON]} …")
        self.path = path


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Around what reads `path` and decodes what it read. Raises DamagedFile, and OSError with the path where the system
    does not let it be read."""
    try:
        yield
    except (DamagedFile, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # the libraries' own complaints have no number
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise DamagedFile(path, error) from error


def set_aside(path: Path) -> Path:
    """Renames a damaged file, under a name that readers of the folder pass over; returns it."""
    return path.rename(free_name(path))


def free_name(path: Path) -> Path:
    """What a damaged file is kept as, beside those that were kept before."""
    name = path.name if path.suffix != ".parquet" else f"_{path.name}"
    kept, number = path.with_name(f"{name}.damaged"), 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{name}.damaged-{number}")
    return kept
