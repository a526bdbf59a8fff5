"""Forecasts what a run would do and cost, without sending anything or writing into the output folder."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime

import msgspec

from pipeline.built import built
from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.schema import CHECKPOINT
from pipeline.config import Settings
from pipeline.gradium.request import check_url, request_settings
from pipeline.report.logs import TOLD
from pipeline.run.context import RunOptions
from pipeline.run.costs import Bounds, Costs, Fitting
from pipeline.run.lengths import KnownLengths
from pipeline.run.manifests import settle_names
from pipeline.run.month import month_at
from pipeline.run.output import refuse_another_manifest, refuse_other_formats, refuse_unlike_manifest
from pipeline.run.owner import owner_of, recorded_owner, refuse_another
from pipeline.run.plan import ManifestRows, left_out, many_missing
from pipeline.run.pricing import costs_of
from pipeline.run.settings_hash import SettingsHash
from pipeline.run.verify import require_checkpoint
from pipeline.sink import FolderStore
from pipeline.sink.forgotten import Forgotten
from pipeline.source import Sources

log = logging.getLogger(__name__)
OF_PLAN = ("rows", "new", "changed", "done", "failed", "missing", "vanished", "gone", "selected")
"""Figures that a forecast has as they are."""


@built
class Forecast(Costs, frozen=True, kw_only=True):
    """What a run would do, as far as headers and the content of files show; `postponed` includes those of the plan."""

    out: str
    """The output folder, …"""
    out_exists: bool
    """… and whether something was run into it before."""
    rows: int
    """All of the manifest's, bad ones included."""
    bad_rows: int
    """None of which counts as new or failed."""
    skips_bad_rows: bool
    """A run of these options goes on without them; where it does not, it refuses the manifest."""
    missing: int
    """Files that are not there, over all rows."""
    new: int
    changed: int
    done: int
    failed: int
    vanished: int
    gone: int
    """Done ones whose recording is not there."""
    many_gone: str | None
    """A sentence, where so many recordings are missing since the last run that a disk may not be mounted."""
    selected: int
    credits_per_s: float
    """The price of a second that is billed, …"""
    unit_s: float
    """… the seconds that are billed as a whole, rounded up for each request, 0: any length is billed as it is, …"""
    overhead_s: float
    """… and the seconds that each request is billed for beside its audio."""
    balance: float | None = None
    """The credits that the account holds; None where that is not known, …"""
    balance_unknown: str | None = None
    """… and why."""
    left_after: float | None = None
    """The balance without what the run would spend within its budget; below 0 where the balance does not suffice."""
    per_1000_credits: float
    """Money for 1,000 credits, 0: not told, …"""
    money: float | None
    """… and for what the run would spend within its budget."""
    limit: int | None
    """--limit, and …"""
    beyond_limit: int
    """… how many of the selected it leaves for another run."""
    budget: float | None
    month: str
    """The calendar month (UTC), as `2026-11`, and …"""
    month_spent: float | None
    """… what was spent in it into the output folder, counting what may have been billed; None where an older version
    has not summed that and there is no budget for the month."""
    month_budget: float | None
    month_left: float | None
    bad: list[str]
    """What is wrong with the first bad rows."""
    warnings: list[str]
    """Warnings about the manifests that make no row bad, the first of …"""
    warning_count: int
    ignored: dict[str, int]
    """Files that were left out of folders, by what their names end in, or `hidden` or `excluded`, and …"""
    ignored_told: str
    """… in a sentence, with the folders that were not searched."""
    max_clip_s: float
    """The most audio of one request: the setting, or what a service that refused more takes."""
    shorter_clips: str | None
    """A sentence, where it is less than the setting."""

    uncompared_told: str | None
    """A sentence about the `uncompared`, where there are any."""

    def with_balance(self, balance: float | str) -> Forecast:
        """The same with the account's credits, or why they are not known."""
        if isinstance(balance, str):
            return msgspec.structs.replace(self, balance_unknown=balance)
        left = round(balance - self.fitting_credits, 3)
        return msgspec.structs.replace(self, balance=balance, balance_unknown=None, left_after=left)


def check(options: RunOptions, settings: Settings, *, balance: str = "not asked") -> Forecast:
    """Forecasts a run of these options, without asking for the `balance`: it says why.

    Raises UsageError where a run would, OutputError, CheckpointError, and SourceOut or SourceRefusesAll.
    """
    with Sources(settings.source_rules, threading.Event()) as sources:
        try:
            return _check(options, settings, sources, balance)
        finally:  # threads that read a huge file, or wait for a source, end soon after a Ctrl-C
            sources.stopped.set()


def _check(options: RunOptions, settings: Settings, sources: Sources, balance: str) -> Forecast:
    out, only = options.out, options.only
    request = request_settings(settings.service)
    if not settings.service.is_embedded:
        check_url(settings.service.url)
    if request.warning is not None:
        log.warning("%s", request.warning)
    hashes, path = SettingsHash(settings, request), out / CHECKPOINT
    forgotten = Forgotten.read(FolderStore(out))
    rows = ManifestRows(
        options, hashes, sources, model=request.model, run_id="check", skip_bad_rows=True, forgotten=forgotten
    )
    require_checkpoint(out)
    with Checkpoint(path, only_read=True) as checkpoint:
        if (owner := owner_of(settings)) is not None and checkpoint.holds_answers():
            refuse_another(recorded_owner(checkpoint, out), out, owner)
        refuse_other_formats(checkpoint, settings.sink.formats)
        if not options.shared_out:
            refuse_another_manifest(checkpoint, rows.manifests.place, out)
        scanned = rows.read(checkpoint.path_of)
        repeated = checkpoint.scan(scanned, *rows.manifests.names, scope=rows.manifests)
        rows.bad.note_repeated(repeated)
        if rows.forgotten:
            log.info("%s", left_out(rows.forgotten), extra=TOLD)
        if not rows.count:
            rows.refuse_empty(knows_rows=checkpoint.knows_rows())
        rows.refuse_forgotten(options.ids)
        if options.ids:
            checkpoint.name_ids(options.ids, rows.manifests.title)
        names = settle_names(checkpoint, rows.manifests.names, out)
        if not options.shared_out:
            refuse_unlike_manifest(checkpoint, rows.manifests.place, out, names)
        lengths = KnownLengths.of(checkpoint, settings.audio.max_clip_s, datetime.now(UTC))
        settings = lengths.applied(settings)
        month = month_at(datetime.now(UTC), checkpoint, out, settings.budget.month_limit)
        plan = checkpoint.plan(only)
        limits = [limit for limit in (settings.budget.limit, month.left) if limit is not None]
        bounds = Bounds(limit=options.limit, budget=min(limits, default=None), most=settings.budget.most)
        costs = Costs(fitting=Fitting() if limits else None)
        if plan.selected:
            costs = costs_of(
                checkpoint,
                only,
                settings,
                hashes,
                bounds=bounds,
                resends_failed=options.resends_failed,
                sources=sources,
                stopped=sources.stopped,
            )
    about_plan = {name: getattr(plan, name) for name in OF_PLAN}
    about_postponed = {
        "postponed": plan.postponed + costs.postponed,
        "postponed_runs": min(filter(None, (plan.postponed_runs, costs.postponed_runs)), default=0),
    }
    return Forecast(
        out=str(out),
        out_exists=path.exists(),
        bad_rows=rows.bad.count,
        skips_bad_rows=options.skip_bad_rows and not repeated,
        many_gone=many_missing(plan, is_folder=rows.manifests.has_folder),
        balance_unknown=balance,
        per_1000_credits=settings.price.per_1000_credits,
        money=money_for(costs.fitting_credits, settings.price.per_1000_credits),
        limit=options.limit,
        beyond_limit=plan.selected - costs.within_limit,
        budget=settings.budget.limit,
        month=month.name,
        month_spent=None if month.spent is None else round(month.spent, 3),
        month_budget=month.budget,
        month_left=None if month.left is None else round(month.left, 3),
        bad=[str(bad) for bad in rows.bad.first],
        uncompared_told=uncompared_told(costs.uncompared),
        warnings=rows.warnings.first,
        warning_count=rows.warnings.count,
        ignored=rows.ignored.counts(),
        ignored_told=str(rows.ignored),
        max_clip_s=lengths.longest_s,
        shorter_clips=lengths.sentence,
        **about_plan,
        **msgspec.structs.asdict(settings.request_price),
        **(msgspec.structs.asdict(costs) | about_postponed),
    )


def uncompared_told(count: int) -> str | None:
    """What to say of rows that may turn out to be copies."""
    if not count:
        return None
    rows = "1 row counts" if count == 1 else f"{count:,} rows count"
    return (
        f"{rows} as sent, and a run may send less: the recordings lie elsewhere and are as long as others or changed, "
        "and only fetching them would show whether their audio has a transcript"
    )


def money_for(credits_: float, per_1000: float) -> float | None:
    """What credits cost, to a hundredth; None where their price is not told."""
    return round(credits_ * per_1000 / 1000, 2) if per_1000 else None
