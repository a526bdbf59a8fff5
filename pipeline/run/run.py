"""One run: plan, send, publish, report. The only place that knows all the stations.

Everything here is wiring; what a station does is in its package.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import time
from datetime import UTC, datetime

import msgspec

from pipeline.checkpoint import Checkpoint, Journal, Patience, Plan
from pipeline.config import Settings
from pipeline.errors import GradiumBatchError, OutputGone, Stopped
from pipeline.exits import ExitStatus, status_of
from pipeline.gradium.key import with_place
from pipeline.gradium.request import RequestSettings, request_settings
from pipeline.manifest.arguments import place_of
from pipeline.report.figures import Figures, last_line
from pipeline.report.logs import say
from pipeline.report.progress import progress
from pipeline.run.control import Control
from pipeline.run.known_failures import asks
from pipeline.run.manifests import settle_names
from pipeline.run.month import MONTH_BUDGET, month_at, sum_by_month
from pipeline.run.options import RunOptions
from pipeline.run.output import CHECKPOINT, keep_formats, keep_manifest, output_folder, refuse_another_manifest
from pipeline.run.owner import claim, owner_at, owner_of
from pipeline.run.planning import ManifestRows, many_gone
from pipeline.run.published import Published
from pipeline.run.publisher import Publisher
from pipeline.run.recorder import Recorder
from pipeline.run.reporting import Ending, figures_of, put_down
from pipeline.run.sending import EndpointFactory, Sending
from pipeline.run.soundness import known_transcripts
from pipeline.sink import Sink

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
    request = request_settings(settings.service)
    patience = Patience(settings.timeouts.checkpoint_s, lambda: control.signalled)
    with (
        output_folder(options.out) as held,
        known_transcripts(options.out),
        patience.call(Checkpoint, options.out / CHECKPOINT) as checkpoint,
    ):
        held.watch(options.out / CHECKPOINT)
        journal = Journal(checkpoint, patience, held.check)
        try:
            owner = owner_of(settings)
            if owner is None and checkpoint.holds_answers():
                async with endpoint(settings) as target:
                    owner = await asyncio.to_thread(owner_at, target)
            if owner is not None:
                await journal.call(claim, checkpoint, options.out, owner)
            await journal.call(keep_formats, checkpoint, settings.sink.formats)
            if not options.shared_out:
                refuse_another_manifest(checkpoint, place_of(options.manifests), options.out)
            return await _Run(options, settings, request, control, journal).whole(endpoint)
        finally:
            journal.release()


class _Run:
    """The state of one run, from its plan to its figures."""

    def __init__(
        self, options: RunOptions, settings: Settings, request: RequestSettings, control: Control, journal: Journal
    ) -> None:
        self.options = options
        self.control = control
        self.journal = journal
        self.checkpoint = journal.checkpoint
        self.started_at, self._started = datetime.now(UTC), time.monotonic()
        # in the order of time also within a second, and unlike that of a run into another output
        self.run_id = (
            f"{self.started_at:%Y%m%d-%H%M%S}-{self.started_at.microsecond // 256:03x}{secrets.token_hex(2)[:3]}"
        )
        sink = Sink(options.out, settings.sink.formats)
        self.published = Published(sink)
        self.publisher = Publisher(journal, sink, settings.sink.rows_per_part)
        shown = progress(options.progress)
        added, asked = self.publisher.result_added, asks(options.only)
        self.recorder = Recorder(journal, shown, settings, request, self.run_id, added, asked=asked)
        self.sending = Sending(
            settings,
            request,
            journal,
            self.recorder,
            self.publisher,
            self.published,
            shown,
            control,
            options.out / SPOOL,
            # who asks for those that failed may have nothing but recordings that are refused
            doubts_refusals="failed" not in options.only,
        )
        self.rows = ManifestRows(
            options.manifests,
            settings,
            request,
            skip_bad_rows=options.skip_bad_rows,
            run_id=self.run_id,
            include=options.include,
            exclude=options.exclude,
            on_row=control.raise_if_stopped,
        )
        self.budget = settings.budget
        self.service = settings.service
        self.error: GradiumBatchError | None = None
        self.many_gone: str | None = None

    async def whole(self, endpoint: EndpointFactory) -> RunResult:
        plan = await self._plan()
        if told := many_gone(plan, is_folder=self.rows.has_folder):
            log.warning("%s", told)
        await self.journal.call(self.checkpoint.save_run, self.run_id, self.started_at.isoformat(), None)
        try:
            await self.recorder.ledger.end_open_attempts()
            await self.publisher.tidy()
            await self.journal.call(self._keep_to_month)
            await asyncio.to_thread(shutil.rmtree, self.options.out / SPOOL, ignore_errors=True)
            if plan.selected:
                await self.sending.send(endpoint, rows=plan.selected, at_most=self.options.limit)
        except Stopped:
            pass
        except GradiumBatchError as error:
            self.error = with_place(error, self.service)
        self.control.work_is_over()
        self.control.stands = last_line(await self.journal.call_unchecked(self._figures, plan))
        try:
            if not isinstance(self.error, OutputGone):
                await self._publish()
        except OutputGone as error:
            self.error = error
        except GradiumBatchError as error:
            self.error = self.error or error
        finally:
            self.published.close()
            self.recorder.duplicates.close()
        return await self._report(plan)

    def _keep_to_month(self) -> None:
        """Has the run spend no more than the month's budget leaves, and notes that for `status`."""
        out, budget = self.options.out, self.budget.month_limit
        if (self.checkpoint.fact(MONTH_BUDGET, float) or None) != budget:
            self.checkpoint.set_fact(MONTH_BUDGET, budget or 0.0)
        if budget is not None:
            sum_by_month(self.checkpoint, out)
            self.recorder.left_out.keep_to(month_at(self.started_at, self.checkpoint, out, budget))

    async def _publish(self) -> None:
        await self.publisher.finish(self.recorder.settings_hash, lambda: self.control.signalled)
        await self.publisher.write_errors()
        await self.publisher.write_clips()
        await self.journal.call(self.checkpoint.trim_replaced)

    async def _plan(self) -> Plan:
        """Takes the manifest in. Raises ManifestError for bad rows."""
        try:
            rows = self.rows
            repeated = await self.journal.call_once(self.checkpoint.scan, rows, *rows.names, scope=rows)
            rows.note_repeated(repeated)
            if told := str(rows.ignored):
                say(told)
            if not self.rows.count:
                self.rows.refuse_empty(knows_rows=await self.journal.call(self.checkpoint.knows_rows))
            if not self.options.skip_bad_rows or repeated:
                self.rows.refuse_bad(skippable=not repeated)
            if self.options.strict:
                self.rows.refuse_warned()
            out, call = self.options.out, self.journal.call
            if ids := self.options.ids:
                await call(self.checkpoint.name_ids, ids, self.rows.manifest)
            names = await call(settle_names, self.checkpoint, self.rows.names, out, self.control.stopped)
            manifest = None if self.options.shared_out else self.rows.place
            await call(keep_manifest, self.checkpoint, manifest, out, names)
            return await self.journal.call(self.checkpoint.merge, self.options.only)
        except Stopped:
            return Plan()

    async def _report(self, plan: Plan) -> RunResult:
        self.many_gone = many_gone(plan, is_folder=self.rows.has_folder, moved=self.recorder.outcomes.moved_count)
        ask = self.journal.call_unchecked
        if plan.rows and not await ask(self.checkpoint.has_selected):
            self.control.forget_limit()
        figures = await ask(self._figures, plan)
        if not isinstance(self.error, OutputGone):
            figures = await put_down(self.journal, self.options.out, figures, self._ended_by)
        return RunResult(figures=figures, error=self.error)

    def _ended_by(self, error: GradiumBatchError, figures: Figures) -> Figures:
        self.error = self.error or error
        return msgspec.structs.replace(figures, exit=int(self._status()), stopped_by=str(self.error))

    def _figures(self, plan: Plan) -> Figures:
        ending = Ending(
            run_id=self.run_id,
            started_at=self.started_at,
            finished_at=datetime.now(UTC),
            wall_s=time.monotonic() - self._started,
            exit=int(self._status()),
            stopped_by=str(self.error) if self.error is not None else self.control.reason,
            outages=self.sending.outages,
            outage_lasts=self.sending.outage_lasts,
            local=self.service.url == "local",
            many_gone=self.many_gone,
        )
        return figures_of(self.checkpoint, plan, self.rows, self.recorder, self.options.out, ending)

    def _status(self) -> ExitStatus:
        if self.error is not None:
            return status_of(self.error)
        if self.control.status is not None:
            return self.control.status
        failed = self.recorder.outcomes.failed_count
        if not self.options.ids:  # who asks for some hears of all others, and is not told that theirs failed
            failed = failed or self.rows.bad_count or bool(self.many_gone)
        return ExitStatus.SOME_FAILED if failed else ExitStatus.OK
