"""One run: plan, send, write down, report. The only place that knows all the stations.

Everything here is wiring; what a station does is in its package.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pipeline.checkpoint import Checkpoint, Journal, Plan, hold_output
from pipeline.config import Settings
from pipeline.durable import replacing
from pipeline.errors import BalanceTooLow, ConfigError, GradiumBatchError, OutputError
from pipeline.exits import ExitStatus, status_of
from pipeline.gradium.request import RequestSettings, request_settings
from pipeline.gradium.wire import CREDITS_PER_S, Credits
from pipeline.model import Endpoint
from pipeline.pool import Budget, Capacity, Limits, Outage, Pool, RetryPolicy
from pipeline.report.figures import FailureClass, Figures
from pipeline.report.progress import Mode, progress
from pipeline.run import feed
from pipeline.run.control import Control, Stopped
from pipeline.run.planning import ManifestRows
from pipeline.run.publisher import Publisher
from pipeline.run.recorder import Recorder, price
from pipeline.sink import Sink

log = logging.getLogger(__name__)

LEARNED = "concurrency"
"""The checkpoint's fact that holds how many requests the plan carried, for the next night."""
EndpointFactory = Callable[[Settings], AbstractAsyncContextManager[Endpoint]]


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What one run is asked to do, beside its settings."""

    manifest: str
    out: Path
    only: tuple[str, ...] = ()
    limit: int | None = None
    max_duration_s: float | None = None
    skip_bad_rows: bool = False
    progress: Mode = "auto"


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended: its figures, and the error that broke it off."""

    figures: Figures
    error: GradiumBatchError | None


async def run(options: RunOptions, settings: Settings, endpoint: EndpointFactory, control: Control) -> RunResult:
    """Does one run. `endpoint` is entered only when there is something to send.

    Raises UsageError, OutputHeld, OutputError or CheckpointError when the run could not begin; what happens after
    that is in the result.
    """
    request = request_settings(settings.service)
    _make_folder(options.out)
    with hold_output(options.out), Checkpoint(options.out / "checkpoint.sqlite") as checkpoint:
        _keep_formats(checkpoint, settings)
        journal = Journal(checkpoint)
        try:
            return await _Run(options, settings, request, control, journal).whole(endpoint)
        finally:
            journal.release()


class _Run:
    """The state of one run, from its plan to its figures."""

    def __init__(
        self, options: RunOptions, settings: Settings, request: RequestSettings, control: Control, journal: Journal
    ) -> None:
        self.options = options
        self.settings = settings
        self.request = request
        self.control = control
        self.journal = journal
        self.checkpoint = journal.checkpoint
        self.started_at, self._started = datetime.now(UTC), time.monotonic()
        self.run_id = f"{self.started_at:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        self.publisher = Publisher(journal, Sink(options.out, settings.sink.formats), settings.sink.rows_per_part)
        self.progress = progress(options.progress)
        self.recorder = Recorder(journal, self.progress, settings, self.run_id, self.publisher.result_added)
        self.rows = ManifestRows(
            options.manifest,
            settings,
            request,
            skip_bad_rows=options.skip_bad_rows,
            run_id=self.run_id,
            on_row=control.raise_if_stopped,
        )
        self.error: GradiumBatchError | None = None
        self.outages = 0

    async def whole(self, endpoint: EndpointFactory) -> RunResult:
        plan = await self._plan()
        await self.journal.call(self.checkpoint.save_run, self.run_id, self.started_at.isoformat(), None)
        await self.publisher.tidy()
        if plan.selected:
            try:
                await self._transcribe(endpoint)
            except GradiumBatchError as error:
                self.error = error
        try:
            await self.publisher.finish()
            await self.publisher.write_errors()
        except GradiumBatchError as error:
            self.error = self.error or error
        return await self._report(plan)

    async def _plan(self) -> Plan:
        """Takes the manifest in. Raises ManifestError for bad rows."""
        try:
            repeated = await self.journal.call(self.checkpoint.scan, self.rows)
            self.rows.note_repeated(repeated)
            if not self.options.skip_bad_rows or repeated:
                self.rows.refuse_bad(skippable=not repeated)
            return await self.journal.call(self.checkpoint.merge, self.options.only)
        except Stopped:
            return Plan(rows=0, new=0, changed=0, done=0, failed=0, vanished=0, selected=0, missing=0)

    async def _transcribe(self, endpoint: EndpointFactory) -> None:
        from pipeline.gradium.account import fetch_credits
        from pipeline.gradium.client import GradiumClient
        from pipeline.gradium.transport import http_client

        settings = self.settings
        self.progress.start(await self.journal.call(self.checkpoint.expected_s))
        async with (
            endpoint(settings) as target,
            http_client(
                connect_s=settings.timeouts.connect_s,
                idle_s=settings.timeouts.idle_s,
                trust_env=settings.service.trust_env,
            ) as http,
        ):
            await self._compare_with_balance(await fetch_credits(http, target))
            client = GradiumClient(http, target, self.request, settings.timeouts)
            limits = await self._limits()
            pool = Pool(
                client,
                self.recorder,
                limits,
                look_ahead=settings.pool.concurrency,
                drain_s=settings.timeouts.drain_s,
            )
            self.control.attach(stop=pool.stop, cut=pool.cut)
            clips = feed.clips(self.journal, self.recorder, settings, self.control, self.options.limit)
            try:
                async with self._kept(pool), self._timed():
                    await pool.run(clips)
            finally:
                self.outages = limits.outage.count
                await self.journal.call(self.checkpoint.set_fact, LEARNED, limits.capacity.learned or 0)
            if pool.budget_reached:
                self.control.note_limit(ExitStatus.LIMIT_REACHED, f"budget of {settings.budget.credits:g} credits")

    async def _limits(self) -> Limits:
        settings = self.settings
        learned = await self.journal.call(self.checkpoint.fact, LEARNED)
        return Limits(
            retry=RetryPolicy(settings.retry),
            capacity=Capacity(
                settings.pool.concurrency, learned=int(learned or 0) or None, adaptive=settings.pool.adaptive
            ),
            outage=Outage(),
            budget=Budget(settings.budget.credits),
            price=price,
            outage_max_s=settings.retry.outage_max_s,
        )

    async def _compare_with_balance(self, balance: Credits | None) -> None:
        """Warns, or with `service.require_credits` raises BalanceTooLow, when the account holds less than is needed."""
        if balance is None:
            return
        needed = await self.journal.call(self.checkpoint.expected_s) * CREDITS_PER_S
        if balance.remaining_credits >= needed:
            return
        sentence = f"the account holds {balance.remaining_credits:,.0f} credits and the run takes about {needed:,.0f}"
        if self.settings.service.require_credits:
            raise BalanceTooLow(f"{sentence}; nothing was sent, because service.require_credits is set")
        log.warning("%s; the run goes on until they are spent", sentence)

    @contextlib.asynccontextmanager
    async def _kept(self, pool: Pool) -> AsyncIterator[None]:
        """Journal and publisher beside the pool; their failure ends it. On the way out all is committed."""

        def end_pool(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and isinstance(error := task.exception(), Exception):
                pool.end_with(error)
                pool.cut()

        keepers = [asyncio.create_task(self.journal.keep()), asyncio.create_task(self.publisher.keep())]
        for keeper in keepers:
            keeper.add_done_callback(end_pool)
        try:
            yield
        finally:
            self.progress.close()
            self.journal.close()
            await asyncio.wait(keepers[:1])
            keepers[1].cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
        await keepers[0]

    @contextlib.asynccontextmanager
    async def _timed(self) -> AsyncIterator[None]:
        """Stops at --max-duration, counted from the start of the run."""
        if self.options.max_duration_s is None:
            yield
            return
        left_s = self.options.max_duration_s - (time.monotonic() - self._started)
        timer = asyncio.get_running_loop().call_later(
            max(0.0, left_s), self.control.stop, ExitStatus.LIMIT_REACHED, "--max-duration"
        )
        try:
            yield
        finally:
            timer.cancel()

    async def _report(self, plan: Plan) -> RunResult:
        figures = await self._figures(plan)
        try:
            encoded = msgspec.json.format(msgspec.json.encode(figures), indent=2)
            await self.journal.call(self.checkpoint.save_run, self.run_id, self.started_at.isoformat(), encoded)
            await asyncio.to_thread(_write_summary, self.options.out, self.run_id, encoded)
        except GradiumBatchError as error:
            self.error = self.error or error
            figures = msgspec.structs.replace(figures, exit=int(self._status(figures.failed)))
        return RunResult(figures=figures, error=self.error)

    def _status(self, failed: int) -> ExitStatus:
        if self.error is not None:
            return status_of(self.error)
        if self.control.status is not None:
            return self.control.status
        return ExitStatus.SOME_FAILED if failed else ExitStatus.OK

    async def _figures(self, plan: Plan) -> Figures:
        totals = await self.journal.call(self.checkpoint.totals)
        learned = await self.journal.call(self.checkpoint.fact, LEARNED)
        recorder, wall_s = self.recorder, time.monotonic() - self._started
        failures = await self.journal.call(_classes, self.checkpoint)
        return Figures(
            run_id=self.run_id,
            manifest=self.options.manifest,
            out=str(self.options.out),
            started_at=self.started_at,
            finished_at=datetime.now(UTC),
            exit=int(self._status(recorder.failed_count + self.rows.bad_count)),
            stopped_by=str(self.error) if self.error is not None else self.control.reason,
            done=totals.done,
            failed=totals.failed,
            left=totals.left,
            suspect=totals.suspect,
            rows=plan.rows,
            new=plan.new,
            changed=plan.changed,
            vanished=totals.vanished,
            bad_rows=self.rows.bad_count,
            selected=plan.selected,
            transcribed=recorder.transcribed,
            reused=recorder.reused_count,
            requests=recorder.requests,
            retries=recorder.retries,
            refusals=recorder.refusals,
            outages=self.outages,
            learned_concurrency=int(learned) if learned else None,
            audio_s=recorder.audio_s,
            credits=recorder.credits,
            credits_in_all=totals.credits,
            wall_s=wall_s,
            rtfx=recorder.audio_s / wall_s,
            wer=totals.ref_errors / totals.ref_words if totals.ref_words else None,
            failures=failures,
            unknown_refusals=dict(recorder.unknown),
        )


def _classes(checkpoint: Checkpoint) -> list[FailureClass]:
    classes: dict[str, FailureClass] = {}
    for failure in checkpoint.failures():
        known = classes.get(failure.error)
        classes[failure.error] = FailureClass(
            error=failure.error,
            count=1 + (known.count if known else 0),
            example_id=known.example_id if known else failure.id,
            example_message=known.example_message if known else failure.message,
        )
    return sorted(classes.values(), key=lambda found: -found.count)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"the output folder {out} cannot be written: {error.strerror}; choose another --out or mend its rights"
        ) from None


def _keep_formats(checkpoint: Checkpoint, settings: Settings) -> None:
    """An output keeps the formats it began with: a file that starts half-way would look whole."""
    formats = ",".join(sorted(settings.sink.formats))
    before = checkpoint.fact("formats")
    if before is None:
        checkpoint.set_fact("formats", formats)
    elif before != formats:
        raise ConfigError(
            f"sink.formats: this output was begun with {before}, not {formats}; keep that, or choose another --out"
        )


def _write_summary(out: Path, run_id: str, encoded: bytes) -> None:
    try:
        (out / "runs").mkdir(exist_ok=True)
        for path in (out / "runs" / f"{run_id}.json", out / "summary.json"):
            with replacing(path) as temp:
                temp.write_bytes(encoded + b"\n")
    except OSError as error:
        raise OutputError(f"the summary cannot be written into {out}: {error.strerror}") from error
