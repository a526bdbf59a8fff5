"""One run: plan, select, prepare, send, join, store, publish, report. The only place that knows all the stations.

Everything here is wiring; what a station does is in its module.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import time
from datetime import UTC, datetime

import msgspec

from pipeline.audio.prepare import Preparation
from pipeline.checkpoint import Checkpoint, Patience, Plan, Store
from pipeline.config import Settings
from pipeline.errors import GradiumBatchError, OutputGone, Stopped
from pipeline.exits import ExitStatus
from pipeline.failures import status_of
from pipeline.gradium.key import with_key_place
from pipeline.gradium.request import request_settings
from pipeline.manifest import place_of
from pipeline.report.figures import Figures, last_line
from pipeline.report.progress import progress
from pipeline.run.budget import RunBudget
from pipeline.run.context import RunContext
from pipeline.run.control import Control
from pipeline.run.disk_space import disk_too_small
from pipeline.run.duplicates import Duplicates
from pipeline.run.ledger import Ledger
from pipeline.run.lookup import Lookup
from pipeline.run.month import MONTH_BUDGET, month_at, sum_by_month
from pipeline.run.options import RunOptions
from pipeline.run.outcomes import Outcomes
from pipeline.run.output import CHECKPOINT, keep_formats, output_folder, refuse_another_manifest
from pipeline.run.owner import claim, owner_at, owner_of
from pipeline.run.plan import ManifestRows, make_plan, many_missing
from pipeline.run.prepare import Preparer
from pipeline.run.publish import Publisher
from pipeline.run.record import Recorder
from pipeline.run.reporting import Ending, figures_of, put_down
from pipeline.run.select import Selection
from pipeline.run.send import EndpointFactory, Sending
from pipeline.run.settings_hash import SettingsHash
from pipeline.run.settlement import Settlement
from pipeline.run.stored import StoredTranscripts
from pipeline.run.verify import known_transcripts
from pipeline.sink import FolderStore, Sink

log = logging.getLogger(__name__)

SPOOL = ".spool"
"""The folder in OUT for decoded audio; what a killed run left in it is worth nothing."""


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended: its figures, and the error that broke it off."""

    figures: Figures
    error: GradiumBatchError | None


async def run(options: RunOptions, settings: Settings, endpoint: EndpointFactory, control: Control) -> RunResult:
    """Does one run. `endpoint` is entered when there is something to send, or to ask who answers on this machine.

    Raises UsageError, OutputHeld, OutputError or CheckpointError when the run could not begin; what happens after
    that is in the result.
    """
    context = _context(options, settings)
    patience = Patience(settings.timeouts.checkpoint_s, lambda: control.signalled)
    path = options.out / CHECKPOINT
    with (
        output_folder(options.out) as held,
        known_transcripts(options.out),
        Store.open(path, patience, held.check) as store,
    ):
        held.watch(path)
        owner = owner_of(settings)
        if owner is None and await store.holds_answers():
            async with endpoint(settings) as target:
                owner = await asyncio.to_thread(owner_at, target)
        if owner is not None:
            await store.blocking(claim, options.out, owner)
        await store.blocking(keep_formats, settings.sink.formats)
        if not options.shared_out:
            await store.blocking(refuse_another_manifest, place_of(options.manifests), options.out)
        return await _Run(options, context, control, store).whole(endpoint)


def _context(options: RunOptions, settings: Settings) -> RunContext:
    """Raises ConfigError for request settings that the service would not take."""
    request, now = request_settings(settings.service), datetime.now(UTC)
    return RunContext(
        # in the order of time also within a second, and unlike that of a run into another output
        run_id=f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 256:03x}{secrets.token_hex(2)[:3]}",
        started_at=now,
        out=options.out,
        settings=settings,
        request=request,
        hashes=SettingsHash(settings, request),
        only=options.only,
    )


class _Run:
    """One run, from its plan to its figures."""

    def __init__(self, options: RunOptions, context: RunContext, control: Control, store: Store) -> None:
        settings = context.settings
        self.options = options
        self.context = context
        self.control = control
        self.store = store
        self._started = time.monotonic()
        self.error: GradiumBatchError | None = None
        self.many_gone: str | None = None
        self.rows = ManifestRows(
            options,
            context.hashes,
            run_id=context.run_id,
            skip_bad_rows=options.skip_bad_rows,
            on_step=control.raise_if_stopped,
        )
        self.progress = progress(options.progress)
        self.budget = RunBudget(settings)
        self.outcomes = Outcomes(store, self.progress, context.run_id)
        self.ledger = Ledger(store, context.run_id, self.budget)
        self.duplicates = Duplicates()
        sink = Sink(FolderStore(options.out), settings.sink.formats)
        self.transcripts = StoredTranscripts(sink)
        self.publisher = Publisher(store, sink, settings.sink.rows_per_part)
        self.preparation = Preparation(settings.audio, options.out / SPOOL)
        self.settlement = Settlement(context, self.outcomes, self.duplicates, self.budget, self.preparation)
        fact = context.request.answered_fact
        self.recorder = Recorder(self.settlement, self.outcomes, self.ledger, store, fact)
        self.sending = Sending(context, store, self.publisher, self.recorder, control)

    async def whole(self, endpoint: EndpointFactory) -> RunResult:
        plan = await make_plan(self.rows, self.options, self.store, self.control.stopped)
        if warning := many_missing(plan, is_folder=self.rows.manifests.has_folder):
            log.warning("%s", warning)
        started_at = self.context.started_at.isoformat()
        await self.store.save_run(self.context.run_id, started_at, None)
        try:
            await self.ledger.end_open_attempts()
            await self.publisher.tidy()
            await self.store.blocking(self._keep_to_month)
            await asyncio.to_thread(shutil.rmtree, self.options.out / SPOOL, ignore_errors=True)
            if plan.selected:
                await self._send(endpoint, plan.selected)
        except Stopped:
            pass
        except GradiumBatchError as error:
            self.error = with_key_place(error, self.context.settings.service)
        self.control.work_is_over()
        self.control.stands = last_line(await self.store.blocking_unchecked(self._figures, plan))
        try:
            if not isinstance(self.error, OutputGone):
                await self._publish()
        except OutputGone as error:
            self.error = error
        except GradiumBatchError as error:
            self.error = self.error or error
        finally:
            self.transcripts.close()
            self.duplicates.close()
        return await self._report(plan)

    def _keep_to_month(self, checkpoint: Checkpoint) -> None:
        """Has the run spend no more than the month's budget leaves, and notes that for `status`."""
        out, budget = self.options.out, self.context.settings.budget.month_limit
        if (checkpoint.fact(MONTH_BUDGET, float) or None) != budget:
            checkpoint.set_fact(MONTH_BUDGET, budget or 0.0)
        if budget is not None:
            sum_by_month(checkpoint, out)
            self.budget.keep_to(month_at(self.context.started_at, checkpoint, out, budget))

    async def _send(self, endpoint: EndpointFactory, selected: int) -> None:
        """Sends what is selected, as far as --limit and the budget go."""
        limit, settings = self.options.limit, self.context.settings
        expected_s, rows = await self.store.expected_s(limit), min(selected, limit or selected)
        spool_bytes = settings.audio.spool_mb << 20
        warning = await asyncio.to_thread(
            disk_too_small, self.options.out, rows=rows, expected_s=expected_s, spool_bytes=spool_bytes
        )
        if warning is not None:
            log.warning("%s", warning)
        selection = Selection(self.store, self.duplicates, self.budget, limit)
        lookup = Lookup(self.context, self.store, self.transcripts, self.outcomes, self.settlement)
        preparer = Preparer(lookup, self.preparation, self.settlement, self.recorder, self.store)
        self.progress.start(expected_s)
        try:
            await self.sending.send(endpoint, preparer, selection, self.budget.credits, rows=rows)
        finally:
            self.progress.close()
            await self.preparation.close()
        reasons = self.budget.reasons([f"--limit {limit}"] if selection.limit_reached else [])
        if reasons:
            self.control.note_limit(ExitStatus.LIMIT_REACHED, "; ".join(reasons))

    async def _publish(self) -> None:
        await self.publisher.finish(self.context.hashes, lambda: self.control.signalled)
        await self.publisher.write_errors_and_clips()
        await self.store.trim_replaced()

    async def _report(self, plan: Plan) -> RunResult:
        self.many_gone = many_missing(plan, is_folder=self.rows.manifests.has_folder, moved=self.outcomes.moved_count)
        unchecked = self.store.blocking_unchecked
        if plan.rows and not await unchecked(Checkpoint.has_selected):
            self.control.forget_limit()
        figures = await unchecked(self._figures, plan)
        if not isinstance(self.error, OutputGone):
            figures = await put_down(self.store, self.options.out, figures, self._ended_by)
        return RunResult(figures=figures, error=self.error)

    def _ended_by(self, error: GradiumBatchError, figures: Figures) -> Figures:
        self.error = self.error or error
        return msgspec.structs.replace(figures, exit=int(self._status()), stopped_by=str(self.error))

    def _figures(self, checkpoint: Checkpoint, plan: Plan) -> Figures:
        ending = Ending(
            run_id=self.context.run_id,
            out=self.options.out,
            started_at=self.context.started_at,
            finished_at=datetime.now(UTC),
            wall_s=time.monotonic() - self._started,
            exit=int(self._status()),
            stopped_by=str(self.error) if self.error is not None else self.control.reason,
            outages=self.sending.outages,
            outage_lasts=self.sending.outage_lasts,
            local=self.context.settings.service.url == "local",
            many_gone=self.many_gone,
        )
        return figures_of(checkpoint, plan, self.rows, self.outcomes, self.ledger, ending)

    def _status(self) -> ExitStatus:
        if self.error is not None:
            return status_of(self.error)
        if self.control.status is not None:
            return self.control.status
        failed = self.outcomes.failed
        if not self.options.ids:  # who asks for some hears of all others, and is not told that theirs failed
            failed = failed or self.rows.bad.count or bool(self.many_gone)
        return ExitStatus.SOME_FAILED if failed else ExitStatus.OK
