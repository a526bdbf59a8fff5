"""What a run leaves about itself: its figures, summary.json, and the record of earlier runs.

Reads the checkpoint; writes OUT/summary.json and OUT/runs/<run_id>.json.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pipeline.checkpoint import Checkpoint, Plan, Store
from pipeline.checkpoint.schema import LEARNED
from pipeline.errors import GradiumBatchError, OutputError, OutputGone
from pipeline.report.figures import FailureClass, Figures, Untried
from pipeline.sink import FolderStore
from pipeline.texts import json_line

if TYPE_CHECKING:  # `status` reports as well, and answers before these are loaded
    from pipeline.run.ledger import Ledger
    from pipeline.run.outcomes import Outcomes
    from pipeline.run.plan import ManifestRows


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a run came to its end."""

    run_id: str
    out: Path
    started_at: datetime
    finished_at: datetime
    wall_s: float
    exit: int
    stopped_by: str | None
    outages: int
    outage_lasts: bool
    local: bool
    many_gone: str | None


def figures_of(
    checkpoint: Checkpoint, plan: Plan, rows: ManifestRows, outcomes: Outcomes, ledger: Ledger, ending: Ending
) -> Figures:
    """The run in figures."""
    totals = checkpoint.totals()
    learned = checkpoint.fact(LEARNED, int) or 0
    return Figures(
        run_id=ending.run_id,
        manifest=rows.manifests.title,
        out=str(ending.out),
        started_at=ending.started_at,
        finished_at=ending.finished_at,
        exit=ending.exit,
        stopped_by=ending.stopped_by,
        done=totals.done,
        failed=totals.failed,
        left=totals.left,
        suspect=totals.suspect,
        rows=plan.rows,
        new=plan.new,
        changed=plan.changed,
        vanished=totals.vanished,
        gone=totals.gone,
        kept=totals.kept,
        partial=totals.partial,
        left_out=plan.postponed,
        postponed=totals.postponed,
        postponed_runs=totals.postponed_runs,
        redo_failed=outcomes.redo_failed,
        untried=Untried(**checkpoint.untried(ending.run_id)) if plan.rows else Untried(),
        many_gone=ending.many_gone,
        bad_rows=rows.bad.count,
        selected=plan.selected,
        transcribed=outcomes.transcribed,
        reused=outcomes.reused_count,
        requests=ledger.requests,
        retries=ledger.retries,
        refusals=ledger.refusals,
        outages=ending.outages,
        outage_lasts=ending.outage_lasts,
        learned_concurrency=learned or None,
        audio_s=round(outcomes.audio_s, 3),
        credits=round(ledger.credits, 3),
        credits_maybe_billed=round(ledger.credits_maybe, 3),
        credits_in_all=round(totals.credits, 3),
        local=ending.local,
        wall_s=round(ending.wall_s, 3),
        rtfx=round(outcomes.audio_s / max(ending.wall_s, 1e-3), 3),
        wer=round(totals.ref_errors / totals.ref_words, 5) if totals.ref_words else None,
        failures=failure_classes(checkpoint),
        unknown_refusals=dict(ledger.unknown),
    )


async def put_down(
    store: Store, out: Path, figures: Figures, ended_by: Callable[[GradiumBatchError, Figures], Figures]
) -> Figures:
    """Leaves the figures in the files and in the checkpoint: where only one of them can be written, that one tells how
    the run ended. `ended_by` says what the figures are where one cannot be; returns the last of them."""
    try:
        await asyncio.to_thread(_write_summary, out, figures)
    except OutputError as error:
        figures = ended_by(error, figures)
    try:
        started_at = figures.started_at.isoformat()
        await store.save_run(figures.run_id, started_at, _encoded(figures))
    except GradiumBatchError as error:
        figures = ended_by(error, figures)
        if not isinstance(error, OutputGone):
            with suppress(OutputError):
                await asyncio.to_thread(_write_summary, out, figures)
    return figures


def _encoded(figures: Figures) -> bytes:
    return msgspec.json.format(json_line(figures).encode(), indent=2)


def _write_summary(out: Path, figures: Figures) -> None:
    """Writes summary.json and the run's own record. Raises OutputError."""
    store, content = FolderStore(out), _encoded(figures) + b"\n"
    for name in (f"runs/{figures.run_id}.json", "summary.json"):
        with store.put(name) as file:
            file.write(content)


def failure_classes(checkpoint: Checkpoint, *, whole: bool = False) -> list[FailureClass]:
    """The failures by class, the largest first, each with the one that has failed for longest as an example; of the
    last run's manifest, or of the `whole` output."""
    return [
        FailureClass(
            error=example.error,
            count=count,
            example_id=example.id,
            example_message=example.message,
            runs=checkpoint.runs_since(example.first_seen) + 1,
        )
        for example, count in checkpoint.failing(whole=whole)
    ]
