"""Random nights over one output folder after another, each held against the promises: what the tests do, for hours.

    python -m benchmarks.nights [--nights 20000] [--seed N]                 in process
    python -m benchmarks.nights --command [--nights 1000] [--seed N]        the real command, and kill -9

Prints the seed, how often each move and each kind of night came, and what was broken with the shortest sequence that
still breaks it. Exits with 1 where anything was.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from dataclasses import dataclass, replace

import click

from tests.nights.command import by_command
from tests.nights.life import Doing, Life
from tests.nights.moves import MOVES
from tests.nights.night import Kill, Night, in_process
from tests.nights.service import ACCOUNT, FAULTS, Faults, Service
from tests.nights.world import Form, Kind

IN_PROCESS, BY_COMMAND = 20_000, 1_000
NIGHTS_OF_A_LIFE = 25
SHORTENING_S = 20.0
FORMS: tuple[Form, ...] = ("folder", "paths", "ids")
KINDS: tuple[Kind, ...] = (*("short",) * 8, "many", "long")
MANIFESTS = ("main", "main", "main", "second", "other")
ONLY = ("new", "changed", "failed", "suspect", "all")
NAME_MOVES, LONG_MOVES = ("permute", "shift", "share", "clash"), ("cut", "channels")
"""Moves that come more often in some worlds."""
NIGHTS = ("faults", "only", "limit", "budget", "kill", "max_duration", "again", "many", "long", "check")
"""Kinds of nights and of worlds that can be left out, as moves can."""


@dataclass(frozen=True)
class Move:
    name: str
    a: int
    b: int


Step = Move | Night


@dataclass(frozen=True)
class Found:
    """A sequence that broke a promise."""

    form: Form
    world: Kind
    steps: list[Step]
    said: str

    @property
    def kind(self) -> str:
        """What was broken, without the names: one of each kind is enough."""
        first = self.said.strip().splitlines()[0] if self.said.strip() else "nothing said"
        return re.sub(r"exit \d|[\w/]+\.wav|call-\d+|\d+|'[^']*'|\(.*|\{[^}]*\}|\[.*", "…", first)


def night(rng: random.Random, command: bool, without: tuple[str, ...], world: Kind) -> Night:
    """A night as it comes."""
    faults = Faults(
        kind=rng.choice((*FAULTS, *ACCOUNT, "open_end")),
        every=rng.choice((1, 2, 3, 3)),
        times=rng.choice((1, 1, 2, 99)),
        after=rng.randrange(4),
    )
    longest_s = 1.0 if command else 0.08
    faults = rng.choice((Faults(), faults)) if "faults" not in without else Faults()
    plain = Night(manifest=rng.choice(MANIFESTS), faults=faults)
    drawn = rng.choice(("only", "limit", "budget", "kill", "kill at a step", "kill in time", "max_duration", "", ""))
    match drawn if drawn.partition(" ")[0] not in without else "":
        case "only":
            some = tuple(rng.sample(ONLY, rng.randint(1, 2)))
            return replace(plain, only=some, limit=rng.choice((None, 1, 2)) if "limit" not in without else None)
        case "limit":
            return replace(plain, limit=rng.randint(1, 4))
        case "budget":
            return replace(plain, budget=rng.randint(1, 8) * (3.0 if world == "long" else 0.1))
        case "kill":
            return replace(plain, kill=Kill(request=rng.randint(1, 6), after_s=20.0))
        case "kill at a step" if not command:
            return replace(plain, kill=Kill(step=rng.randint(1, 40)))
        case "kill at a step" | "kill in time":
            return replace(plain, kill=Kill(after_s=rng.uniform(0, longest_s)))
        case "max_duration":
            return replace(plain, at_most_s=rng.uniform(0.001, longest_s))
    return plain


def steps_of_a_life(rng: random.Random, command: bool, without: tuple[str, ...], world: Kind) -> list[Step]:
    """A beginning, then some moves before each night; one night may be several in a row."""
    often = LONG_MOVES if world == "long" else NAME_MOVES
    names = [name for name in (*MOVES, *often, *often) if name not in without]
    steps: list[Step] = [Move(rng.choice(("add", "add_many")), rng.randrange(256), rng.randrange(256))]
    while sum(isinstance(step, Night) for step in steps) < NIGHTS_OF_A_LIFE:
        moves = rng.choice((0, 1, 1, 2, 3))
        steps += [Move(rng.choice(names), rng.randrange(256), rng.randrange(256)) for _ in range(moves)]
        times = rng.choice((1, 1, 1, 1, 2, 4)) if "again" not in without else 1
        steps += [night(rng, command, without, world)] * times
    return steps


@dataclass(frozen=True)
class Way:
    """How nights are done."""

    service: Service
    doing: Doing
    foresees: bool


def lived(way: Way, form: Form, world: Kind, steps: list[Step], counts: Counter[str]) -> Found | None:
    """Does the steps; what was broken, with the steps up to there."""
    life = Life(way.service, form, way.doing, world, foresees=way.foresees)
    try:
        for place, step in enumerate(steps):
            try:
                if isinstance(step, Move):
                    life.move(step.name, step.a, step.b)
                else:
                    life.night(step)
            except Exception as error:
                return Found(form, world, steps[: place + 1], str(error) or repr(error))
        try:
            life.calm()
        except Exception as error:
            return Found(form, world, [*steps, *map(Night, ("main", "second", "other"))], str(error) or repr(error))
    finally:
        counts.update(life.counts)
        life.close()
    return None


def shortened(found: Found, way: Way) -> Found:
    """The same with as few steps as still break that promise, as far as the time goes."""
    until, chunk = time.monotonic() + SHORTENING_S, len(found.steps) // 2
    while chunk:
        place = 0
        while place < len(found.steps) and time.monotonic() < until:
            fewer = found.steps[:place] + found.steps[place + chunk :]
            again = lived(way, found.form, found.world, fewer, Counter()) if fewer else None
            if again is not None and again.kind == found.kind:
                found = again
            else:
                place += chunk
        chunk //= 2
    return found


def walk(nights: int, seed: int, command: bool, without: tuple[str, ...] = ()) -> list[Found]:
    """So many nights; prints what came and what was found."""
    rng, counts, found = random.Random(seed), Counter[str](), dict[str, Found]()
    without += ("fail_to_read", "long") * command
    kinds = [kind for kind in KINDS if kind not in without]
    service, started, last = Service(), time.monotonic(), 0
    way = Way(service, by_command if command else in_process, foresees="check" not in without)
    print(f"{nights:,} nights {'by the command' if command else 'in process'}, seed {seed}", flush=True)
    try:
        while (done := sum(count for kind, count in counts.items() if kind.startswith("night"))) < nights:
            if done - last >= nights / 10:
                print(f"  {done:,} after {time.monotonic() - started:.0f} s", flush=True)
                last = done
            form, kind = rng.choice(FORMS), rng.choice(kinds)
            broken = lived(way, form, kind, steps_of_a_life(rng, command, without, kind), counts)
            if broken is not None and broken.kind not in found:
                found[broken.kind] = shortest = shortened(broken, way)
                print(f"BROKEN over a manifest of {shortest.form}, {shortest.world}:\n{shortest.said}", flush=True)
                print("\n".join(f"    {step}" for step in shortest.steps), flush=True)
    finally:
        service.close()
    for kind, count in sorted(counts.items()):
        print(f"  {count:>8,}  {kind}")
    print(f"{done:,} nights in {time.monotonic() - started:.0f} s, seed {seed}: {len(found)} kinds of broken promises")
    return list(found.values())


def main() -> None:
    """Both forms, as long as they were when issue 11 was resolved."""
    found = [*walk(IN_PROCESS, random.randrange(1 << 32), False), *walk(BY_COMMAND, random.randrange(1 << 32), True)]
    if found:
        raise SystemExit(1)


@click.command()
@click.option("--command", is_flag=True, help="The real command instead of the run's own function.")
@click.option("--nights", type=int, help=f"How many. [default: {IN_PROCESS:,}, by the command {BY_COMMAND:,}]")
@click.option("--seed", type=int, help="Of the random sequences; another each time where it is left out.")
@click.option(
    "--without",
    multiple=True,
    type=click.Choice(sorted((*MOVES, *NIGHTS))),
    help="Leave a move or a kind of night out; repeatable.",
)
def chosen(command: bool, nights: int | None, seed: int | None, without: tuple[str, ...]) -> None:
    """Random nights, each held against the promises."""
    count = nights or (BY_COMMAND if command else IN_PROCESS)
    if walk(count, random.randrange(1 << 32) if seed is None else seed, command, without):
        raise SystemExit(1)


if __name__ == "__main__":
    chosen()
