"""The status of an output folder: done, failed and why, left, spent, the last runs. Read-only; works during a run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from textwrap import shorten

import msgspec

from pipeline.built import built
from pipeline.checkpoint import Checkpoint, Owner, at_work
from pipeline.checkpoint.connection import holds_something
from pipeline.checkpoint.schema import CHECKPOINT
from pipeline.errors import GradiumBatchError, UsageError
from pipeline.report.account import AccountFigures
from pipeline.report.figures import Standing, Untried, format_credits, length, readable, rounded
from pipeline.report.hints import DEFAULT, HINTS
from pipeline.report.table import (
    account_rows,
    aligned,
    failed_row,
    kept_rows,
    measured_rows,
    suspect,
    untried_rows,
    waiting_rows,
)
from pipeline.run.month import MONTH_BUDGET, month_at
from pipeline.run.price_fit import Fit, best_fit
from pipeline.run.reporting import standing
from pipeline.sink import FolderStore
from pipeline.sink.forgotten import Forgotten
from pipeline.texts import plural

OF_FIGURES = ("exit", "stopped_by", "transcribed", "requests", "credits", "account")
"""Figures of a run that its line has under the same names."""
RUNS_SHOWN = 5
MESSAGE_SHOWN = 200


@built
class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """One of the last runs. Its figures are None if it is still running or was interrupted."""

    run_id: str
    started_at: str
    exit: int | None = None
    stopped_by: str | None = None
    """Why it ended early; None if it processed everything."""
    transcribed: int | None = None
    requests: int | None = None
    credits: float | None = None
    account: AccountFigures | None = None
    """What the account paid beside its ledger; None where it is unknown or nothing was billed."""


@built
class Status(Standing, frozen=True, kw_only=True):
    """The status of an output folder. Counts the rows that each of its manifests had at that manifest's last run;
    `untried` are failed rows that the next run will not try."""

    out: str
    audio_s: float
    credits: float
    """Spent in all runs, counting what may have been billed."""
    credits_maybe_billed: float | None
    """The part of `credits` that may not have been billed; None if an older version did not record it."""
    month: str
    """The calendar month (UTC), as `2026-11`."""
    month_credits: float | None
    """Spent in `month`, with what may have been billed; None if an older version did not record it."""
    month_budget: float | None
    """budget.credits_per_month of the last run."""
    month_left: float | None
    """What is left of `month_budget`."""
    waiting_clips: int
    """Transcribed clips of recordings that are not complete yet; they are not sent again."""
    waiting_credits: float
    """What the waiting clips cost."""
    forgotten: int = 0
    """Utterances that were forgotten: they are in no other count, and are not sent again."""
    at_work: Owner | None
    """Who holds the output now."""
    account: AccountFigures | None
    """Of the last run that has one."""
    price_fit: Fit | None
    """The price that fits what the account paid, where it is not the configured one."""
    runs: list[RunLine]


def status(out: Path) -> Status:
    """Reads the status of `out`. Raises UsageError where there is no checkpoint, CheckpointError."""
    path = out / CHECKPOINT
    if not holds_something(path):
        from pipeline.run.verify import require_checkpoint  # looks into the parts, which takes long to load

        require_checkpoint(out)
    if not path.exists():
        raise UsageError(f"{out}: there is no checkpoint here; run something into it first")
    owner = at_work(out)  # asked first: if that run ends before the next line, its figures are in the checkpoint
    with Checkpoint(path, only_read=True) as checkpoint:
        totals = checkpoint.totals(whole=True)
        month = month_at(datetime.now(UTC), checkpoint, out, checkpoint.fact(MONTH_BUDGET, float) or None)
        waiting_clips, waiting_credits = checkpoint.waiting_clips()
        runs = [_run_line(out, *run) for run in checkpoint.last_runs(RUNS_SHOWN)]
        return Status(
            out=str(out),
            **standing(checkpoint, totals, whole=True),
            audio_s=round(totals.audio_s, 3),
            credits=round(totals.credits, 3),
            credits_maybe_billed=None if totals.credits_maybe is None else round(totals.credits_maybe, 3),
            month=month.name,
            month_credits=None if month.spent is None else round(month.spent, 3),
            month_budget=month.budget,
            month_left=None if month.left is None else round(month.left, 3),
            waiting_clips=waiting_clips,
            waiting_credits=round(waiting_credits, 3),
            untried=Untried(**checkpoint.untried(whole=True)),
            forgotten=Forgotten.read(FolderStore(out)).count,
            at_work=owner,
            price_fit=best_fit(checkpoint.bills()),
            account=next((run.account for run in runs if run.account is not None), None),
            runs=runs,
        )


def counts(out: Path) -> Mapping[str, int]:
    """Done, failed and left by the rows of the last run into `out`. Empty where that cannot be read."""
    with suppress(GradiumBatchError, OSError):
        path = out / CHECKPOINT
        if holds_something(path):
            with Checkpoint(path, only_read=True) as checkpoint:
                totals = checkpoint.totals()
                return {"done": totals.done, "failed": totals.failed, "left": totals.left}
    return {}


def _run_line(out: Path, run_id: str, started_at: str, figures: bytes | None) -> RunLine:
    known = None if figures is None else readable(figures)
    if known is None:
        with suppress(OSError):  # the record exists even if the final write to the checkpoint failed
            known = readable((out / "runs" / f"{run_id}.json").read_bytes())
    ended = {} if known is None else {name: getattr(known, name) for name in OF_FIGURES}
    return RunLine(run_id=run_id, started_at=started_at, **ended)


def as_table(found: Status) -> str:
    """The status for a person."""
    rows = [("done", f"{found.done:,}{suspect(found)}, {length(found.audio_s)} of audio"), failed_row(found)]
    for failure in found.failures:
        since = f", {failure.runs} runs since it first failed" if failure.runs > 1 else ""
        rows.append((f"  {failure.error}", f"{failure.count:,}   e.g. {failure.example_id}{since}"))
        rows.append(("", f"    {shorten(failure.example_message, MESSAGE_SHOWN, placeholder=' …')}"))
        rows.append(("", f"    -> {HINTS.get(failure.error, DEFAULT)}"))
    rows += untried_rows(msgspec.structs.replace(found.untried, postponed=0))
    rows += waiting_rows(found.postponed, found.postponed_runs)
    rows.append(("left", f"{found.left:,}"))
    if found.waiting_clips:
        rows.append(
            (
                "in part",
                f"{plural(found.waiting_clips, 'clip')} of unfinished recordings answered, which are not sent again "
                f"({format_credits(found.waiting_credits)})",
            )
        )
    rows += kept_rows(found)
    if found.forgotten:
        rows.append(("forgotten", f"{found.forgotten:,}, not sent again"))
    rows.append(("spent", f"{format_credits(found.credits, found.credits_maybe_billed)} in all runs"))
    if found.month_credits is not None:
        left = ""
        if found.month_left is not None and found.month_budget is not None:
            left = f", {rounded(found.month_left)} of {rounded(found.month_budget)} left"
        rows.append(("this month", f"{format_credits(found.month_credits)} in {found.month} (UTC){left}"))
    rows += account_rows(found.account)
    rows += [] if found.price_fit is None else [("price", found.price_fit.sentence)]
    rows += measured_rows(found)
    owner = found.at_work
    if owner is not None and not any(_is_of(run, owner) for run in found.runs):
        rows.append(("run", str(owner)))  # it is still reading the manifest, or it is a rebuild
    for run in found.runs:
        if run.exit is None:
            ended = str(owner) if owner is not None and _is_of(run, owner) else "did not reach its end"
        else:
            ended = (
                f"exit {run.exit}, {plural(run.transcribed or 0, 'transcript')}, "
                f"{plural(run.requests or 0, 'request')}, {format_credits(run.credits or 0)}"
            )
            if run.stopped_by is not None:
                ended += f"; stopped by {shorten(run.stopped_by, MESSAGE_SHOWN, placeholder=' …')}"
        rows.append(("run", f"{run.started_at[:19]}  {ended}"))
    return "\n".join(aligned(rows))


def _is_of(run: RunLine, owner: Owner) -> bool:
    """Whether `run` is the one that holds the lock: it has not ended, and began no earlier than the lock was taken."""
    began = run.started_at[:19].replace("T", " ")
    return run.exit is None and (owner.since is None or began >= owner.since[:19])
