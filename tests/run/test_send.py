"""Sending: what a run has selected goes through the transcriber that it is given, and what comes back is stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path

import pytest

from pipeline.config import Settings
from pipeline.errors import AttemptError, KeyRefused, ServerFault
from pipeline.exchange import Answer, Endpoint, Request
from pipeline.exits import ExitStatus
from pipeline.gradium.request import RequestSettings
from pipeline.gradium.wire import Credits
from pipeline.run.control import Control
from pipeline.run.delay import DelayCorrection
from pipeline.run.publish import Publisher
from pipeline.run.send import Sending
from pipeline.run.settling import AccountReadings
from pipeline.sink import FolderStore, Sink
from tests.batch import Corpus
from tests.run.stations import Stations, answer, stations


class Scripted:
    """A speech service in this process: it answers each request with what the script says of its utterance."""

    def __init__(self, **script: AttemptError) -> None:
        self.script = script
        self.sent: list[str] = []
        self.control = Control()
        self.stops_after = 1 << 30
        self.refused_key: KeyRefused | None = None

    @property
    def transcriber(self) -> Scripted:
        return self

    async def balance(self) -> Credits | str:
        if self.refused_key is not None:
            raise self.refused_key
        return Credits(remaining_credits=1e6)

    async def transcribe(self, request: Request) -> Answer:
        self.sent.append(request.id)
        if len(self.sent) == self.stops_after:
            self.control.stop(ExitStatus.SIGINT, "SIGINT")
        if (error := self.script.get(request.id.partition(".")[0])) is not None:
            self.refused_key = error if isinstance(error, KeyRefused) else None
            raise error
        return answer()

    def endpoint(self, settings: Settings, /) -> AbstractAsyncContextManager[Endpoint]:
        return nullcontext(Endpoint(url="https://example.invalid", key="k"))

    @asynccontextmanager
    async def connect(self, request: RequestSettings, settings: Settings) -> AsyncIterator[Scripted]:
        yield self


async def sent(run: Stations, service: Scripted) -> None:
    sink = Sink(FolderStore(run.context.options.out), ("jsonl",))
    publisher = Publisher(run.store, sink, 10_000, DelayCorrection("auto", Path()))
    sending = Sending(
        run.context,
        run.store,
        publisher,
        run.recorder,
        service.control,
        AccountReadings(at_once(run.context.settings), run.ledger, service.control),
    )
    await sending.send(service, run.preparer, run.selection(), run.budget.credits, rows=run.outcomes.transcribed)


def test_each_recording_is_sent_and_stored(tmp_path: Path) -> None:
    corpus, service = Corpus(tmp_path / "audio", count=5, seconds=0.1), Scripted()

    async def night() -> tuple[int, int, int]:
        async with stations(corpus.folder, tmp_path / "out", keeps=False) as run:
            await sent(run, service)
            return await run.totals()

    assert asyncio.run(night()) == (5, 0, 0)
    assert sorted(service.sent) == sorted(corpus.texts)


def test_a_failure_is_retried_and_then_given_up(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=2, seconds=0.1)
    service = Scripted(**{"00001": ServerFault("no", http_status=500, billed="maybe")})
    retry = {"max_attempts": 3, "base_s": 0.01, "max_s": 0.02}

    async def night() -> tuple[int, int, int]:
        async with stations(corpus.folder, tmp_path / "out", keeps=False, retry=retry) as run:
            await sent(run, service)
            return await run.totals()

    assert asyncio.run(night()) == (1, 1, 0)
    assert sorted(service.sent) == ["00000.wav", *["00001.wav"] * 3]


def test_a_refused_key_ends_it_and_what_was_answered_is_stored(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=20, seconds=0.1)
    service = Scripted(**{f"{n:05d}": KeyRefused("no such key", http_status=401) for n in range(1, 20)})

    async def night() -> tuple[int, int, int]:
        async with stations(corpus.folder, tmp_path / "out", keeps=False, pool={"concurrency": 1}) as run:
            with pytest.raises(KeyRefused, match="no such key"):
                await sent(run, service)
            return await run.totals()

    done, failed, left = asyncio.run(night())
    assert (failed, done + left) == (0, 20)
    assert done == service.sent.count("00000.wav")


def test_a_stop_lets_answers_in_flight_come_and_sends_nothing_more(tmp_path: Path) -> None:
    corpus, service = Corpus(tmp_path / "audio", count=20, seconds=0.1), Scripted()
    service.stops_after = 3

    async def night() -> tuple[int, int, int]:
        async with stations(corpus.folder, tmp_path / "out", keeps=False, pool={"concurrency": 1}) as run:
            await sent(run, service)
            return await run.totals()

    assert asyncio.run(night()) == (3, 0, 17)
    assert len(service.sent) == 3


def at_once(settings: Settings) -> Settings:
    """The settings without a wait for the balance, which never changes here."""
    return settings.model_copy(update={"price": settings.price.model_copy(update={"settle_s": 0.0})})
