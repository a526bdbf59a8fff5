"""The sending part of a run: endpoint, client and pool, with the journal and the publisher at work beside them.

Returns when everything selected has its outcome or the run was stopped; by then all outcomes are committed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.audio.prepare import Preparation
from pipeline.checkpoint import Journal
from pipeline.checkpoint.schema import LEARNED
from pipeline.config import Settings
from pipeline.errors import CheckpointError, OutputGone
from pipeline.exits import ExitStatus
from pipeline.gradium.request import RequestSettings
from pipeline.gradium.wire import Credits
from pipeline.model import Endpoint
from pipeline.pool import Capacity, Limits, Outage, Pool, RetryPolicy
from pipeline.report.progress import Progress
from pipeline.run.balance import Balance
from pipeline.run.control import Control
from pipeline.run.feed import Feed
from pipeline.run.ledger import price
from pipeline.run.owner import claim, owner_by_recognizer, owner_of
from pipeline.run.published import Published
from pipeline.run.publisher import Publisher
from pipeline.run.recorder import Recorder
from pipeline.run.room import want_of_room

if TYPE_CHECKING:
    pass

WATCH_S = 1.0
log = logging.getLogger(__name__)

EndpointFactory = Callable[[Settings], AbstractAsyncContextManager[Endpoint]]


class Sending:
    """Sends what a run has selected."""

    def __init__(
        self,
        settings: Settings,
        request: RequestSettings,
        journal: Journal,
        recorder: Recorder,
        publisher: Publisher,
        published: Published,
        progress: Progress,
        control: Control,
        spool: Path,
        *,
        doubts_refusals: bool,
    ) -> None:
        """`spool` is the folder for decoded audio, which exists only while something is sent."""
        self.outages, self.outage_lasts = 0, False
        self._spool = spool
        self._settings = settings
        self._request = request
        self._journal = journal
        self._recorder = recorder
        self._publisher = publisher
        self._published = published
        self._progress = progress
        self._control = control
        self._doubts_refusals = doubts_refusals

    async def send(self, endpoint: EndpointFactory, *, rows: int, at_most: int | None) -> None:
        """Sends `at_most` of the `rows` that are selected.

        Raises AccountError, SettingsRefused, CompressedAnswer, ServiceOut, RefusesAll, EndpointUnreachable,
        BalanceTooLow, BalanceUnknown, LocalServerError, and CheckpointError or OutputError when outcomes cannot be
        stored.
        """
        from pipeline.gradium.client import GradiumClient
        from pipeline.gradium.transport import http_client

        settings, call = self._settings, self._journal.call
        expected_s = await call(self._journal.checkpoint.expected_s, at_most)
        rows, spool_bytes = min(rows, at_most or rows), settings.audio.spool_mb << 20
        out = self._spool.parent
        told = await asyncio.to_thread(want_of_room, out, rows=rows, expected_s=expected_s, spool_bytes=spool_bytes)
        if told is not None:
            log.warning("%s", told)
        self._progress.start(expected_s)
        timeouts = settings.timeouts
        async with (
            endpoint(settings) as target,
            http_client(
                target.url,
                connect_s=timeouts.connect_s,
                idle_s=timeouts.idle_s,
                trust_env=settings.service.trust_env,
            ) as http,
        ):
            account = Balance(settings, self._journal, self._recorder, self._control)
            balance = await account.learn(http, target)
            await self._claim(balance)
            await account.compare(balance, rows=rows, at_most=at_most)
            limits = await self._limits()
            pool = Pool(
                GradiumClient(http, target, self._request, timeouts),
                self._recorder,
                limits,
                look_ahead=settings.pool.concurrency,
                drain_s=timeouts.drain_s,
            )
            self._control.attach(pool)
            preparation = Preparation(settings.audio, self._spool)
            feed = Feed(self._journal, self._recorder, self._published, preparation, self._control.stopped, at_most)
            try:
                async with self._kept(pool):
                    await pool.run(feed.clips())
                    # copies of a recording the file of whose first one failed, and those that take the places of what
                    # was passed over; a pool that was stopped takes none
                    while (self._recorder.duplicates.has_more or feed.has_room) and not pool.is_stopping:
                        await pool.run(feed.clips())
            finally:
                self.outages, self.outage_lasts = limits.outage.count, limits.outage.going_on
                await preparation.close()
            await call(self._journal.checkpoint.set_fact, LEARNED, limits.capacity.learned or 0)
            self._note_limits(at_most if feed.limit_reached else None)

    def _note_limits(self, limit: int | None) -> None:
        """Says for which limits something is left; `limit` is --limit where that was reached."""
        left_out, reasons = self._recorder.left_out, []
        if left_out.any_within:
            reasons.append(left_out.budget_told)
        if limit is not None:
            reasons.append(f"--limit {limit}")
        if (above := left_out.above_sentence) is not None:
            log.warning("%s", above)
            reasons.append(above)
        if reasons:
            self._control.note_limit(ExitStatus.LIMIT_REACHED, "; ".join(reasons))

    async def _claim(self, balance: Credits | str) -> None:
        """Raises ConfigError where an address on this machine is answered by another than the output's owner."""
        if owner_of(self._settings) is None:
            owner = owner_by_recognizer(None if isinstance(balance, str) else balance.recognizer)
            await self._journal.call(claim, self._journal.checkpoint, self._spool.parent, owner)

    async def _limits(self) -> Limits:
        settings, clock = self._settings, asyncio.get_running_loop().time
        call, checkpoint = self._journal.call, self._journal.checkpoint
        learned = await call(checkpoint.fact, LEARNED, int) or None
        return Limits(
            retry=RetryPolicy(settings.retry),
            capacity=Capacity(settings.pool.concurrency, learned=learned, adaptive=settings.pool.adaptive, clock=clock),
            outage=Outage(first_pause_s=settings.retry.probe_s, clock=clock),
            budget=self._recorder.left_out.budget,
            price=price,
            outage_max_s=settings.retry.outage_max_s,
            settings_answered=bool(await call(checkpoint.fact, self._request.answered_fact, int)),
            doubts_refusals=self._doubts_refusals,
        )

    @asynccontextmanager
    async def _kept(self, pool: Pool) -> AsyncIterator[None]:
        """Journal and publisher beside the pool; the failure of one ends it. On the way out all is committed."""

        def end_pool(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and isinstance(error := task.exception(), Exception):
                pool.end_with(error)
                if isinstance(error, CheckpointError | OutputGone):
                    pool.cut()  # an answer that cannot be stored is not worth waiting for

        journal = self._journal
        keeping, publishing = asyncio.create_task(journal.keep()), asyncio.create_task(self._publisher.keep())
        watching = asyncio.create_task(self._watch())
        for keeper in (keeping, publishing, watching):
            keeper.add_done_callback(end_pool)
        journal.patience.on_wait = pool.hold
        try:
            yield
        finally:
            self._control.work_is_over()
            self._progress.close()
            journal.close()
            self._publisher.close()
            watching.cancel()
            await asyncio.wait((keeping, publishing, watching))
            journal.patience.on_wait = lambda waits: None
            if isinstance(error := keeping.exception(), CheckpointError):  # only now it is known what that costs
                raise CheckpointError(f"{error}; {await journal.last_try()}") from error
        for keeper in (keeping, publishing):
            keeper.result()

    async def _watch(self) -> None:
        """Raises OutputGone soon after the output folder has gone, also while no answer comes."""
        while True:
            await asyncio.sleep(WATCH_S)
            await self._journal.call_once(lambda: None)
