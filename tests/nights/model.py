"""What is remembered between nights: the output as it was last seen, what was answered, and what a kill leaves open.

A night that was killed is not looked at; what it may have done is open until the next one that came to its end.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Literal

from tests.nights.answers import Identity, Span
from tests.nights.failing import REFUSED, Failing
from tests.nights.night import Ended, Night
from tests.nights.outputs import Output, Problem, Row
from tests.nights.turns import Turns
from tests.nights.world import Wanted

Standing = Literal["done", "failed", "left"]


class Memory:
    """The state of an output folder between nights, by what was seen of it."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.errors: dict[str, Problem] = {}
        """As the last night that had the id in its manifest told them."""
        self.failures: set[tuple[str, str, str]] = set()
        """All that were ever told: (id, error, run_id)."""
        self.runs: set[str] = set()
        """The nights that were looked at: what an output says of another is of one that was killed."""
        self.attempts = 0
        self.answered: set[Identity] = set()
        """Everything the service ever answered completely, or a piece of it."""
        self.sure: set[Identity] = set()
        """What was answered as a whole by a night that came to its end, or was seen in a transcript."""
        self.spans: defaultdict[Identity, set[Span]] = defaultdict(set)
        """All pieces that were ever answered …"""
        self.heard: defaultdict[tuple[Identity, str], list[tuple[int, int]]] = defaultdict(list)
        """… and those, by track, that a night got which came to its end."""
        self.configs: dict[str, tuple[str, ...]] = {}
        """The hashes that rows have for language, temperature and channels; of mono recordings the channels are one."""
        self.failed_for: dict[str, Identity | None] = {}
        """What a row wanted when it failed last."""
        self.final: dict[str, tuple[Identity | None, tuple[object, ...]]] = {}
        """Rows that the service refused as they were in every night since: what they want, and their file's stamp."""
        self.by_path: dict[str, bool] = {}
        """Whether an id came from a path."""
        self.seen_by: dict[str, str] = {}
        """Which manifest had the id last."""
        self.gone: dict[str, set[str]] = {}
        """Per manifest: rows whose file was not there in its last night."""
        self.listed: dict[str, dict[str, Wanted]] = {}
        """Per manifest: the rows of its last night."""
        self.ever: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        """Which manifest ever had an id, and for which file."""
        self.doubtful: set[str] = set()
        """Ids of which nobody knows whether the manifest of a night that was killed had them last."""
        self.turns = Turns()
        self.failing = Failing()
        self.open = Open()

    def note(self, night: Night, ended: Ended, wanted: list[Wanted], output: Output | None) -> None:
        """Takes in a night that was judged, or that was killed (without its output)."""
        self.answered |= {one.identity for one in ended.asked if one.answered}
        for asked in ended.asked:
            if asked.answered and asked.span is not None:
                self.spans[asked.identity].add(asked.span)
        began = output is None or ended.figures is not None
        for one in wanted if began else ():
            self.ever[one.id].add((night.manifest, one.path))
            if output is None or self.final.get(one.id) != (one.identity, one.stamp):
                self.final.pop(one.id, None)
        if output is None:
            self.turns.killed(ended, wanted)
            self.failing.killed(ended)
            self.open.add(self, night, wanted)
            return
        for one in wanted:
            problem = output.errors.get(one.id)
            if problem is not None and ended.figures and problem.run_id == ended.figures["run_id"]:
                self.failed_for[one.id] = one.identity
                if problem.error in REFUSED:
                    self.final[one.id] = one.identity, one.stamp
        if ended.figures is None:
            return  # it did not begin
        self.runs.add(ended.figures["run_id"])
        self.sure |= {one.identity for one in ended.asked if one.answered and one.span is None}
        self.sure |= {row.identity for row in output.rows.values() if row.identity is not None}
        for asked in ended.asked:
            if asked.answered and asked.span is not None:
                self.heard[asked.identity, asked.span.track].append((asked.span.first, asked.span.last))
        self.turns.note(ended, wanted, self.rows, output, whole=night.everything and ended.exit in (0, 3))
        self.failing.ended(ended, wanted, output)
        self.rows, self.attempts = output.rows, len(output.attempts)
        for row in self.rows.values():
            if row.identity is not None:
                self.configs.setdefault(row.config_hash, row.identity[1:])
        for one in wanted:
            self.by_path[one.id], self.seen_by[one.id] = one.by_path, night.manifest
            self.errors.pop(one.id, None)
        self.errors |= output.errors
        self.failures |= {(one.id, one.error, one.run_id) for one in output.errors.values()}
        self.gone[night.manifest] = {one.id for one in wanted if one.state == "gone"}
        self.listed[night.manifest] = {one.id: one for one in wanted}
        self.doubtful -= self.listed[night.manifest].keys()
        self.open.close(night)

    def may_rest(self, one: Wanted) -> bool:
        """Whether the night that comes may let a row alone for what it, or its very recording, failed of before."""
        return self.turns.may_rest(one) or self.failing.may_wait(one.identity)

    def movable(self, night: Night, wanted: list[Wanted]) -> set[str]:
        """Rows that a new one of the same audio and settings takes the place of: their ids come from paths, this
        manifest had them last, and has them no longer."""
        ids = {one.id for one in wanted}
        return {
            id_
            for id_ in self.rows
            if id_ not in ids and self.by_path.get(id_) and self.seen_by.get(id_) == night.manifest
        }


class Open:
    """What nights that were killed may have done since the output was last seen."""

    def __init__(self) -> None:
        self.answers: dict[str, set[Identity]] = defaultdict(set)
        """What a row may have become."""
        self.moved: set[str] = set()
        """Rows that may have been moved."""
        self.manifests: set[str] = set()
        """Manifests of nights that were killed, and that had no other night since."""

    def add(self, memory: Memory, night: Night, wanted: list[Wanted]) -> None:
        self.moved |= memory.movable(night, wanted)
        self.manifests.add(night.manifest)
        # rows that it has no longer may be vanished by now, and free for another manifest
        memory.doubtful |= {id_ for id_, of in memory.seen_by.items() if of == night.manifest}
        for one in wanted:
            # whether this night saw the row, nobody knows; ids of one form all come from paths, or none
            memory.by_path[one.id] = one.by_path
            memory.seen_by[one.id] = night.manifest
            memory.doubtful.add(one.id)
            if one.identity is not None:
                self.answers[one.id].add(one.identity)

    def close(self, night: Night) -> None:
        """The output was seen after a night of this manifest."""
        self.answers.clear()
        self.moved.clear()
        self.manifests.discard(night.manifest)


def standing(one: Wanted, output: Output) -> Standing:
    """How a manifest row stands: what cannot be looked at has the transcript it has."""
    if one.id in output.errors:
        return "failed"
    row = output.rows.get(one.id)
    hidden = one.state in ("gone", "unreadable")
    return "done" if row is not None and (hidden or row.identity == one.identity) else "left"
