"""The moves and nights as rules of a hypothesis state machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.nights.life import Life
from tests.nights.moves import MOVES
from tests.nights.night import Kill, Night
from tests.nights.service import ACCOUNT, FAULTS, Faults, Service
from tests.nights.world import Form, Kind

services: list[Service] = []
"""The running server, once a test has started it."""

KINDS: tuple[Kind, ...] = ("short", "short", "short", "short", "many", "long")
number = st.integers(0, 255)
manifest = st.sampled_from(("main", "main", "main", "second", "other"))
only = st.lists(st.sampled_from(("new", "changed", "failed", "suspect", "all")), min_size=1, max_size=2, unique=True)
# not at moments of the clock, which would be others each time: the benchmark has those
times = st.sampled_from((1, 1, 2, 4))
kills = st.one_of(st.builds(Kill, request=st.integers(1, 6)), st.builds(Kill, step=st.integers(1, 40)))
faults = st.builds(
    Faults,
    kind=st.sampled_from((*FAULTS, *ACCOUNT, "open_end")),
    every=st.sampled_from((1, 2, 3, 3)),
    times=st.sampled_from((1, 1, 2, 99)),
    after=st.integers(0, 3),
)


class Nights(RuleBasedStateMachine):
    """One output folder, from its first night on; its moves are added below."""

    form: Form = "folder"

    def __init__(self) -> None:
        super().__init__()
        self.life = Life(services[0], self.form)

    def teardown(self) -> None:
        try:
            if not self.life.is_broken:
                self.life.calm()
        finally:
            self.life.close()

    @initialize(a=number, b=number, many=st.booleans(), kind=st.sampled_from(KINDS))
    def begin(self, a: int, b: int, many: bool, kind: Kind) -> None:
        self.life.close()
        self.life = Life(services[0], self.form, kind=kind)
        self.life.move("add_many" if many else "add", a, b)
        self.life.night(Night())

    @rule(manifest=manifest)
    def night(self, manifest: str) -> None:
        self.life.night(Night(manifest=manifest))

    @rule(manifest=manifest, faults=faults)
    def bad_night(self, manifest: str, faults: Faults) -> None:
        self.life.night(Night(manifest=manifest, faults=faults))

    @rule(manifest=manifest, only=only, faults=st.one_of(st.just(Faults()), faults))
    def night_only(self, manifest: str, only: list[str], faults: Faults) -> None:
        self.life.night(Night(manifest=manifest, only=tuple(only), faults=faults))

    @rule(manifest=manifest, limit=st.integers(1, 4), times=times, faults=st.one_of(st.just(Faults()), faults))
    def limited_nights(self, manifest: str, limit: int, times: int, faults: Faults) -> None:
        for _ in range(times):
            self.life.night(Night(manifest=manifest, limit=limit, faults=faults))

    @rule(manifest=manifest, tenths=st.integers(1, 8), times=times, faults=st.one_of(st.just(Faults()), faults))
    def poor_nights(self, manifest: str, tenths: int, times: int, faults: Faults) -> None:
        for _ in range(times):
            self.life.night(Night(manifest=manifest, budget=tenths / 10, faults=faults))

    @rule(kind=st.sampled_from(("failed", "suspect")), limit=st.integers(1, 2), times=times, faults=faults)
    def limited_nights_again(self, kind: str, limit: int, times: int, faults: Faults) -> None:
        for _ in range(times):
            self.life.night(Night(only=(kind,), limit=limit, faults=faults))

    @rule(manifest=manifest, kill=kills, faults=st.one_of(st.just(Faults()), faults))
    def killed_night(self, manifest: str, kill: Kill, faults: Faults) -> None:
        self.life.night(Night(manifest=manifest, kill=kill, faults=faults))


def _as_rule(name: str) -> Callable[..., Any]:
    def move(self: Nights, a: int, b: int) -> None:
        self.life.move(name, a, b)

    move.__name__ = name
    return rule(a=number, b=number)(move)


for _name in MOVES:
    setattr(Nights, _name, _as_rule(_name))


class OverFolder(Nights):
    form = "folder"


class OverPaths(Nights):
    form = "paths"


class OverIds(Nights):
    form = "ids"
