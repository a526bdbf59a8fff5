"""Recordings on web servers, by https."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import AddressRefused
from pipeline.source.protocol import Content, FileInfo, Listed
from pipeline.source.rules import Rules
from pipeline.source.signatures import Signatures


class Web:
    """Web servers; see `Store`."""

    def __init__(self, rules: Rules, signatures: Signatures) -> None:
        self._rules = rules
        self._signatures = signatures

    def stat(self, address: str) -> FileInfo:
        raise NotImplementedError

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        raise AddressRefused(f"{prefix}: a web server cannot be listed; name its recordings in a manifest")

    def get(self, address: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> Content:
        raise NotImplementedError

    def close(self) -> None:
        pass
