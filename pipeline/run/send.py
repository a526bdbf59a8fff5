"""Sends what a run has selected: asks for the balance, runs the pool, and ends it when outcomes cannot be stored.

Returns when everything selected has its outcome or the run was stopped; by then all outcomes are committed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Protocol

from pipeline.checkpoint import Store
from pipeline.checkpoint.schema import LEARNED
from pipeline.config import Settings
from pipeline.errors import CheckpointError, GradiumBatchError, OutputGone
from pipeline.exchange import AccountBalance, Connection, Endpoint
from pipeline.gradium.request import RequestSettings
from pipeline.pool import Account, AdaptiveLimiter, Budget, CircuitBreaker, Limits, Pool, RetryPolicy
from pipeline.run.balance import Balance
from pipeline.run.context import RunContext
from pipeline.run.control import Control
from pipeline.run.owner import claim, owner_by_recognizer, owner_of, refuse_unknown
from pipeline.run.prepare import Preparer
from pipeline.run.publish import Publisher
from pipeline.run.record import Recorder
from pipeline.run.select import Selection
from pipeline.run.settling import AccountReadings

WATCH_S = 1.0
log = logging.getLogger(__name__)


class SpeechService(Protocol):
    """The speech service that a run is given; an engine makes it."""

    def endpoint(self, settings: Settings, /) -> AbstractAsyncContextManager[Endpoint]:
        """Where it answers, and with which key."""
        ...

    def connect(self, request: RequestSettings, settings: Settings) -> AbstractAsyncContextManager[Connection]:
        """A connection for requests with these settings. Raises LocalServerError."""
        ...


class Sending:
    """Sends for one run."""

    def __init__(
        self,
        context: RunContext,
        store: Store,
        publisher: Publisher,
        recorder: Recorder,
        control: Control,
        account: AccountReadings,
    ) -> None:
        self.outages, self.outage_lasts = 0, False
        self._context = context
        self._store = store
        self._publisher = publisher
        self._recorder = recorder
        self._control = control
        self._account = account

    async def send(
        self, service: SpeechService, preparer: Preparer, selection: Selection, budget: Budget, *, rows: int
    ) -> None:
        """Sends the `rows` that are selected, as far as the selection's limit and the budget go.

        Raises AccountError, SettingsRefused, CompressedAnswer, ServiceOut, RefusesAll, EndpointUnreachable,
        BalanceTooLow, BalanceUnknown, LocalServerError, and CheckpointError or OutputError when outcomes cannot be
        stored.
        """
        settings = self._context.settings
        async with service.connect(self._context.request, settings) as connection:
            asking = Balance(self._context, self._store, budget, self._control)
            balance = self._account.before = await asking.fetch(connection)
            await self._claim(balance)
            await asking.compare(balance, rows=rows, at_most=selection.limit)
            limits = await self._limits(connection, budget)
            pool = Pool(
                connection.transcriber,
                self._recorder,
                limits,
                queue=settings.pool.concurrency,
                drain_s=settings.timeouts.drain_s,
            )
            self._control.attach(pool)
            source = partial(preparer.fill, selection=selection, stopped=self._control.stopped)
            try:
                async with self._storing(pool):
                    # more: duplicates whose first one's file failed, rows in place of those that did not fit the
                    # budget, and recordings that are cut again
                    await pool.run(source, lambda: selection.has_more or bool(self._recorder.again))
            except GradiumBatchError:
                await self._account.read_end(connection, once=True)
                raise
            finally:
                self.outages, self.outage_lasts = limits.breaker.outages, limits.breaker.is_open
            await self._store.set_fact(LEARNED, limits.limiter.learned or 0)
            await self._account.read_end(connection)

    async def _claim(self, balance: AccountBalance | str) -> None:
        """Raises ConfigError where an address on this machine is answered by another than the output's owner, and
        BalanceUnknown where it is not known who answers there and the owner is a local recognizer."""
        if owner_of(self._context.settings) is None:
            out = self._context.options.out
            if isinstance(balance, str):
                await self._store.blocking(refuse_unknown, out, self._context.settings.service.url, balance)
            owner = owner_by_recognizer(None if isinstance(balance, str) else balance.recognizer)
            await self._store.blocking(claim, out, owner)

    async def _limits(self, connection: Connection, budget: Budget) -> Limits:
        settings, clock = self._context.settings, asyncio.get_running_loop().time
        learned = await self._store.fact(LEARNED, int) or None
        return Limits(
            retry=RetryPolicy(settings.retry),
            limiter=AdaptiveLimiter(
                settings.pool.concurrency, learned=learned, adaptive=settings.pool.adaptive, clock=clock
            ),
            breaker=CircuitBreaker(first_pause_s=settings.retry.probe_s, clock=clock),
            budget=budget,
            price=settings.request_price.of,
            outage_max_s=settings.retry.outage_max_s,
            account=Account(connection.balance),
            settings_answered=bool(await self._store.fact(self._context.request.answered_fact, int)),
            # of failed recordings, which were asked for, all may be refused
            doubts_refusals="failed" not in self._context.options.only,
            lengths=self._context.lengths.for_pool(),
        )

    @asynccontextmanager
    async def _storing(self, pool: Pool) -> AsyncIterator[None]:
        """Commits and publishes beside the pool; the failure of one ends it. On the way out all is committed."""

        def end_pool(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and isinstance(error := task.exception(), Exception):
                pool.end_with(error)
                if isinstance(error, CheckpointError | OutputGone):
                    pool.cut()  # its answers could not be stored

        store = self._store
        keeping, publishing = asyncio.create_task(store.keep()), asyncio.create_task(self._publisher.keep())
        watching = asyncio.create_task(self._watch())
        for task in (keeping, publishing, watching):
            task.add_done_callback(end_pool)
        store.patience.on_wait = pool.hold
        try:
            yield
        finally:
            self._control.work_is_over()
            store.close()
            self._publisher.close()
            watching.cancel()
            await asyncio.wait((keeping, publishing, watching))
            store.patience.on_wait = lambda waits: None
            if isinstance(error := keeping.exception(), CheckpointError):  # only now is its cost known
                raise CheckpointError(f"{error}; {await store.last_try()}") from error
        for task in (keeping, publishing):
            task.result()

    async def _watch(self) -> None:
        """Raises OutputGone soon after the output folder was removed, also while no answer comes."""
        while True:
            await asyncio.sleep(WATCH_S)
            await self._store.check_output()
