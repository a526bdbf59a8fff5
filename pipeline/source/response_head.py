"""What a web server's answer says of a recording: which part of it comes, its version, or why there is none. Pure.

Texts have the server's name and nothing that it wrote: it may repeat the address with its signature.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import PurePosixPath
from typing import NamedTuple

import httpx

from pipeline.errors import (
    AddressRefused,
    AttemptError,
    AudioForbidden,
    AudioMissing,
    AudioUnreadable,
    NoParts,
    SourceChanged,
    SourceFault,
)
from pipeline.exchange import retry_after_s
from pipeline.source.local import estimated_s
from pipeline.source.protocol import FileInfo

REDIRECTS = (301, 302, 303, 307, 308)
WHOLE, PART, OUTSIDE = 200, 206, 416
_MISSING = (404, 410)
_LATER = (408, 425, 429)
NOT_IMPLEMENTED = 501
MOST_SKIPPED = 64 << 10
"""Bytes that are read in vain where a server answers with the whole instead of a part with an end."""
_UNKNOWN = "?"
_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", re.IGNORECASE)
_LENGTH = re.compile(r"\d{1,18}")
_NO_AUDIO = {"html": "a web page, perhaps one to log in,", "json": "JSON", "xml": "XML"}
_COMPRESSED = (".gz", ".bz2", ".zst", ".xz")
"""Servers name the compression of such files as that of their answer."""


class Head(NamedTuple):
    """The head of an answer."""

    host: str
    status: int
    headers: httpx.Headers

    @property
    def length(self) -> int | None:
        """Content-Length, where the body has it."""
        told = "" if "transfer-encoding" in self.headers else self.headers.get("content-length", "")
        return int(told) if _LENGTH.fullmatch(told) else None


class Part(NamedTuple):
    """What of an answer's body is wanted."""

    info: FileInfo
    skipped: int
    """Bytes before it, …"""
    length: int | None
    """… its own, None if it is all that comes, and …"""
    is_exact: bool
    """… whether so many have to come, and no more."""


def failure(head: Head, *, is_signed: bool) -> AttemptError | None:
    """Why there is no recording, by the status; None where there is one."""
    status = head.status
    said = f"{head.host} answered HTTP {status}"
    if status in (WHOLE, PART, OUTSIDE):
        return None
    if status in _MISSING:
        return AudioMissing(f"{said}: there is no such recording", http_status=status)
    if status in _LATER or (not 300 <= status < 500 and status != NOT_IMPLEMENTED):
        retry_after = retry_after_s(head.headers.get("retry-after"))
        return SourceFault(said, http_status=status, retry_after_s=retry_after)
    if status < 400:
        return AddressRefused(f"{said}, which names no address to go on to", http_status=status)
    hint = "; its signature may have expired or be for other requests: sign the address anew" if is_signed else ""
    return AudioForbidden(f"{said}: it does not hand the recording out{hint}", http_status=status)


def why_no_audio(head: Head, address: str) -> str | None:
    """Why the answer is certainly no recording."""
    kind = head.headers.get("content-type", "").partition(";")[0].strip().lower()
    name = PurePosixPath(address.partition("?")[0]).name.lower()
    for part, described in _NO_AUDIO.items():
        if kind.endswith(part) and f".{part}" not in name:
            return f"{head.host} answered with {described} instead of a recording"
    coding = head.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity") and not name.endswith(_COMPRESSED):
        return f"{head.host} compresses its answer, which was not asked for"
    return None


def info_of(head: Head, address: str) -> FileInfo:
    """The recording that the answer is of. Raises SourceFault."""
    if head.status == WHOLE:
        size = head.length
    else:
        total = _content_range(head)[2]
        size = None if total == "*" else int(total)
    validator = head.headers.get("etag") or head.headers.get("last-modified")
    # hashed, because it is kept and may be long, or hold anything
    digest = sha256(validator.encode()).hexdigest()[:32] if validator else _UNKNOWN
    return _info(address, size, digest)


def part_of(head: Head, address: str, start: int, stop: int | None, version: str | None) -> Part:
    """Where in the answer are the bytes from `start` up to `stop`. Raises NoParts, SourceChanged, SourceFault
    or AudioUnreadable."""
    if head.status != OUTSIDE and (why := why_no_audio(head, address)):
        raise AudioUnreadable(why, http_status=head.status)
    if head.status != WHOLE and not start and stop is None:
        raise SourceFault(f"{head.host} answered HTTP {head.status}, as for a part, where all was asked for")
    info = info_of(head, address)
    if version is not None:
        info = _checked(head, info, address, version, is_resumed=bool(start) and stop is None)
    if head.status == OUTSIDE:
        if info.size_bytes is None or start < info.size_bytes:
            raise SourceFault(f"{head.host} answered HTTP 416 for a part that there should be")
        return Part(info, 0, 0, is_exact=False)
    if head.status == WHOLE:
        if stop is not None and start > MOST_SKIPPED:
            raise NoParts(f"{head.host} answers with all of a file where a part is asked for")
        return Part(info, start, None if stop is None else stop - start, is_exact=False)
    first, last, _ = _content_range(head)
    end = min((one for one in (stop, info.size_bytes) if one is not None), default=None)
    if end is None or not first or (int(first), int(last) + 1) != (start, end):
        raise SourceFault(f"{head.host} answered with another part of the recording than was asked for")
    if head.length not in (None, end - start):
        raise SourceFault(f"{head.host} answered with {head.length:,} bytes as a part of {end - start:,}")
    return Part(info, 0, end - start, is_exact=True)


def _info(address: str, size: int | None, digest: str) -> FileInfo:
    version = f"{_UNKNOWN if size is None else size}:{digest}"
    return FileInfo(version, size, estimated_s(address.partition("?")[0], size or 0), is_versioned=digest != _UNKNOWN)


def _checked(head: Head, info: FileInfo, address: str, version: str, *, is_resumed: bool) -> FileInfo:
    """With the size that was known before. Raises SourceChanged where it is another version, or where nothing tells
    that while reading goes on in the middle."""
    size, _, digest = version.partition(":")
    new_size, _, new_digest = info.version.partition(":")
    is_same = head.status == OUTSIDE or digest in (_UNKNOWN, new_digest)  # 416 tells the size only
    if not is_same or (_UNKNOWN not in (size, new_size) and size != new_size):
        raise SourceChanged(f"the recording was replaced on {head.host} while it was read")
    if is_resumed and digest == _UNKNOWN:
        raise SourceChanged(f"{head.host} does not tell whether the recording was replaced, so it is read anew")
    return _info(address, int(size), digest) if info.size_bytes is None and size != _UNKNOWN else info


def _content_range(head: Head) -> tuple[str, str, str]:
    """First and last byte ("" for none) and the size of the whole, perhaps `*`. Raises SourceFault."""
    found = _RANGE.fullmatch(head.headers.get("content-range", "").strip())
    if found is None:
        raise SourceFault(f"{head.host} answered HTTP {head.status} without a valid Content-Range")
    first, last, total = found.groups(default="")
    return first, last, total
