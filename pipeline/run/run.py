"""One run, from its stations: plan, select, prepare, send, join, store, publish, report.

The only module that imports all of them; what a station does is in its own.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from datetime import UTC, datetime

from pipeline.audio.prepare import Preparation
from pipeline.checkpoint import Checkpoint, Patience, Plan, Store
from pipeline.checkpoint.schema import CHECKPOINT
from pipeline.config import Settings
from pipeline.errors import GradiumBatchError, OutputGone, Stopped
from pipeline.exits import ExitStatus
from pipeline.failures import status_of
from pipeline.gradium.ending import explained
from pipeline.report.figures import Figures, last_line
from pipeline.report.progress import Progress, progress
from pipeline.run.budget import RunBudget
from pipeline.run.claims import claim_output
from pipeline.run.context import RunContext, RunOptions
from pipeline.run.control import Control
from pipeline.run.copies import Copies
from pipeline.run.delay import DelayCorrection
from pipeline.run.duplicates import Duplicates
from pipeline.run.ledger import Ledger
from pipeline.run.lengths import ClipLengths
from pipeline.run.lookup import Lookup
from pipeline.run.month import month_of_run
from pipeline.run.opening import tell_opening
from pipeline.run.outcomes import Outcomes
from pipeline.run.output import disk_too_small, output_folder
from pipeline.run.owner import owner_at, owner_of
from pipeline.run.plan import ManifestRows, make_plan, many_missing
from pipeline.run.prepare import Preparer
from pipeline.run.publish import Publisher
from pipeline.run.record import Recorder
from pipeline.run.removal import SPOOL, finish_removal
from pipeline.run.reporting import RunResult, figures_of, save_result
from pipeline.run.select import Selection
from pipeline.run.send import Sending, SpeechService
from pipeline.run.settlement import Settlement
from pipeline.run.settling import AccountReadings
from pipeline.run.stored import StoredTranscripts
from pipeline.run.verify import require_checkpoint
from pipeline.run.withheld import Withheld
from pipeline.sink import FolderStore, Sink
from pipeline.sink.forgotten import Forgotten
from pipeline.source import Sources

log = logging.getLogger(__name__)


async def run(
    options: RunOptions, settings: Settings, service: SpeechService, control: Control, counted: Progress | None = None
) -> RunResult:
    """Does one run. The service is connected to when there is something to send, or to ask who answers on this machine.
    Progress is `counted` there, in place of being shown as the options say.

    Raises UsageError, OutputHeld, OutputError or CheckpointError when the run could not begin; what happens after
    that is in the result.
    """
    context = RunContext.of(options, settings)
    patience, path = Patience(settings.timeouts.checkpoint_s, lambda: control.signalled), options.out / CHECKPOINT
    with output_folder(options.out) as held:
        require_checkpoint(options.out)
        with Store.open(path, patience, held.check) as store:
            held.watch(path)
            owner = owner_of(settings)
            if owner is None and await store.holds_answers():
                async with service.endpoint(settings) as target:
                    owner = await asyncio.to_thread(owner_at, target)
            await store.blocking(claim_output, context, owner)
            forgotten = await store.blocking(finish_removal, options.out)
            context = await store.blocking(lambda checkpoint: context.with_lengths(checkpoint))
            return await _Run(context, control, store, forgotten, counted).result(service)


class _Run:
    """One run, from its plan to its figures."""

    def __init__(
        self, context: RunContext, control: Control, store: Store, forgotten: Forgotten, counted: Progress | None
    ) -> None:
        settings, options = context.settings, context.options
        self.context = context
        self.control = control
        self.store = store
        self._started = time.monotonic()
        self.error: GradiumBatchError | None = None
        self.many_gone: str | None = None
        self.may_publish = False
        self.sources = Sources(settings.source_rules, control.stopped)
        self.rows = ManifestRows(
            options,
            context.hashes,
            self.sources,
            model=settings.service.model,
            run_id=context.run_id,
            skip_bad_rows=options.skip_bad_rows,
            forgotten=forgotten,
            on_step=control.raise_if_stopped,
        )
        self.progress = counted or progress(options.progress)
        self.budget = RunBudget(settings)
        self.outcomes = Outcomes(store, self.progress, context.run_id)
        self.ledger = Ledger(store, context.run_id, self.budget)
        self.account = AccountReadings(settings, self.ledger, control)
        self.duplicates, self.withheld = Duplicates(), Withheld(store, forgotten, self.outcomes)
        sink = Sink(FolderStore(options.out), settings.sink.formats)
        self.transcripts = StoredTranscripts(sink)
        self.delay = DelayCorrection(settings.service.delay_correction, options.out)
        self.publisher = Publisher(store, sink, settings.sink.rows_per_part, self.delay)
        self.preparation = Preparation(settings.audio, settings.request_price, options.out / SPOOL)
        share, in_flight = self.preparation.share_of_copies, settings.pool.concurrency
        self.copies = Copies(self.sources, options.out / SPOOL / "copies", share, in_flight)
        self.settlement = Settlement(
            context, self.outcomes, self.duplicates, self.budget, self.preparation, self.copies
        )
        lengths, fact = ClipLengths(context.lengths, self.preparation, self.budget), context.request.answered_fact
        self.recorder = Recorder(self.settlement, self.outcomes, self.ledger, lengths, store, self.delay, fact)
        self.sending = Sending(context, store, self.publisher, self.recorder, control, self.account)

    async def result(self, service: SpeechService) -> RunResult:
        """Plans, sends, publishes and reports; errors after the plan are in the result."""
        plan = await self._plan()
        try:
            await self._begin()
            if plan.selected:
                await self._send(service, plan)
        except Stopped:
            pass
        except GradiumBatchError as error:
            self.error = explained(error, self.context.settings.service)
        self.control.work_is_over()
        self.control.standing = last_line(await self.store.blocking_unchecked(self._figures, plan))
        try:
            if self.may_publish and not isinstance(self.error, OutputGone):
                await self._publish()
        except OutputGone as error:
            self.error = error
        except GradiumBatchError as error:
            self.error = self.error or error
        finally:
            self.transcripts.close()
            self.sources.close()
            self.duplicates.close()
        return await self._report(plan)

    async def _plan(self) -> Plan:
        plan = await make_plan(self.rows, self.context.options, self.store, self.control.stopped)
        if warning := many_missing(plan, is_folder=self.rows.manifests.has_folder):
            log.warning("%s", warning)
        await self.store.save_run(self.context.run_id, self.context.started_at.isoformat(), None)
        return plan

    async def _begin(self) -> None:
        """Finishes what an interrupted run or an earlier version left; bounds the budget by what the month has left."""
        context = self.context
        await self.ledger.end_open_attempts()
        await self.delay.begin(self.store)
        await self.publisher.tidy(self.control.raise_if_stopped)
        self.may_publish = True
        budget = context.settings.budget.month_limit
        month = await self.store.blocking(month_of_run, context.options.out, context.started_at, budget)
        if month is not None:
            self.budget.keep_to(month)
        await asyncio.to_thread(shutil.rmtree, context.options.out / SPOOL, ignore_errors=True)

    async def _send(self, service: SpeechService, plan: Plan) -> None:
        """Sends what is selected, as far as --limit and the budget go; outcomes are stored and published meanwhile."""
        out, limit = self.context.options.out, self.context.options.limit
        expected_s, rows = await self.store.expected_s(limit), min(plan.selected, limit or plan.selected)
        spool_bytes = self.context.settings.audio.spool_mb << 20
        small = await asyncio.to_thread(disk_too_small, out, rows=rows, expected_s=expected_s, spool_bytes=spool_bytes)
        for warning in filter(None, (small, self.context.request.warning)):
            log.warning("%s", warning)
        await tell_opening(self.store, plan, self.context, expected_s, have_spans=self.rows.have_spans)
        if self.rows.have_addresses:
            self.preparation.share_spool()
        selection = Selection(self.store, self.duplicates, self.budget, limit)
        stations = self.store, self.transcripts, self.outcomes, self.settlement, self.withheld
        lookup = Lookup(self.context, *stations, self.sources)
        preparer = Preparer(lookup, self.preparation, self.settlement, self.recorder, self.store, self.copies)
        self.progress.start(expected_s)
        try:
            await self.sending.send(service, preparer, selection, self.budget.credits, rows=rows)
        finally:
            self.progress.close()
            await self.copies.close()
            await self.preparation.close()
        reasons = self.budget.reasons([f"--limit {limit}"] if selection.limit_reached else [])
        if reasons:
            self.control.note_limit("; ".join(reasons))

    async def _publish(self) -> None:
        await self.publisher.finish(self.context.hashes, lambda: self.control.signalled)
        await self.publisher.write_errors_and_clips()
        await self.publisher.describe()
        await self.withheld.note(self.context.options.out)
        await self.store.trim_replaced()

    async def _report(self, plan: Plan) -> RunResult:
        self.many_gone = many_missing(plan, is_folder=self.rows.manifests.has_folder, moved=self.outcomes.moved)
        if plan.rows and not await self.store.blocking_unchecked(Checkpoint.has_selected):
            self.control.forget_limit()
        figures = await self.store.blocking_unchecked(self._figures, plan)
        result = RunResult(figures=figures, error=self.error)
        if isinstance(self.error, OutputGone):
            return result
        bill = self.account.bill(self.context.run_id)
        result = await save_result(self.store, self.context.options.out, result, bill)
        await self.account.tell_price(self.store)
        return result

    def _figures(self, checkpoint: Checkpoint, plan: Plan) -> Figures:
        return figures_of(
            checkpoint,
            plan,
            self.rows,
            self.outcomes,
            self.ledger,
            self.account,
            run_id=self.context.run_id,
            out=str(self.context.options.out),
            started_at=self.context.started_at,
            finished_at=datetime.now(UTC),
            wall_s=time.monotonic() - self._started,
            exit=int(self._status()),
            stopped_by=str(self.error) if self.error is not None else self.control.reason,
            outages=self.sending.outages,
            outage_lasts=self.sending.outage_lasts,
            local=self.context.settings.service.is_embedded,
            many_gone=self.many_gone,
        )

    def _status(self) -> ExitStatus:
        if self.error is not None:
            return status_of(self.error)
        if self.control.status is not None:
            return self.control.status
        failed = self.outcomes.failed
        if not self.context.options.ids:  # for named ids only their own outcomes count
            failed = failed or self.rows.bad.count or bool(self.many_gone)
        return ExitStatus.SOME_FAILED if failed else ExitStatus.OK
