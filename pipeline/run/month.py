"""The budget of a calendar month (UTC), beside the one of each run: what of it is left, by the ledger of the folder.

Reads the checkpoint and notes the budget there; reads the ledger's parts where an older version did not sum them.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.facts import month_of
from pipeline.sink import FolderStore
from pipeline.sink.parts import AttemptParts

MONTH_BUDGET = "credits_per_month"
"""The fact that holds budget.credits_per_month of the last run, for `status`; 0 where there was none."""


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """What is spent and left in a month."""

    name: str
    """As `2026-11`."""
    spent: float | None
    """Counting what may have been billed, and requests in flight; None where that takes reading the whole ledger, and
    there is no budget to compare it with."""
    budget: float | None

    @property
    def left(self) -> float | None:
        return None if self.budget is None else max(0.0, self.budget - (self.spent or 0.0))


def month_at(now: datetime, checkpoint: Checkpoint, out: Path, budget: float | None) -> Month:
    """The month of a moment. Raises CheckpointError, and OutputError where the ledger cannot be read."""
    name = month_of(now)
    spent = checkpoint.credits_of_month(name)
    if spent is None and budget is not None:
        spent = summed(checkpoint, out)[0].get(name, 0.0)
    return Month(name=name, spent=spent, budget=budget)


def month_of_run(checkpoint: Checkpoint, out: Path, began: datetime, budget: float | None) -> Month | None:
    """The month of a run that has a `budget` for it, else None. Notes that budget for `status`, and gives a checkpoint
    of an older version its sums by month. Raises as `month_at`."""
    if (checkpoint.fact(MONTH_BUDGET, float) or None) != budget:
        checkpoint.set_fact(MONTH_BUDGET, budget or 0.0)
    if budget is None:
        return None
    if checkpoint.credits_of_month("") is None:
        checkpoint.set_credits(*summed(checkpoint, out))
    return month_at(began, checkpoint, out, budget)


def summed(checkpoint: Checkpoint, out: Path) -> tuple[dict[str, float], float]:
    """The sums of the whole ledger: spent by month, and what of it only may have been billed."""
    unpublished, unpublished_maybe = checkpoint.unpublished_credits()
    _, months, maybe = AttemptParts(FolderStore(out)).sums(checkpoint.parts("attempts"))
    for month, credits_ in unpublished.items():
        months[month] = months.get(month, 0.0) + credits_
    return months, maybe + unpublished_maybe
