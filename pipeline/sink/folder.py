"""The folder of a kind of parts: what they are called, which are there, and what a crash left among them.

Looks at names and removes files; opens none, so that a run with nothing to publish loads no Parquet library.
"""

from __future__ import annotations

import errno
from collections.abc import Collection
from pathlib import Path


def part_path(folder: Path, part: int) -> Path:
    return folder / f"part-{part:06d}.parquet"


def parts_in(folder: Path) -> list[int]:
    """Numbers of the parts in a folder."""
    names = (path.name.removeprefix("part-").removesuffix(".parquet") for path in folder.glob("part-*.parquet"))
    return sorted(int(name) for name in names if name.isdigit())


def settle_parts(folder: Path, known: Collection[int]) -> None:
    """Removes what a crash left: the one part that was written and not noted, whose rows are still to be published, and
    temporary files. Raises FileNotFoundError where a part that was noted is gone, and FileExistsError for any other
    part that nobody knows of: that is somebody's data.
    """
    there = parts_in(folder)
    for part in sorted(set(known) - set(there)):
        raise FileNotFoundError(errno.ENOENT, "a published part is gone", str(part_path(folder, part)))
    unnoted = max(known, default=0) + 1
    for part in sorted(set(there) - set(known)):
        if part != unnoted:
            raise FileExistsError(errno.EEXIST, "a part is not in the checkpoint", str(part_path(folder, part)))
        part_path(folder, part).unlink()
    for path in folder.glob(".part-*.tmp"):
        path.unlink()
