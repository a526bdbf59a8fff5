"""Names of files that mirror the folders of recordings: never one for two recordings. Pure."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable

from pipeline.source.addresses import ROW, is_row, path_in, scheme_of

MOST_BYTES = 255
"""Of the name of a file, on most file systems."""


def path_of(audio: str) -> str:
    """The path that the names of a recording's files mirror: its own, or that of an address, as if buckets and hosts
    were folders. A row of a Parquet file is called after both."""
    file, _, row = audio.rpartition(ROW)
    path = f"{file.removesuffix('.parquet')}-row{row}" if is_row(audio) else audio
    if scheme := scheme_of(path):
        path = f"/{scheme}/{path_in(path).partition('://')[2]}"
        path = "".join("_" if char < " " or char == "\x7f" else char for char in path)
    return path


def common_folder(recordings: Iterable[str]) -> str:
    """The deepest folder that all these recordings are in, whatever `..` their paths have."""
    found: str | None = None
    for audio in recordings:
        folder = os.path.dirname(os.path.normpath(path_of(audio)))
        if found is None:
            found = folder
        elif folder != found and not folder.startswith(found.rstrip("/") + "/"):
            found = os.path.commonpath([found, folder])
    return found or "/"


def mirrored(audio: str, root: str) -> str:
    """The path of a recording, which is below `root`, as a relative one."""
    return os.path.relpath(os.path.normpath(path_of(audio)), root)


def stem_of(name: str) -> str:
    """A name without its ending."""
    stem, ending = os.path.splitext(name)
    return stem if ending else name


def key_of(name: str) -> str:
    """Equal for names that some file system takes for one: of another case, or composed in another way."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def unlike(audio: str, root: str) -> str:
    """As `mirrored`, with a hash, where others are alike."""
    name = mirrored(audio, root)
    hashed = audio if scheme_of(audio) else name  # several addresses may have one name
    return f"{name}~{hashlib.blake2b(os.fsencode(hashed), digest_size=6).hexdigest()}"


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
