"""Recordings in object stores: Amazon S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage.

An object is got in pieces, so that a deadline for each is meaningful; a piece of another version is an error.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pipeline.errors import AddressRefused, NoCloud, SourceChanged, SourceFault, SourceTimeout
from pipeline.source.addresses import place_of
from pipeline.source.clouds import PIECE_BYTES, bucket_of
from pipeline.source.local import estimated_s
from pipeline.source.object_errors import failure, is_outside
from pipeline.source.protocol import Content, FileInfo, Listed
from pipeline.source.rules import Rules

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ObjectStore

CHUNK_BYTES = 1 << 20
LONG_ETAG = 64


class ObjectStores:
    """The buckets of all clouds; see `Store`."""

    def __init__(self, rules: Rules) -> None:
        """Raises NoCloud."""
        try:
            import obstore
        except ImportError:
            raise NoCloud(
                "object stores need obstore, the extra [cloud], which is not installed: pip install obstore"
            ) from None
        self._library = obstore
        self._rules = rules
        self._buckets: dict[str, ObjectStore] = {}
        self._lock = threading.Lock()

    def stat(self, address: str) -> FileInfo:
        bucket, key = self._bucket(address), _key(address)
        try:
            return _info(self._library.head(bucket, key), address)
        except Exception as error:
            raise failure(address, error) from None

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        bucket, below = self._bucket(prefix), _below(prefix)
        try:
            found = self._library.list(bucket, below or None, offset=below + after if after else None)
            for some in found:
                for one in some:
                    name = one["path"].removeprefix(below)
                    if not after or name > after:  # some stores begin with that one, or with the first of all
                        yield Listed(name, _info(one, prefix + name))
        except Exception as error:
            raise failure(prefix, error) from None

    def get(self, address: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> Content:
        deadline = time.monotonic() + self._rules.deadline_s(PIECE_BYTES)
        end = start + PIECE_BYTES if stop is None else min(stop, start + PIECE_BYTES)
        piece = self._piece(address, start, end) if start < end else None
        if piece is None:
            info = self.stat(address)
            _same(version, info)
            if start < min(end, info.size_bytes or 0):
                raise SourceFault(f"{place_of(address)} answered HTTP 416 for a part that there should be")
            return Content(info, iter(()))
        info = _info(piece.meta, address)
        _same(version, info)
        last = min(info.size_bytes or 0, info.size_bytes or 0 if stop is None else stop)
        return Content(info, self._chunks(address, info, piece, start, last, deadline))

    def close(self) -> None:
        self._buckets.clear()

    def _chunks(
        self, address: str, info: FileInfo, piece: GetResult | None, start: int, last: int, deadline: float
    ) -> Iterator[bytes]:
        while True:
            end = min(last, start + PIECE_BYTES)
            if piece is None or piece.range != (start, end):
                raise SourceFault(f"{place_of(address)} answered with another part of the object than was asked for")
            try:
                for chunk in piece.stream(min_chunk_size=CHUNK_BYTES):
                    start += len(chunk)
                    yield bytes(chunk)
                    if start == end:  # without asking the library again whether there is more
                        break
                    if time.monotonic() > deadline:
                        raise SourceTimeout(f"{place_of(address)} did not answer in time; see sources.timeout_s")
            except (GeneratorExit, SourceTimeout):
                raise
            except Exception as error:
                raise failure(address, error) from None
            if start != end:
                raise SourceFault(f"the answer of {place_of(address)} ended after {start:,} of {end:,} bytes")
            if start == last:
                return
            deadline = time.monotonic() + self._rules.deadline_s(PIECE_BYTES)
            piece = self._piece(address, start, min(last, start + PIECE_BYTES))
            if piece is not None:
                _same(info.version, _info(piece.meta, address))

    def _piece(self, address: str, start: int, end: int) -> GetResult | None:
        """The bytes from `start` up to `end`, or up to the object's; None where it ends before."""
        bucket, key = self._bucket(address), _key(address)
        try:
            return self._library.get(bucket, key, options={"range": (start, end)})
        except Exception as error:
            if is_outside(error):
                return None
            raise failure(address, error) from None

    def _bucket(self, address: str) -> ObjectStore:
        place = place_of(address)
        with self._lock:
            if place not in self._buckets:
                self._buckets[place] = bucket_of(address, self._rules)
            return self._buckets[place]


def _key(address: str) -> str:
    """Raises AddressRefused for a key that the library would take for another one."""
    key = address[len(place_of(address)) + 1 :]
    if any(name in ("", ".", "..") for name in key.split("/")):
        raise AddressRefused(
            "the object's key has an empty name, . or .. between slashes, which cannot be asked for; copy the object"
        )
    return key


def _below(prefix: str) -> str:
    below = prefix[len(place_of(prefix)) + 1 :]
    if below:
        _key(prefix.removesuffix("/"))
    return below


def _info(meta: Any, address: str) -> FileInfo:
    etag = (meta["e_tag"] or "").strip('"')
    changed = meta["last_modified"]
    is_versioned = bool(etag) or changed.timestamp() > 0
    etag = etag or changed.isoformat()
    if len(etag) > LONG_ETAG or not etag.isprintable():
        etag = sha256(etag.encode()).hexdigest()[:32]
    size = meta["size"]
    return FileInfo(f"{size}:{etag}", size, estimated_s(address, size), is_versioned=is_versioned)


def _same(version: str | None, info: FileInfo) -> None:
    """Raises SourceChanged."""
    if version not in (None, info.version):
        raise SourceChanged("the object was replaced while it was read")
