"""Splits a byte stream into lines of bounded length, for the readers of line-based manifests."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from typing import BinaryIO

from pipeline.errors import ManifestError

MAX_ROW_BYTES = 10_000_000
"""Of a row: without a limit, a file without line ends would be read into memory whole."""
CHUNK_BYTES = 1 << 18
UNFINISHED = (
    "%s:%d: the last line does not end with a newline: is the manifest still being written? It is read as it stands; "
    "run again once it is whole, or end it with a newline"
)


def read_lines(stream: BinaryIO, manifest: str, warn: Callable[[str], None]) -> Iterator[bytes]:
    r"""Lines with their ends (\n, \r\n or \r), without a UTF-8 byte order mark.

    A line over MAX_ROW_BYTES is cut to one byte more, which shows the caller that it is too long. Warns of a last line
    without a line end. Raises `ManifestError` for UTF-16, which would otherwise look like a file full of NUL bytes.
    """
    # read1 returns what a pipe has now; read would wait for a whole chunk
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    rest = first_bytes(read, manifest)
    dropping = False
    count = 0
    while True:
        chunk = read(CHUNK_BYTES)
        lines = (rest + chunk).splitlines(keepends=True)
        # the last line may continue in the next chunk; a \r at the end may be the first half of \r\n
        rest = lines.pop() if chunk and lines and not lines[-1].endswith(b"\n") else b""
        count += len(lines)
        for line in lines:
            if not dropping:
                yield line[: MAX_ROW_BYTES + 1]
            dropping = False
        if not chunk:
            if lines and lines[-1].strip() and not lines[-1].endswith((b"\n", b"\r")):
                warn(UNFINISHED % (manifest, count))
            return
        if len(rest) > MAX_ROW_BYTES:
            if not dropping:
                yield rest[: MAX_ROW_BYTES + 1]
            dropping = True
        if dropping:
            # a \r may still end the dropped line
            rest = rest[-1:]


def first_bytes(read: Callable[[int], bytes], manifest: str) -> bytes:
    """The stream's first bytes, without a byte order mark."""
    start = b""
    while len(start) < len(codecs.BOM_UTF8) and (more := read(len(codecs.BOM_UTF8) - len(start))):
        start += more
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ManifestError(f"{manifest}: the file is UTF-16; save it as UTF-8.")
    return start.removeprefix(codecs.BOM_UTF8)


def decoded(raw: bytes, manifest: str, line: int) -> str:
    """A line as text. Raises `ManifestError` where it is not UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"{manifest}:{line}: byte {error.start + 1} of the line (0x{raw[error.start]:02x}) is not UTF-8; "
            "save the file as UTF-8, for example with iconv -f windows-1252 -t utf-8."
        ) from None
