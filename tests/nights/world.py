"""The files of these tests: an archive of two disks, manifests of three forms over it, and a folder beside it.

Every change to a file gets a time of its own, as on a real night; nothing here knows what a run makes of it.
"""

from __future__ import annotations

import csv
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.nights.recordings import Content
from tests.nights.service import Identity

Form = Literal["folder", "paths", "ids"]
"""A folder, a CSV whose ids are the paths, a CSV with ids of its own, references and other columns."""
State = Literal["sound", "broken", "truncated", "unreadable", "gone"]
DISKS = ("disk1", "disk2")
NAMES = tuple(f"r{number:02d}.wav" for number in range(16))
START_NS = 1_700_000_000_000_000_000


@dataclass
class Listed:
    """A row of a CSV manifest."""

    id: str
    path: str
    reference: str = ""
    speaker: str = ""


@dataclass(frozen=True)
class Wanted:
    """A manifest row as a night finds it."""

    id: str
    path: str
    by_path: bool
    """Its id comes from its path."""
    state: State
    identity: Identity | None
    """What answer it wants; None where there is nothing that could be sent."""
    reference: str | None
    metadata: dict[str, str]


class World:
    """Files below `base`, by their path below it."""

    def __init__(self, base: Path, form: Form) -> None:
        self.base, self.form = base, form
        self.out = base / "out"
        self.files: dict[str, Content] = {}
        self.listed: list[Listed] = []
        self.away: set[str] = set()
        self.unreadable: set[str] = set()
        self.known: dict[str, str] = {}
        """Which content the transcript of a file's row answers to, where the last night told."""
        self.changes = 0
        """Counts every change; a world with the same number is the same."""
        self.language: str = "en"
        self.temp: float | None = None
        self._given = 0
        for folder in (*(f"archive/{disk}" for disk in DISKS), "second", "away"):
            (base / folder).mkdir(parents=True)

    # -- what a night sees ------------------------------------------------------------------------------------------

    def manifest(self, name: str) -> Path:
        """The manifest as it is now."""
        if self.is_folder(name):
            return self.base / ("second" if name == "second" else "archive")
        path = self.base / "calls.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if self.form == "paths":
                writer.writerow(["audio"])
                writer.writerows([row.path] for row in self.listed)
            else:
                writer.writerow(["id", "audio", "reference", "speaker"])
                writer.writerows([row.id, row.path, row.reference, row.speaker] for row in self.listed)
        return path

    def is_folder(self, name: str) -> bool:
        return name == "second" or self.form == "folder"

    def wanted(self, name: str) -> list[Wanted]:
        """The manifest's rows."""
        if not self.is_folder(name):
            named = self.form == "ids"
            return [
                self._wanted(
                    row.id if named else row.path,
                    row.path,
                    by_path=not named,
                    reference=row.reference or None if named else None,
                    metadata={"speaker": row.speaker} if named else {},
                )
                for row in self.listed
            ]
        top = "second/" if name == "second" else "archive/"
        paths = [path for path in sorted(self.files) if path.startswith(top) and self.is_there(path)]
        return [self._wanted(path[len(top) :], path, by_path=True) for path in paths]

    def _wanted(
        self,
        id_: str,
        path: str,
        *,
        by_path: bool,
        reference: str | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Wanted:
        content = self.files.get(path) if self.is_there(path) else None
        state: State = "gone" if content is None else "unreadable" if path in self.unreadable else content.kind
        wants = content is not None and content.kind == "sound"
        identity = self.identity_of(content) if content is not None and wants else None
        return Wanted(id_, path, by_path, state, identity, reference, metadata or {})

    def identity_of(self, content: Content) -> Identity:
        return Identity(content.name, self.language, f"t{'none' if self.temp is None else self.temp}")

    def is_there(self, path: str) -> bool:
        return path in self.files and not any(path.startswith(f"archive/{disk}/") for disk in self.away)

    def present(self, top: str = "") -> list[str]:
        """Files that are there and can be changed."""
        return [path for path in sorted(self.files) if path.startswith(top) and self.is_there(path)]

    def free(self, folder: str) -> list[str]:
        """Names that no file has."""
        return [f"{folder}/{name}" for name in NAMES if f"{folder}/{name}" not in self.files]

    # -- what is done to it -----------------------------------------------------------------------------------------

    def write(self, path: str, content: Content) -> None:
        self.files[path] = content
        (self.base / path).write_bytes(content.data)
        self.touch(path)

    def touch(self, path: str) -> None:
        self.changes += 1
        time_ns = START_NS + self.changes * 1_000_000_000
        os.utime(self.base / path, ns=(time_ns, time_ns))

    def list_row(self, path: str) -> None:
        """Adds a row for a file of the archive, where the manifest has rows."""
        if path.startswith("archive/") and all(row.path != path for row in self.listed):
            self._given += 1
            self.listed.append(Listed(f"call-{self._given}", path))
            self.changes += 1

    def unlist(self, path: str) -> None:
        self.listed = [row for row in self.listed if row.path != path]
        self.changes += 1

    def delete(self, path: str) -> None:
        del self.files[path]
        (self.base / path).unlink()
        self.unreadable.discard(path)
        self.changes += 1

    def rename(self, path: str, to: str) -> None:
        """Gives a file another name, and the manifest's row the new one."""
        self.files[to] = self.files.pop(path)
        (self.base / path).rename(self.base / to)
        self.unreadable.discard(path)
        self.unlist(to)  # of a file that was there before
        for row in self.listed:
            row.path = to if row.path == path else row.path
        self.changes += 1

    def unmount(self, disk: str) -> None:
        shutil.move(self.base / "archive" / disk, self.base / "away" / disk)
        self.away.add(disk)
        self.changes += 1

    def mount(self, disk: str) -> None:
        shutil.move(self.base / "away" / disk, self.base / "archive" / disk)
        self.away.remove(disk)
        self.changes += 1
