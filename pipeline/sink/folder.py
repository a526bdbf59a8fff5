"""The folder of a kind of parts: what they are called, which are there, and what a crash left among them.

Looks at names and removes files; opens none, so that a run with nothing to publish loads no Parquet library.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection
from pathlib import Path

from pipeline.sink.damage import DamagedFile, set_aside

MAGIC = b"PAR1"


def part_path(folder: Path, part: int) -> Path:
    return folder / f"part-{part:06d}.parquet"


def parts_in(folder: Path) -> list[int]:
    """Numbers of the parts in a folder."""
    names = (path.name.removeprefix("part-").removesuffix(".parquet") for path in folder.glob("part-*.parquet"))
    return sorted(int(name) for name in names if name.isdigit())


def set_damaged_aside(folder: Path, is_damaged: Callable[[Path], bool]) -> list[Path]:
    """Renames damaged parts, under names that readers of a folder pass over; says which."""
    aside = []
    for part in parts_in(folder):
        path = part_path(folder, part)
        if not path.is_file() or not _is_whole(path) or is_damaged(path):
            aside.append(set_aside(path))
    return aside


def _is_whole(path: Path) -> bool:
    """Whether a file begins and ends like a Parquet file, and has room for the footer that its end announces."""
    size = path.stat().st_size
    with path.open("rb") as file:
        begins = file.read(len(MAGIC)) == MAGIC
        file.seek(max(0, size - 8))
        footer, end = file.read(4), file.read(4)
    return begins and end == MAGIC and int.from_bytes(footer, "little") + 12 <= size


def unnoted_part(folder: Path, known: Collection[int]) -> Path | None:
    """The one part that a crash may have left written and not noted.

    Raises FileNotFoundError where a part that was noted is gone, DamagedFile where one is no whole file, and
    FileExistsError for any other part that nobody knows of: that is somebody's data.
    """
    there = parts_in(folder)
    for part in sorted(set(known) - set(there)):
        raise FileNotFoundError(errno.ENOENT, "a published part is gone", str(part_path(folder, part)))
    for part in known:
        if not _is_whole(part_path(folder, part)):
            raise DamagedFile(part_path(folder, part), "it does not begin or end as it did")
    unnoted = max(known, default=0) + 1
    for part in sorted(set(there) - set(known)):
        if part != unnoted:
            raise FileExistsError(errno.EEXIST, "a part is not in the checkpoint", str(part_path(folder, part)))
    return part_path(folder, unnoted) if unnoted in there else None


def settle_parts(folder: Path, known: Collection[int]) -> None:
    """Removes what a crash left: the part that was not noted, whose rows are still to be published, and temporary
    files. Raises as `unnoted_part` does, with nothing removed."""
    left = unnoted_part(folder, known)
    if left is not None:
        left.unlink()
    for path in folder.glob(".part-*.tmp"):
        path.unlink()
