"""The ids that --id and --ids name. Reads the files, or stdin."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.manifest import STDIN

MOST_BYTES = 64 << 20
"""Of a file: more than a million ids."""


def ids_of(given: Sequence[str], files: Sequence[str], manifests: Sequence[str]) -> tuple[str, ...]:
    """Each id once, in the order of the command line. Raises UsageError."""
    if files.count(STDIN) + (STDIN in manifests) > 1:
        raise UsageError("--ids: - is stdin, which can be read only once; name a file instead")
    found = dict.fromkeys(given)
    for id_ in found:
        if not id_.strip():
            raise UsageError("--id: an empty id names no utterance")
    for file in files:
        ids = [line for line in map(str.strip, _read(file).split("\n")) if line]
        if not ids:
            raise UsageError(f"--ids: {_name(file)} holds no id; write one a line")
        found |= dict.fromkeys(ids)
    return tuple(found)


def _read(file: str) -> str:
    name = _name(file)
    try:
        if file == STDIN:
            if sys.stdin is None:
                raise UsageError("--ids: - is stdin, but this process has none; name a file instead")
            content = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with Path(file).open("rb") as stream:
                content = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"--ids: {name} cannot be read: {reason}") from None
    if len(content) > MOST_BYTES:
        raise UsageError(f"--ids: {name} is larger than {MOST_BYTES >> 20} MB; name fewer ids, or select by --only")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"--ids: {name}, line {line} is not UTF-8; save it as UTF-8, one id a line") from None


def _name(file: str) -> str:
    return "stdin" if file == STDIN else file
