"""A bucket in memory, which counts what is asked of it.

bucket = Bucket({"s3://b/a.wav": data})
with bucket.sources() as sources: ...
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from pipeline.errors import AttemptError, AudioMissing, SourceChanged
from pipeline.source import FileInfo, Listed, Sources
from pipeline.source.protocol import Content
from pipeline.source.rules import Rules


class Bucket:
    """A `Store`."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects = objects or {}
        self.errors: dict[str, AttemptError] = {}
        """What is raised for an address."""
        self.refused: AttemptError | None = None
        """What is raised for each part that is read, …"""
        self.down: AttemptError | None = None
        """… and for whatever is asked."""
        self.stats, self.gets, self.bytes = Counter[str](), Counter[str](), Counter[str]()
        self._lock = threading.Lock()

    def sources(self, rules: Rules | None = None) -> Sources:
        """Sources that find it at s3:// addresses."""
        sources = Sources(rules or Rules(base_s=0.001, max_s=0.001))
        sources._stores["s3"] = self
        return sources

    def replaces_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """All sources of this process find it."""
        monkeypatch.setattr(Sources, "_made", lambda *_: self)

    def info(self, address: str) -> FileInfo:
        if error := self.down or self.errors.get(address):
            raise error
        if address not in self.objects:
            raise AudioMissing(f"there is no {address}")
        data = self.objects[address]
        return FileInfo(hashlib.md5(data, usedforsecurity=False).hexdigest(), len(data), len(data) / 4_000)

    def stat(self, address: str) -> FileInfo:
        with self._lock:
            self.stats[address] += 1
        return self.info(address)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        for address in sorted(self.objects):
            name = address.removeprefix(prefix)
            if address.startswith(prefix) and name > after:
                yield Listed(name, self.info(address))

    def get(self, address: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> Content:
        if self.refused is not None:
            raise self.refused
        info, data = self.info(address), self.objects[address][start:stop]
        if version is not None and version != info.version:
            raise SourceChanged("it was replaced")
        with self._lock:
            self.gets[address] += 1
            self.bytes[address] += len(data)
        return Content(info, iter([data]))

    def close(self) -> None:
        pass
