"""A store in memory, in place of an object store and a web server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.errors import AttemptError, AudioMissing
from pipeline.source import FileInfo, Listed, Sources
from pipeline.source.protocol import Content
from pipeline.source.rules import Rules


class Stored:
    """Objects by their addresses. Counts what is asked."""

    def __init__(self, objects: Mapping[str, bytes], error: AttemptError | None = None) -> None:
        self.objects, self.error = objects, error
        self.asked = {"stat": 0, "list": 0, "get": 0}

    def sources(self) -> Sources:
        """Sources that have no other store."""
        sources = Sources(Rules(base_s=0.001, max_s=0.001, probe_s=0.001, outage_max_s=0.05))
        for scheme in ("s3", "gs", "https"):
            sources._stores[scheme] = self
        return sources

    def stat(self, address: str) -> FileInfo:
        self.asked["stat"] += 1
        return self._info(address)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        self.asked["list"] += 1
        for address in sorted(self.objects):
            if address.startswith(prefix) and address[len(prefix) :] > after:
                yield Listed(address[len(prefix) :], self._info(address))
        if self.error is not None:
            raise self.error

    def get(self, address: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> Content:
        self.asked["get"] += 1
        info = self._info(address)
        return Content(info, iter([self.objects[address][start:stop]]))

    def close(self) -> None:
        pass

    def _info(self, address: str) -> FileInfo:
        if self.error is not None and "list" not in str(self.error):
            raise self.error
        if address not in self.objects:
            raise AudioMissing("there is no such object")
        size = len(self.objects[address])
        return FileInfo(f"v{size}", size, 1.0)
