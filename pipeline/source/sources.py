"""Where recordings lie: in local files, object stores, on web servers, in rows of Parquet files.

Blocking; used by many threads of one run. Repeats what fails, and waits while a source is out.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self, TypeVar

from pipeline.errors import (
    AddressRefused,
    AttemptError,
    AudioMissing,
    SourceChanged,
    SourceFault,
)
from pipeline.source.addresses import OBJECTS, is_address, is_row, place_of, scheme_of
from pipeline.source.copying import empty, too_large, write
from pipeline.source.local import LocalFiles
from pipeline.source.outages import Attempts, Outages
from pipeline.source.protocol import FileInfo, Listed, Store
from pipeline.source.rules import Rules
from pipeline.source.signatures import Signatures

if TYPE_CHECKING:
    from pipeline.source.rows import ParquetRows

T = TypeVar("T")
NEVER = threading.Event()
REMEMBERED = 16_384
"""What listings tell of recordings is kept for so many, until they are asked for."""


class Sources:
    """The sources of one run. A path or an address names a recording; addresses have no signature."""

    def __init__(self, rules: Rules | None = None, stopped: threading.Event = NEVER) -> None:
        """Nothing is waited for any longer once `stopped` is set."""
        self._rules = rules or Rules()
        self.stopped = stopped
        self._local = LocalFiles()
        self.signatures = Signatures()
        self._outages = Outages(self._rules, stopped)
        self._stores: dict[str, Store] = {}
        self._parquet: ParquetRows | None = None
        self._listed: dict[str, FileInfo] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes connections and files."""
        if self._parquet is not None:
            self._parquet.close()
        for store in self._stores.values():
            store.close()

    def stat(self, path: str) -> FileInfo:
        """Describes a recording without reading it: once as it was just listed. Raises AttemptErrors, SourceOut or
        Stopped."""
        if not is_address(path):
            self._outages.has_local = True
            return self._local.stat(path)
        with self._lock:
            known = self._listed.pop(path, None)
        if known is not None:
            return known
        if is_row(path):
            return self._rows().stat(path)
        store, attempts = self._store(path), Attempts(self._outages, place_of(path), path, only_describes=True)
        return _repeated(store, attempts, lambda: store.stat(path))

    def is_missing(self, path: str) -> bool:
        """Whether a recording does not exist; False for one of which that is not known. Raises SourceOut or Stopped."""
        try:
            self.stat(path)
        except AttemptError as error:
            return isinstance(error, AudioMissing)
        return False

    def list(self, prefix: str) -> Iterator[Listed]:
        """The recordings below a prefix that ends in `/`, in the order of their names. After a failure it goes on after
        the last one. Raises as `stat`."""

        def begun() -> Attempts:
            return Attempts(self._outages, place_of(prefix), prefix, is_manifest=True)

        store, attempts, last = self._store(prefix), begun(), ""
        while True:
            attempts.begin()
            before = last
            try:
                for one in store.list(prefix, after=last):
                    if last == before:  # now, since nobody knows when the next one is asked for
                        attempts.succeeded()
                    self._remember(prefix + one.name, one.info)
                    yield one
                    last = one.name
            except AttemptError as error:
                if last != before:
                    attempts = begun()
                attempts.failed(error)
            except BaseException:  # also where no more are asked for
                attempts.abandoned()
                raise
            else:
                attempts.succeeded()
                return

    def _remember(self, address: str, info: FileInfo) -> None:
        with self._lock:
            self._listed[address] = info
            if len(self._listed) > REMEMBERED:
                del self._listed[next(iter(self._listed))]

    def read(
        self, path: str, start: int, stop: int, version: str | None = None, *, failed_before: bool = False
    ) -> bytes:
        """A part of a recording, which may end before `stop`. `failed_before`: in an earlier run. Raises as `stat`,
        SourceRefusesAll and SourceChanged."""
        store = self._store(path)
        attempts = Attempts(self._outages, place_of(path), path, counts_refusals=True, failed_before=failed_before)
        return _repeated(store, attempts, lambda: b"".join(store.get(path, start, stop, version=version).chunks))

    def fetch(
        self, path: str, file: io.FileIO, max_bytes: int, *, failed_before: bool = False, is_manifest: bool = False
    ) -> FileInfo:
        """Copies a whole recording into an empty file, going on in the middle after a failure.

        `failed_before`: in an earlier run. `is_manifest`: it is none, but names them. Raises as `read`,
        RecordingTooLong where it has more bytes than that, and OutputError.
        """
        if is_row(path):
            return self._rows().fetch(path, file, max_bytes)
        store = self._store(path)
        attempts = Attempts(
            self._outages,
            place_of(path),
            path,
            counts_refusals=not is_manifest,
            failed_before=failed_before,
            is_manifest=is_manifest,
        )
        info: FileInfo | None = None
        have = 0
        while True:
            attempts.begin()
            begun = have
            try:
                if not have and file.tell():
                    empty(file)
                content = store.get(path, have, version=info.version if info else None)
                info = content.info
                if (info.size_bytes or 0) > max_bytes:
                    raise too_large(info.size_bytes, max_bytes)
                for chunk in content.chunks:
                    have += len(chunk)
                    if have > max_bytes:
                        raise too_large(None, max_bytes)
                    write(file, chunk)
                if info.size_bytes is not None and have != info.size_bytes:
                    raise SourceFault(f"the answer ended after {have:,} of {info.size_bytes:,} bytes")
            except AttemptError as error:
                brought = have - begun
                if isinstance(error, SourceChanged) or (info and not _goes_on(info, have)):  # begins anew
                    have, info, brought = 0, None, 0
                _failed(store, attempts, error, brought)
            except BaseException:
                attempts.abandoned()
                raise
            else:
                attempts.succeeded()
                return info

    def _rows(self) -> ParquetRows:
        with self._lock:
            if self._parquet is None:
                from pipeline.source.rows import ParquetRows  # loaded only where it is needed, as below

                self._parquet = ParquetRows(self)
            return self._parquet

    def _store(self, address: str) -> Store:
        """Raises AddressRefused, or NoCloud where the library is missing."""
        kind = scheme_of(address)
        with self._lock:
            if kind not in self._stores:
                self._stores[kind] = self._made(kind, address)
            return self._stores[kind]

    def _made(self, kind: str, address: str) -> Store:
        if kind in OBJECTS:
            from pipeline.source.objects import ObjectStores

            return ObjectStores(self._rules)
        if kind == "https":
            from pipeline.source.web import Web

            return Web(self._rules, self.signatures)
        raise AddressRefused(f"{address}: recordings at {kind}:// addresses cannot be read")


def _goes_on(info: FileInfo, have: int) -> bool:
    """Whether what there is of a copy may be its beginning."""
    return info.is_versioned and (info.size_bytes is None or have <= info.size_bytes)


def _repeated(store: Store, attempts: Attempts, ask: Callable[[], T]) -> T:
    """What `ask` returns, which asks the store. Raises as `Sources.stat`, and SourceChanged."""
    while True:
        attempts.begin()
        try:
            found = ask()
        except SourceChanged:  # stays so, however often it is asked for
            attempts.succeeded()
            raise
        except AttemptError as error:
            _failed(store, attempts, error)
        except BaseException:
            attempts.abandoned()
            raise
        else:
            attempts.succeeded()
            return found


def _failed(store: Store, attempts: Attempts, error: AttemptError, brought_bytes: int = 0) -> None:
    """As `Attempts.failed`. Recordings that fail one after the other are no outage where others are still there."""
    if address := attempts.probe_address:
        try:
            store.stat(address)
            attempts.answered_for_another()
        except AttemptError:
            pass
        except BaseException:
            attempts.abandoned()
            raise
    attempts.failed(error, brought_bytes)
