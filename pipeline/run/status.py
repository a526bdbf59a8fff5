"""How an output folder stands: done, failed and why, left, spent, the last runs. Only reads, also beside a run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from textwrap import shorten

import msgspec

from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.schema import holds_something
from pipeline.checkpoint.store import LEARNED
from pipeline.errors import UsageError
from pipeline.outside import visible
from pipeline.report.figures import FailureClass, keeping, length, plural, readable, waiting
from pipeline.report.hints import DEFAULT, HINTS
from pipeline.run.month import MONTH_BUDGET, month_at
from pipeline.run.reporting import failure_classes

RUNS_SHOWN = 5
MESSAGE_SHOWN = 200


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """One of the last runs; figures are None for one that did not reach its end."""

    run_id: str
    started_at: str
    exit: int | None = None
    transcribed: int | None = None
    requests: int | None = None
    credits: float | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """An output folder, over the rows that each of its manifests had at its last run."""

    out: str
    done: int
    failed: int
    left: int
    suspect: int
    vanished: int
    gone: int
    """Done ones whose recording was not there in the last run."""
    kept: int
    """Failed ones that have a transcript of an earlier content, or of earlier settings."""
    partial: int
    """Those of them whose transcript has gaps."""
    postponed: int
    """Failed ones that the next run leaves out, because they failed run after run, and …"""
    postponed_runs: int
    """… how many runs leave out the first of them."""
    audio_s: float
    credits: float
    """Spent in all runs, counting what may have been billed."""
    month: str
    """The calendar month (UTC), as `2026-11`."""
    month_credits: float | None
    """Spent in it, counting what may have been billed; None where an older version has not summed that."""
    month_budget: float | None
    """budget.credits_per_month of the last run, and …"""
    month_left: float | None
    """… what is left of it."""
    waiting_clips: int
    """Answered pieces of recordings that have no transcript yet, and …"""
    waiting_credits: float
    """… what they cost: they are not sent again."""
    wer: float | None
    learned_concurrency: int | None
    failures: list[FailureClass]
    runs: list[RunLine]


def status(out: Path) -> Status:
    """Reads the status of `out`. Raises UsageError where there is no checkpoint, CheckpointError."""
    path = out / "checkpoint.sqlite"
    if not holds_something(path):
        from pipeline.run.soundness import known_transcripts  # looks into the parts, which takes long to load

        with known_transcripts(out):
            pass
    if not path.exists():
        raise UsageError(f"{out}: there is no checkpoint here; run something into it first")
    with Checkpoint(path, only_read=True) as checkpoint:
        totals = checkpoint.totals(whole=True)
        month = month_at(datetime.now(UTC), checkpoint, out, checkpoint.fact(MONTH_BUDGET, float) or None)
        waiting_clips, waiting_credits = checkpoint.waiting_clips()
        return Status(
            out=str(out),
            done=totals.done,
            failed=totals.failed,
            left=totals.left,
            suspect=totals.suspect,
            vanished=totals.vanished,
            gone=totals.gone,
            kept=totals.kept,
            partial=totals.partial,
            postponed=totals.postponed,
            postponed_runs=totals.postponed_runs,
            audio_s=round(totals.audio_s, 3),
            credits=round(totals.credits, 3),
            month=month.name,
            month_credits=None if month.spent is None else round(month.spent, 3),
            month_budget=month.budget,
            month_left=None if month.left is None else round(month.left, 3),
            waiting_clips=waiting_clips,
            waiting_credits=round(waiting_credits, 3),
            wer=round(totals.ref_errors / totals.ref_words, 5) if totals.ref_words else None,
            learned_concurrency=checkpoint.fact(LEARNED, int) or None,
            failures=failure_classes(checkpoint, whole=True),
            runs=[_run_line(*run) for run in checkpoint.last_runs(RUNS_SHOWN)],
        )


def _run_line(run_id: str, started_at: str, figures: bytes | None) -> RunLine:
    if figures is None or (known := readable(figures)) is None:
        return RunLine(run_id=run_id, started_at=started_at)
    return RunLine(
        run_id=run_id,
        started_at=started_at,
        exit=known.exit,
        transcribed=known.transcribed,
        requests=known.requests,
        credits=known.credits,
    )


def as_table(found: Status) -> str:
    """The status for a person."""
    suspect = f" ({found.suspect:,} suspect)" if found.suspect else ""
    rows = [
        ("done", f"{found.done:,}{suspect}, {length(found.audio_s)} of audio"),
        ("failed", f"{found.failed:,}{keeping(found.kept, found.partial)}"),
    ]
    for failure in found.failures:
        nights = f", {plural(failure.runs, 'run')}" if failure.runs else ""
        rows.append((f"  {failure.error}", f"{failure.count:,}   e.g. {failure.example_id}{nights}"))
        rows.append(("", f"    {shorten(failure.example_message, MESSAGE_SHOWN, placeholder=' …')}"))
        rows.append(("", f"    -> {HINTS.get(failure.error, DEFAULT)}"))
    if found.postponed:
        rows.append(("waiting", waiting(found.postponed, found.postponed_runs)))
    rows.append(("left", f"{found.left:,}"))
    if found.waiting_clips:
        rows.append(
            (
                "in part",
                f"{plural(found.waiting_clips, 'clip')} of unfinished recordings answered, which are not sent again "
                f"({found.waiting_credits:,.0f} credits)",
            )
        )
    if found.gone:
        rows.append(("gone", f"{found.gone:,} of the done: their recordings are not there; what they have is kept"))
    if found.vanished:
        rows.append(("vanished", f"{found.vanished:,} no longer in the manifest; what they have is kept"))
    rows.append(("spent", f"{found.credits:,.0f} credits in all runs"))
    if found.month_credits is not None:
        left = f", {found.month_left:,.0f} of {found.month_budget:,.0f} left" if found.month_budget is not None else ""
        rows.append(("this month", f"{found.month_credits:,.0f} credits in {found.month} (UTC){left}"))
    if found.wer is not None:
        rows.append(("WER", f"{found.wer:.1%}"))
    if found.learned_concurrency:
        rows.append(("plan's limit", f"{plural(found.learned_concurrency, 'request')} at a time"))
    for run in found.runs:
        if run.exit is None:
            rows.append(("run", f"{run.started_at[:19]}  did not reach its end, or is at work"))
        else:
            rows.append(
                (
                    "run",
                    f"{run.started_at[:19]}  exit {run.exit}, {plural(run.transcribed or 0, 'transcript')}, "
                    f"{plural(run.requests or 0, 'request')}, {run.credits or 0:,.0f} credits",
                )
            )
    width = max(len(name) for name, _ in rows)
    return "\n".join(visible(f"{name:<{width}}  {value}").rstrip() for name, value in rows)
