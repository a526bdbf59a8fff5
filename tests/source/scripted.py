"""A `Store` in memory that does for each address what its script says, step by step, and is good after the last one.

store = Scripted({"s3://b/a": b"data"})
store.will("s3://b/a", Fails(SourceFault("HTTP 500")), Breaks(3, SourceTimeout("late")))
with store.sources() as sources: ...
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import AudioMissing, SourceChanged
from pipeline.source import FileInfo, Listed, Sources
from pipeline.source.protocol import Content
from pipeline.source.rules import Rules

QUICK = Rules(base_s=0.0001, max_s=0.001, probe_s=0.0001, max_attempts=3, outage_max_s=5)


@dataclass(frozen=True)
class Fails:
    """Before the answer."""

    error: BaseException


@dataclass(frozen=True)
class Breaks:
    """After so many bytes."""

    after: int
    error: BaseException


@dataclass(frozen=True)
class Ends:
    """As if it were whole, after so many bytes."""

    after: int


@dataclass(frozen=True)
class More:
    """Than there is."""

    data: bytes = b"more"


@dataclass(frozen=True)
class Becomes:
    """Another content, before the answer."""

    data: bytes


@dataclass(frozen=True)
class BecomesMeanwhile:
    """Another content after so many bytes, with which the answer breaks off, or goes on."""

    after: int
    data: bytes
    error: BaseException | None = None


Step = Fails | Breaks | Ends | More | Becomes | BecomesMeanwhile


class Scripted:
    """Objects change by `Becomes` only. For several threads."""

    def __init__(self, objects: dict[str, bytes], *, is_sized: bool = True, is_versioned: bool = True) -> None:
        self.objects = objects
        self.contents = {address: [data] for address, data in objects.items()}
        """All that each ever had."""
        self.gets: list[tuple[str, int]] = []
        """Addresses and the starts of their parts."""
        self.at_get: Callable[[str], None] = lambda address: None
        """Called before each answer; may raise."""
        self._is_sized, self._is_versioned = is_sized, is_versioned
        self._scripts: dict[str, list[Step]] = {}
        self._lock = threading.Lock()

    def will(self, address: str, *steps: Step) -> None:
        self._scripts[address] = [*steps]

    def sources(self, rules: Rules = QUICK, stopped: threading.Event | None = None) -> Sources:
        """Sources that find it, whatever the scheme."""
        sources = Sources(rules, stopped or threading.Event())
        sources._stores |= {"s3": self, "https": self}
        return sources

    def stat(self, address: str) -> FileInfo:
        self.at_get(address)
        if (step := self._step(address)) is not None:
            assert isinstance(step, Fails)
            raise step.error
        return self._info(address)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        step = self._step(prefix)
        if isinstance(step, Fails):
            raise step.error
        for number, address in enumerate(sorted(self.objects)):
            if isinstance(step, Breaks) and number == step.after:
                raise step.error
            name = address.removeprefix(prefix)
            if name > after:
                yield Listed(name, self._info(address))

    def get(self, address: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> Content:
        with self._lock:
            self.gets.append((address, start))
        self.at_get(address)
        step = self._step(address)
        if isinstance(step, Fails):
            raise step.error
        if isinstance(step, Becomes):
            self._become(address, step.data)
        info = self._info(address)
        if self._is_versioned and version not in (None, info.version):
            raise SourceChanged("it was replaced")
        return Content(info, self._chunks(address, self.objects[address][start:stop], step))

    def close(self) -> None:
        pass

    def _chunks(self, address: str, data: bytes, step: Step | None) -> Iterator[bytes]:
        after = getattr(step, "after", len(data))
        for at in range(0, min(after, len(data)), 2):
            yield data[at : min(at + 2, after)]
        if isinstance(step, BecomesMeanwhile):
            self._become(address, step.data)
            if step.error is None:
                yield data[after:]
        if isinstance(step, More):
            yield step.data
        if isinstance(error := getattr(step, "error", None), BaseException):
            raise error

    def _become(self, address: str, data: bytes) -> None:
        self.objects[address] = data
        self.contents[address].append(data)

    def _info(self, address: str) -> FileInfo:
        if address not in self.objects:
            raise AudioMissing("there is no such object")
        size = len(self.objects[address])
        version = str(len(self.contents[address])) if self._is_versioned else ""
        return FileInfo(version, size if self._is_sized else None, 1.0, is_versioned=self._is_versioned)

    def _step(self, address: str) -> Step | None:
        with self._lock:
            steps = self._scripts.get(address)
            return steps.pop(0) if steps else None


def fetched(sources: Sources, address: str, folder: Path, max_bytes: int = 1 << 20) -> bytes:
    """What a copy of it has."""
    path = folder / f"copy-{threading.get_ident()}"
    with path.open("wb", buffering=0) as file:
        sources.fetch(address, file, max_bytes)
    return path.read_bytes()
