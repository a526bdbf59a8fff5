"""What a run would do and cost, without sending anything or writing into the output folder."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import msgspec

from pipeline.checkpoint import Checkpoint
from pipeline.config import Settings
from pipeline.gradium.request import check_url, request_settings
from pipeline.run.context import resends_failed
from pipeline.run.costs import Bounds, Costs, Fitting
from pipeline.run.forecast import OF_PLAN, Forecast
from pipeline.run.manifests import settle_names
from pipeline.run.month import month_at
from pipeline.run.options import RunOptions
from pipeline.run.output import CHECKPOINT, refuse_another_manifest, refuse_other_formats, refuse_unlike_manifest
from pipeline.run.owner import owner_of, recorded_owner, refuse_another
from pipeline.run.plan import ManifestRows, many_missing
from pipeline.run.pricing import costs_of
from pipeline.run.settings_hash import SettingsHash
from pipeline.run.verify import known_transcripts


def check(options: RunOptions, settings: Settings) -> Forecast:
    """Forecasts a run of these options. Raises UsageError where a run would, OutputError, CheckpointError."""
    out, only = options.out, options.only
    request = request_settings(settings.service)
    if settings.service.url != "local":
        check_url(settings.service.url)
    hashes, path = SettingsHash(settings, request), out / CHECKPOINT
    rows = ManifestRows(options, hashes, run_id="check", skip_bad_rows=True)
    with known_transcripts(out), Checkpoint(path, only_read=True) as checkpoint:
        if (owner := owner_of(settings)) is not None and checkpoint.holds_answers():
            refuse_another(recorded_owner(checkpoint, out), out, owner)
        refuse_other_formats(checkpoint, settings.sink.formats)
        if not options.shared_out:
            refuse_another_manifest(checkpoint, rows.manifests.place, out)
        scanned = rows.read(checkpoint.path_of)
        repeated = checkpoint.scan(scanned, *rows.manifests.names, scope=rows.manifests)
        rows.bad.note_repeated(repeated)
        if not rows.count:
            rows.refuse_empty(knows_rows=checkpoint.knows_rows())
        if options.ids:
            checkpoint.name_ids(options.ids, rows.manifests.title)
        names = settle_names(checkpoint, rows.manifests.names, out)
        if not options.shared_out:
            refuse_unlike_manifest(checkpoint, rows.manifests.place, out, names)
        month = month_at(datetime.now(UTC), checkpoint, out, settings.budget.month_limit)
        plan = checkpoint.plan(only)
        limits = [limit for limit in (settings.budget.limit, month.left) if limit is not None]
        bounds = Bounds(limit=options.limit, budget=min(limits, default=None), most=settings.budget.most)
        costs, stopped = Costs(fitting=Fitting() if limits else None), threading.Event()
        try:
            if plan.selected:
                costs = costs_of(
                    checkpoint,
                    only,
                    settings,
                    hashes,
                    bounds=bounds,
                    asked=resends_failed(only),
                    stopped=stopped,
                )
        finally:  # threads that read a huge file end soon after a Ctrl-C
            stopped.set()
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
        limit=options.limit,
        beyond_limit=plan.selected - costs.within_limit,
        budget=settings.budget.limit,
        month=month.name,
        month_spent=None if month.spent is None else round(month.spent, 3),
        month_budget=month.budget,
        month_left=None if month.left is None else round(month.left, 3),
        bad=[str(bad) for bad in rows.bad.first],
        warnings=rows.warnings.first,
        warning_count=rows.warnings.count,
        ignored=rows.ignored.counts(),
        ignored_told=str(rows.ignored),
        **about_plan,
        **(msgspec.structs.asdict(costs) | about_postponed),
    )
