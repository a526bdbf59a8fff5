"""The last station of a run: its figures, in summary.json, in its own record and in the checkpoint.

Reads the checkpoint; writes OUT/summary.json and OUT/runs/<run_id>.json.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.bill import Bill
from pipeline.checkpoint import Checkpoint, Plan, Store
from pipeline.checkpoint.figures import Totals
from pipeline.checkpoint.schema import LEARNED
from pipeline.errors import GradiumBatchError, OutputError, OutputGone
from pipeline.failures import status_of
from pipeline.report.figures import DelayCorrection, FailureClass, Figures, Untried
from pipeline.sink import FolderStore
from pipeline.texts import json_line

if TYPE_CHECKING:  # `status` imports this module, and these take long to load
    from pipeline.run.ledger import Ledger
    from pipeline.run.outcomes import Outcomes
    from pipeline.run.plan import ManifestRows
    from pipeline.run.settling import AccountReadings

OF_TOTALS = ("done", "failed", "left", "suspect", "vanished", "gone", "kept", "partial", "postponed", "postponed_runs")
"""Totals of the checkpoint that a Standing has under the same names."""


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended: its figures, and the error that ended it early."""

    figures: Figures
    error: GradiumBatchError | None

    def failed_by(self, error: GradiumBatchError) -> RunResult:
        """The result where this error came last: the first one counts."""
        if self.error is not None:
            return self
        figures = msgspec.structs.replace(self.figures, exit=int(status_of(error)), stopped_by=str(error))
        return RunResult(figures=figures, error=error)


def figures_of(
    checkpoint: Checkpoint,
    plan: Plan,
    rows: ManifestRows,
    outcomes: Outcomes,
    ledger: Ledger,
    account: AccountReadings,
    **about: Any,
) -> Figures:
    """The run in figures; `about` are the fields that none of the others has."""
    totals, wall_s = checkpoint.totals(), about["wall_s"]
    return Figures(
        **standing(checkpoint, totals),
        manifest=rows.manifests.title,
        bad_rows=rows.bad.count,
        **{name: getattr(plan, name) for name in ("rows", "new", "changed", "selected")},
        left_out=plan.postponed,
        untried=Untried(**checkpoint.untried(about["run_id"])) if plan.rows else Untried(),
        **{name: getattr(outcomes, name) for name in ("transcribed", "reused", "redo_failed")},
        audio_s=round(outcomes.audio_s, 3),
        **{name: getattr(ledger, name) for name in ("requests", "retries", "refusals")},
        unknown_refusals=dict(ledger.unknown),
        credits=round(ledger.credits, 3),
        credits_maybe_billed=round(ledger.credits_maybe, 3),
        credits_in_all=round(totals.credits, 3),
        account=account.figures,
        rtfx=round(outcomes.audio_s / max(wall_s - account.took_s, 1e-3), 3),
        **about | {"wall_s": round(wall_s, 3)},
    )


def standing(checkpoint: Checkpoint, totals: Totals, *, whole: bool = False) -> dict[str, Any]:
    """The fields of a Standing but `untried`: over the last run's manifest, or the `whole` output."""
    return {name: getattr(totals, name) for name in OF_TOTALS} | {
        "failures": [
            FailureClass(
                error=example.error,
                count=count,
                example_id=example.id,
                example_message=example.message,
                runs=checkpoint.runs_since(example.first_seen) + 1,
            )
            for example, count in checkpoint.failing(whole=whole)
        ],
        "wer": round(totals.ref_errors / totals.ref_words, 5) if totals.ref_words else None,
        "learned_concurrency": checkpoint.fact(LEARNED, int) or None,
        "delay_correction": delay_found(checkpoint) if checkpoint.holds_answers() else None,
    }


def delay_found(checkpoint: Checkpoint) -> DelayCorrection:
    """What is told of the decoder's delay, where there are answers."""
    verdict = checkpoint.verdict()
    return DelayCorrection(
        applied="on" if verdict.applied else "off",
        decided=verdict.decided is not None,
        decided_by=verdict.by,
        answers_on=verdict.on,
        answers_off=verdict.off,
        doubted=verdict.is_doubted,
        others=checkpoint.with_other_times(verdict.applied),
    )


async def save_result(store: Store, out: Path, result: RunResult, bill: Bill | None = None) -> RunResult:
    """Writes the figures into the files and, with the bill, into the checkpoint: where only one of them can be
    written, that one says how the run ended. Returns the result, with the error where one cannot be written."""
    try:
        await asyncio.to_thread(_write_summary, out, result.figures)
    except OutputError as error:
        result = result.failed_by(error)
    try:
        started_at = result.figures.started_at.isoformat()
        await store.save_run(result.figures.run_id, started_at, _encoded(result.figures), bill)
    except GradiumBatchError as error:
        result = result.failed_by(error)
        if not isinstance(error, OutputGone):
            with suppress(OutputError):
                await asyncio.to_thread(_write_summary, out, result.figures)
    return result


def _encoded(figures: Figures) -> bytes:
    return msgspec.json.format(json_line(figures).encode(), indent=2)


def _write_summary(out: Path, figures: Figures) -> None:
    """Writes summary.json and the run's own record. Raises OutputError."""
    store, content = FolderStore(out), _encoded(figures) + b"\n"
    for name in (f"runs/{figures.run_id}.json", "summary.json"):
        with store.put(name) as file:
            file.write(content)
