"""The files of these tests: an archive of two disks, manifests of three forms over it, a folder beside it, and another
CSV that shares the output.

Every change to a file gets a time of its own, as on a real night; nothing here knows what a run makes of it.
"""

from __future__ import annotations

import csv
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.nights.answers import Identity, price_of
from tests.nights.recordings import LONG_SEEDS, Content, long, sound

Form = Literal["folder", "paths", "ids"]
"""A folder, a CSV whose ids are the paths, a CSV with ids of its own, references and other columns."""
Kind = Literal["short", "many", "long"]
"""Few short recordings, many of a copy; forty different ones; or such that go out in several clips."""
State = Literal["sound", "broken", "truncated", "unreadable", "gone"]
DISKS = ("disk1", "disk2")
NAMES = tuple(f"r{number:02d}.wav" for number in range(16))
SEEDS: dict[Kind, int] = {"short": 12, "many": 48, "long": LONG_SEEDS}
"""So few recordings in most worlds that many a file is a copy of another."""
NO_CUTS_S = 300.0
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
    stamp: tuple[object, ...] = ()
    """What a run looks at to see that nothing changed: another one where the file was but touched, too."""
    price: float = 0.0
    """What its audio costs at most, where it is sent once."""


class World:
    """Files below `base`, by their path below it."""

    def __init__(self, base: Path, form: Form, kind: Kind = "short") -> None:
        self.base, self.form, self.kind = base, form, kind
        self.out = base / "out"
        self.files: dict[str, Content] = {}
        self.listed: list[Listed] = []
        self.other: list[Listed] = []
        """The rows of the other CSV."""
        self.away: set[str] = set()
        self.unreadable: set[str] = set()
        self.known: dict[str, str] = {}
        """Which content the transcript of a file's row answers to, where the last night told."""
        self.changes = 0
        """Counts every change; a world with the same number is the same."""
        self.language: str = "en"
        self.temp: float | None = None
        self.channels: Literal["mix", "split"] = "mix"
        self.max_clip_s = 1.5 if kind == "long" else NO_CUTS_S
        self.before: tuple[str, float | None] = "en", None
        """Language and temperature before they were changed."""
        self._times: dict[str, int] = {}
        self._given = 0
        for folder in (*(f"archive/{disk}" for disk in DISKS), "second", "away"):
            (base / folder).mkdir(parents=True)

    # -- what a night sees ------------------------------------------------------------------------------------------

    def manifest(self, name: str) -> Path:
        """The manifest as it is now."""
        if self.is_folder(name):
            return self.base / ("second" if name == "second" else "archive")
        path, by_path = self.base / f"{name}.csv", self.is_by_path(name)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if by_path:
                writer.writerow(["audio"])
                writer.writerows([row.path] for row in self.rows_of(name))
            else:
                writer.writerow(["id", "audio", "reference", "speaker"])
                writer.writerows([row.id, row.path, row.reference, row.speaker] for row in self.rows_of(name))
        return path

    def rows_of(self, name: str) -> list[Listed]:
        """The rows of a CSV."""
        return self.other if name == "other" else self.listed

    def is_by_path(self, name: str) -> bool:
        """Whether its ids come from paths."""
        return self.form == "paths" or self.is_folder(name)

    def is_folder(self, name: str) -> bool:
        return name == "second" or (name == "main" and self.form == "folder")

    def wanted(self, name: str) -> list[Wanted]:
        """The manifest's rows."""
        if not self.is_folder(name):
            named = not self.is_by_path(name)
            return [
                self._wanted(
                    row.id if named else row.path,
                    row.path,
                    by_path=not named,
                    reference=row.reference or None if named else None,
                    metadata={"speaker": row.speaker} if named else {},
                )
                for row in self.rows_of(name)
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
        # with another way to take channels it looks changed, also where it has but one
        stamp = path, self._times.get(path), state, identity, self.channels
        tracks = 2 if identity is not None and identity.channels == "split" else 1
        price = 0.0 if content is None else price_of(content.data) * tracks
        return Wanted(id_, path, by_path, state, identity, reference, metadata or {}, stamp, price)

    def identity_of(self, content: Content) -> Identity:
        temp = f"t{'none' if self.temp is None else self.temp}"
        # what has one channel is the same whatever is done with several
        return Identity(content.name, self.language, temp, self.channels if self.kind == "long" else "mix")

    def sound(self, seed: int) -> Content:
        """A recording as this world has them."""
        seed %= SEEDS[self.kind]
        return long(seed) if self.kind == "long" else sound(seed)

    def is_there(self, path: str) -> bool:
        return path in self.files and not any(path.startswith(f"archive/{disk}/") for disk in self.away)

    def present(self, top: str = "") -> list[str]:
        """Files that are there and can be changed."""
        return [path for path in sorted(self.files) if path.startswith(top) and self.is_there(path)]

    def free(self, folder: str) -> list[str]:
        """Names that no file has."""
        names = NAMES if self.kind != "many" else [f"r{number:02d}.wav" for number in range(32)]
        return [f"{folder}/{name}" for name in names if f"{folder}/{name}" not in self.files]

    # -- what is done to it -----------------------------------------------------------------------------------------

    def write(self, path: str, content: Content) -> None:
        self.files[path] = content
        (self.base / path).write_bytes(content.data)
        self.touch(path)

    def touch(self, path: str) -> None:
        self.changes += 1
        self._times[path] = time_ns = START_NS + self.changes * 1_000_000_000
        os.utime(self.base / path, ns=(time_ns, time_ns))

    def list_row(self, path: str) -> None:
        """Adds a row for a file of the archive, where the manifest has rows."""
        if path.startswith("archive/") and all(row.path != path for row in self.listed):
            self.listed.append(Listed(self.new_id(), path))
            self.changes += 1

    def new_id(self) -> str:
        self._given += 1
        return f"call-{self._given}"

    def unlist(self, path: str) -> None:
        self.listed = [row for row in self.listed if row.path != path]
        if self.is_by_path("other"):
            self.other = [row for row in self.other if row.path != path]
        self.changes += 1

    def set(self, language: str, temp: float | None) -> None:
        """Other settings for what is asked for."""
        if (language, temp) != (self.language, self.temp):
            self.before = self.language, self.temp
            self.language, self.temp = language, temp
            self.changes += 1

    def delete(self, path: str) -> None:
        del self.files[path]
        (self.base / path).unlink()
        self.unreadable.discard(path)
        self.changes += 1

    def rename(self, path: str, to: str) -> None:
        """Gives a file another name, and the manifests' rows the new one."""
        self.files[to] = self.files.pop(path)
        self._times[to] = self._times[path]
        (self.base / path).rename(self.base / to)
        self.unreadable.discard(path)
        self.unlist(to)  # of a file that was there before
        for row in (*self.listed, *self.other):
            row.path = to if row.path == path else row.path
        self.changes += 1

    def exchange(self, moves: dict[str, str]) -> None:
        """Gives each of these files the name of another one of them, all at once; the manifests' rows stay."""
        files, times = dict(self.files), dict(self._times)
        for path in moves:
            (self.base / path).rename(self.base / f"{path}.moving")
            del self.files[path]
        for path, to in moves.items():
            (self.base / f"{path}.moving").rename(self.base / to)
            self.files[to], self._times[to] = files[path], times[path]
            self.unreadable -= {path, to}
        self.changes += 1

    def unmount(self, disk: str) -> None:
        shutil.move(self.base / "archive" / disk, self.base / "away" / disk)
        self.away.add(disk)
        self.changes += 1

    def mount(self, disk: str) -> None:
        shutil.move(self.base / "away" / disk, self.base / "archive" / disk)
        self.away.remove(disk)
        self.changes += 1
