"""Names of files that mirror the folders of recordings: never one for two recordings. Pure."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable

MOST_BYTES = 255
"""Of the name of a file, on most file systems."""


def common_folder(paths: Iterable[str]) -> str:
    """The deepest folder that all these files are in, whatever `..` their paths have."""
    found: str | None = None
    for path in paths:
        folder = os.path.dirname(os.path.normpath(path))
        if found is None:
            found = folder
        elif folder != found and not folder.startswith(found.rstrip("/") + "/"):
            found = os.path.commonpath([found, folder])
    return found or "/"


def mirrored(path: str, root: str) -> str:
    """A path, which is below `root`, as a relative one."""
    return os.path.relpath(os.path.normpath(path), root)


def stem_of(name: str) -> str:
    """A name without its ending."""
    stem, ending = os.path.splitext(name)
    return stem if ending else name


def key_of(name: str) -> str:
    """Equal for names that some file system takes for one: of another case, or composed in another way."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def unlike(name: str) -> str:
    """A name with a hash of it, where others are alike."""
    return f"{name}~{hashlib.blake2b(os.fsencode(name), digest_size=6).hexdigest()}"


def named(stem: str, number: int, suffix: str) -> str:
    """The name of the file of a recording; `number` 1 is its first, further ones are `talk~2.srt`. The last part of
    one that is too long is cut, and a hash of it added."""
    ending = suffix if number == 1 else f"~{number}{suffix}"
    folder, slash, name = stem.rpartition("/")
    room = MOST_BYTES - len(ending.encode()) - len("..tmp")
    if len(os.fsencode(name)) > room:
        digest = hashlib.blake2b(os.fsencode(name), digest_size=6).hexdigest()
        name = f"{os.fsencode(name)[: room - 13].decode('utf-8', 'ignore')}-{digest}"
    return f"{folder}{slash}{name}{ending}"


def is_named(name: str, stem: str, suffix: str) -> bool:
    """Whether a file may be one of this stem."""
    further = re.search(rf"~(\d{{1,9}}){re.escape(suffix)}$", name)
    return name in (named(stem, 1, suffix), named(stem, int(further[1]), suffix) if further else "")
