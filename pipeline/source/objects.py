"""Recordings in object stores: Amazon S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.source.protocol import Content, FileInfo, Listed
from pipeline.source.rules import Rules


class ObjectStores:
    """The buckets of all clouds; see `Store`."""

    def __init__(self, rules: Rules) -> None:
        """Raises NoCloud."""
        self._rules = rules

    def stat(self, address: str) -> FileInfo:
        raise NotImplementedError

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        raise NotImplementedError

    def get(self, address: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> Content:
        raise NotImplementedError

    def close(self) -> None:
        pass
