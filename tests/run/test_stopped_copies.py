"""A run that was stopped while copies of a recording were still to be looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pipeline.config import Settings
from pipeline.exchange import Answer, Endpoint
from pipeline.exits import ExitStatus
from pipeline.gradium.service import GradiumService
from pipeline.pool import Job
from pipeline.run.context import RunOptions
from pipeline.run.control import Control
from pipeline.run.duplicates import Duplicates
from pipeline.run.record import Recorder
from pipeline.run.reporting import RunResult
from pipeline.run.run import run
from tests.batch import Corpus
from tests.servers import start_server


def test_what_is_left_to_look_at_keeps_no_stopped_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Duplicates, "has_more", True)
    control, settled = Control(), Recorder.settled

    def stop_at(recorder: Recorder, job: Job, result: Answer) -> None:
        settled(recorder, job, result)
        control.stop(ExitStatus.LIMIT_REACHED, "the first answer")

    monkeypatch.setattr(Recorder, "settled", stop_at)
    corpus = Corpus(tmp_path / "audio", count=3, seconds=1.0)
    with start_server() as server:
        settings = Settings.model_validate({"service": {"url": server.url}, "pool": {"concurrency": 1}})
        options = RunOptions(manifests=(str(corpus.folder),), out=tmp_path / "out", shared_out=True, progress="off")

        @asynccontextmanager
        async def endpoint(_: Settings) -> AsyncIterator[Endpoint]:
            yield Endpoint(url=server.url, key=server.key)

        async def whole() -> RunResult:
            return await asyncio.wait_for(run(options, settings, GradiumService(endpoint), control), 30)

        result = asyncio.run(whole())
    assert result.figures.exit == ExitStatus.LIMIT_REACHED
    assert result.figures.transcribed == 1
