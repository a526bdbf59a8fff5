"""What a run would do and cost, without sending anything or writing into the output folder."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from pipeline.checkpoint import Checkpoint
from pipeline.config import Settings
from pipeline.gradium.request import check_url, request_settings
from pipeline.run.bill import bill_of
from pipeline.run.fitting import Bill, Bounds
from pipeline.run.forecast import Forecast
from pipeline.run.known_failures import asks
from pipeline.run.manifests import settle_names
from pipeline.run.month import month_at
from pipeline.run.options import RunOptions
from pipeline.run.output import CHECKPOINT, refuse_another_manifest, refuse_other_formats, refuse_unlike_manifest
from pipeline.run.owner import owner_of, recorded_owner, refuse_another
from pipeline.run.planning import ManifestRows, many_gone
from pipeline.run.settings_hash import SettingsHash
from pipeline.run.soundness import known_transcripts


def check(options: RunOptions, settings: Settings) -> Forecast:
    """Forecasts a run of these options. Raises UsageError where a run would, OutputError, CheckpointError."""
    out, only = options.out, options.only
    request = request_settings(settings.service)
    if settings.service.url != "local":
        check_url(settings.service.url)
    rows = ManifestRows(
        options.manifests,
        settings,
        request,
        skip_bad_rows=True,
        run_id="check",
        include=options.include,
        exclude=options.exclude,
    )
    with known_transcripts(out), Checkpoint(out / CHECKPOINT, only_read=True) as checkpoint:
        if (owner := owner_of(settings)) is not None and checkpoint.holds_answers():
            refuse_another(recorded_owner(checkpoint, out), out, owner)
        refuse_other_formats(checkpoint, settings.sink.formats)
        if not options.shared_out:
            refuse_another_manifest(checkpoint, rows.place, out)
        repeated = checkpoint.scan(rows, *rows.names, scope=rows)
        rows.note_repeated(repeated)
        if not rows.count:
            rows.refuse_empty(knows_rows=checkpoint.knows_rows())
        if options.ids:
            checkpoint.name_ids(options.ids, rows.manifest)
        names = settle_names(checkpoint, rows.names, out)
        if not options.shared_out:
            refuse_unlike_manifest(checkpoint, rows.place, out, names)
        month = month_at(datetime.now(UTC), checkpoint, out, settings.budget.month_limit)
        plan = checkpoint.plan(only)
        limits = [limit for limit in (settings.budget.limit, month.left) if limit is not None]
        bounds = Bounds(limit=options.limit, budget=min(limits, default=None), most=settings.budget.most)
        bill, stopped = Bill(), threading.Event()
        try:
            if plan.selected:
                bill = bill_of(
                    checkpoint,
                    only,
                    settings,
                    SettingsHash(settings, request),
                    bounds=bounds,
                    asked=asks(only),
                    stopped=stopped,
                )
        finally:  # threads that read a huge file end soon after a Ctrl-C
            stopped.set()
    return Forecast(
        rows=plan.rows,
        bad_rows=rows.bad_count,
        skips_bad_rows=options.skip_bad_rows and not repeated,
        missing=plan.missing,
        new=plan.new,
        changed=plan.changed,
        done=plan.done,
        failed=plan.failed,
        vanished=plan.vanished,
        gone=plan.gone,
        many_gone=many_gone(plan, is_folder=rows.has_folder),
        selected=plan.selected,
        limit=options.limit,
        beyond_limit=plan.selected - bill.taken,
        postponed=plan.postponed + bill.waits.total(),
        postponed_runs=min(filter(None, (plan.postponed_runs, *bill.waits)), default=0),
        unsendable=dict(bill.unsendable),
        unchanged=bill.unchanged,
        copies=bill.copies,
        answered_clips=bill.answered,
        requests=bill.requests,
        audio_s=round(bill.audio_s, 6),
        sent_s=round(bill.sent_s, 6),
        credits=bill.credits,
        estimated_credits=bill.guessed_credits,
        estimated_share=round(bill.guessed_s / bill.sent_s, 4) if bill.sent_s else 0.0,
        budget=settings.budget.limit,
        month=month.name,
        month_spent=None if month.spent is None else round(month.spent, 3),
        month_budget=month.budget,
        month_left=None if month.left is None else round(month.left, 3),
        fitting=bill.fitting if limits else None,
        above_budget=bill.above,
        above_credits=(bill.least, bill.most) if bill.above else None,
        above_ids=bill.above_ids,
        bad=[str(bad) for bad in rows.bad_rows],
        warnings=rows.warnings.first,
        warning_count=rows.warnings.count,
        ignored=rows.ignored.counts(),
        ignored_told=str(rows.ignored),
        problems=bill.problems,
    )
