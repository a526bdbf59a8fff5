"""The stations of one run over a real folder and a real checkpoint, without a service: tests play the pool."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.audio.prepare import Preparation
from pipeline.checkpoint import Checkpoint, Store
from pipeline.config import Settings
from pipeline.exchange import Answer, Request
from pipeline.gradium.request import request_settings
from pipeline.model import Failure, Word
from pipeline.report.progress import progress
from pipeline.run.budget import RunBudget
from pipeline.run.context import RunContext, RunOptions
from pipeline.run.copies import Copies
from pipeline.run.delay import DelayCorrection
from pipeline.run.duplicates import Duplicates
from pipeline.run.ledger import Ledger
from pipeline.run.lengths import ClipLengths, KnownLengths
from pipeline.run.lookup import Lookup
from pipeline.run.outcomes import Outcomes
from pipeline.run.plan import ManifestRows, make_plan
from pipeline.run.prepare import Preparer
from pipeline.run.record import Recorder
from pipeline.run.select import Selection
from pipeline.run.settings_hash import SettingsHash
from pipeline.run.settlement import Settlement
from pipeline.run.stored import StoredTranscripts
from pipeline.run.withheld import Withheld
from pipeline.sink import FolderStore, Sink
from pipeline.sink.forgotten import NOTHING
from pipeline.source import Sources


class Stations:
    """Those of one run; each is as in a real one."""

    def __init__(self, manifest: Path, out: Path, store: Store, settings: Settings, only: tuple[str, ...]) -> None:
        request, now = request_settings(settings.service), datetime.now(UTC)
        self.store, self.checkpoint = store, store.checkpoint
        self.options = RunOptions(manifests=(str(manifest),), out=out, shared_out=True, only=only)
        self.context = RunContext(
            run_id=f"{now:%H%M%S%f}", started_at=now, options=self.options, settings=settings, request=request,
            hashes=SettingsHash(settings, request), lengths=KnownLengths(max_clip_s=settings.audio.max_clip_s),
        )  # fmt: skip
        run_id = self.context.run_id
        self.rows = ManifestRows(
            self.options, self.context.hashes, Sources(), model=request.model, run_id=run_id, skip_bad_rows=False
        )
        self.progress = progress("off")
        self.budget = RunBudget(settings)
        self.outcomes = Outcomes(store, self.progress, run_id)
        self.ledger = Ledger(store, run_id, self.budget)
        self.duplicates = Duplicates()
        self.preparation = Preparation(settings.audio, settings.request_price, out / ".spool")
        self.copies = Copies(Sources(), out / ".spool" / "copies", 1 << 30)
        self.settlement = Settlement(
            self.context, self.outcomes, self.duplicates, self.budget, self.preparation, self.copies
        )
        lengths = ClipLengths(self.context.lengths, self.preparation, self.budget)
        delay = DelayCorrection("auto", Path())
        self.recorder = Recorder(
            self.settlement, self.outcomes, self.ledger, lengths, store, delay, request.answered_fact
        )
        self.transcripts = StoredTranscripts(Sink(FolderStore(out), ("parquet", "jsonl")))
        withheld = Withheld(store, NOTHING, self.outcomes)
        self.lookup = Lookup(self.context, store, self.transcripts, self.outcomes, self.settlement, withheld, Sources())
        self.preparer = Preparer(self.lookup, self.preparation, self.settlement, self.recorder, store, self.copies)

    def selection(self, limit: int | None = None) -> Selection:
        return Selection(self.store, self.duplicates, self.budget, limit)

    async def requests(self) -> list[Request]:
        """What a pool would be given to send of what is selected."""
        found: list[Request] = []

        async def put(request: Request) -> None:
            found.append(request)

        await self.preparer.fill(put, self.selection(), threading.Event())
        return found

    async def stored(self) -> tuple[int, int, int]:
        """Utterances that are done, failed and left, once everything that happened is committed."""
        await self._committed()
        return await self.totals()

    async def totals(self) -> tuple[int, int, int]:
        """The same, of what is committed already."""
        totals = await self.store.blocking(Checkpoint.totals)
        return totals.done, totals.failed, totals.left

    async def _committed(self) -> None:
        self.store.add()  # where nothing is pending this is what wakes it
        await self.store.committed()

    async def failures(self) -> dict[str, Failure]:
        await self._committed()
        return {
            failure.id: failure for failure in await self.store.blocking(lambda checkpoint: [*checkpoint.failures()])
        }


@asynccontextmanager
async def stations(
    manifest: Path, out: Path, *, only: tuple[str, ...] = (), keeps: bool = True, **settings: Any
) -> AsyncIterator[Stations]:
    """A run that has planned; `settings` are sections of the configuration. Without `keeps` the test commits."""
    out.mkdir(exist_ok=True)
    with Checkpoint(out / "checkpoint.sqlite") as checkpoint:
        store = Store(checkpoint)
        made = Stations(manifest, out, store, Settings.model_validate(settings), only)
        await make_plan(made.rows, made.options, store, threading.Event())
        await store.call(checkpoint.save_run, made.context.run_id, made.context.started_at.isoformat(), None)
        keeping = asyncio.create_task(store.keep()) if keeps else None
        try:
            yield made
        finally:
            store.add()
            store.close()
            if keeping is not None:
                await keeping
            store.release()
            await made.preparation.close()
            made.transcripts.close()
            made.duplicates.close()


def answer(text: str = "hello world") -> Answer:
    words = tuple(Word(text=word, start_s=float(n), stop_s=n + 0.5) for n, word in enumerate(text.split()))
    return Answer(words=words, request_id="r", model="m")
