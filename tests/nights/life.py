"""The life of one output folder: moves and nights in turn, each night judged. For the tests and for the benchmark."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from pipeline.checkpoint import journal
from tests.nights import moves, names
from tests.nights.case import Case
from tests.nights.checks import problems
from tests.nights.forecast import came_true, foresee
from tests.nights.model import Memory
from tests.nights.night import Ended, Night, in_process
from tests.nights.outputs import Output
from tests.nights.service import Service
from tests.nights.world import Form, Kind, World

MEMORY = Path("/dev/shm")  # noqa: S108  a private folder is made in it
"""Where it exists: thousands of nights would else wait for the disk, which other tests look after."""
WINDOW_S = 0.002


class Broken(AssertionError):
    """A promise was broken."""


Doing = Callable[[Night, World, Service], Ended]
"""Does a night in a world: `in_process`, or the command."""


class Life:
    """One world, one output folder, one memory."""

    def __init__(
        self, service: Service, form: Form, doing: Doing = in_process, kind: Kind = "short", *, foresees: bool = True
    ) -> None:
        self.folder = tempfile.mkdtemp(prefix="nights-", dir=MEMORY if MEMORY.is_dir() else None)
        self.world = World(Path(self.folder), form, kind)
        self.memory = Memory()
        self.counts: Counter[str] = Counter()
        """Moves and nights by kind."""
        self.is_broken = False
        self._service = service
        self._doing = doing
        self._foresees = foresees
        self._calm: tuple[int, str] | None = None
        """The world and the manifest of the last night, where nothing was wrong in it."""
        self._rested = False
        """Whether a row may have been left alone in the last night, because it failed too often."""

    def close(self) -> None:
        shutil.rmtree(self.folder)

    def move(self, name: str, a: int, b: int) -> None:
        self.counts[name] += 1
        moves.MOVES[name](self.world, a, b)

    @property
    def form(self) -> Form:
        return self.world.form

    def night(self, night: Night) -> Ended:
        """Does one. Raises Broken where it left what it should not."""
        world, memory = self.world, self.memory
        if night.manifest == "other" and not world.other:
            night = dataclasses.replace(night, manifest="main")
        self._drop_unknown_beginnings(night.manifest)
        wanted = world.wanted(night.manifest)
        logging.disable()
        try:
            # sending takes no longer than it must; what is in flight at a kill is judged by what the service saw
            with mock.patch.object(journal, "WINDOW_S", WINDOW_S):
                foreseen = foresee(night, world, self._service) if self._foresees else None
                ended = self._doing(night, world, self._service)
        finally:
            logging.disable(logging.NOTSET)
        self.counts[f"night: {night.faults.kind if night.kill is None else 'killed'}"] += 1
        if ended.exit is None:
            world.known = {}
            memory.note(night, ended, wanted, None)
            return ended
        now = Output(world.out)
        case = Case(night, ended, wanted, world.is_folder(night.manifest), set(world.present()), memory, now)
        found = list(problems(case))
        if case.ended.figures is not None:
            found += came_true(case, foreseen)
        state = world.changes, night.manifest
        rested, self._rested = self._rested, any(memory.may_rest(one) for one in wanted)
        if night.calm and self._calm == state and ended.asked and not rested:
            found.append(f"a second night with nothing new sent {ended.asked}")
        self._calm = state if night.calm else None
        if found:
            self.is_broken = True
            raise Broken("\n".join([*found, f"in {night}", f"which said {ended.said!r}, exit {ended.exit}"]))
        memory.note(night, ended, wanted, now)
        rows = {one.path: now.rows.get(one.id) for one in wanted}
        world.known = {path: row.identity.content for path, row in rows.items() if row and row.identity}
        return ended

    def _drop_unknown_beginnings(self, manifest: str) -> None:
        """Takes files away that were cut short and whose transcript another name may have taken since: nobody can tell
        them from short recordings, and what would be decoded of them is nothing that the service here knows."""
        for one in self.world.wanted(manifest):
            if one.state == "truncated" and one.path in self.world.files:  # of two ids only the first time
                row = self.memory.rows.get(one.id)
                is_known = row and row.identity and row.identity.content == self.world.files[one.path].whole
                if not is_known or self.memory.open.manifests:
                    self.world.delete(one.path)

    def calm(self) -> None:
        """Two nights in which nothing is wrong: after the first there is nothing left to do."""
        names.no_clash(self.world, 0, 0)
        for manifest in ("main", "second", "other"):
            for _ in range(2):
                if self.world.wanted(manifest):
                    self.night(Night(manifest=manifest))
