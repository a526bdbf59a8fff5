"""What `check` says right before a night in which nothing goes wrong is what that night pays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.errors import GradiumBatchError
from pipeline.run.check import check
from pipeline.run.context import RunOptions
from tests.nights.case import Case
from tests.nights.night import Night, settings_for
from tests.nights.patched import unreadable
from tests.nights.service import Service
from tests.nights.world import World

WITHIN = 0.01


@dataclass(frozen=True)
class Foreseen:
    """What a check said."""

    requests: int
    credits: float


def foresee(night: Night, world: World, service: Service) -> Foreseen | None:
    """Asks beside a run; None where it would refuse the night, or where the length of clips is not known before."""
    if world.kind == "long" or not night.calm:
        return None
    try:
        with unreadable(world):
            options = RunOptions(manifests=(str(world.manifest(night.manifest)),), out=world.out, shared_out=True)
            found = check(options, settings_for(night, world, service))
    except GradiumBatchError:
        return None
    return Foreseen(found.requests, found.credits)


def came_true(case: Case, foreseen: Foreseen | None) -> Iterator[str]:
    """The night sent and paid what was foreseen."""
    if foreseen is None:
        return
    requests, paid = len(case.ended.asked), sum(one.billed for one in case.ended.asked)
    if requests != foreseen.requests or abs(paid - foreseen.credits) > WITHIN * paid + 1e-6:
        yield f"check foresaw {foreseen}, the night sent {requests} requests for {paid:.3f} credits"
