"""What a run leaves about itself: its figures, and where they go when one of the places cannot be written."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

from pipeline.checkpoint import Checkpoint, Plan
from pipeline.errors import AudioRefused, OutputError, ServerFault
from pipeline.pool import Job
from pipeline.report.figures import Figures
from pipeline.run.control import Control
from pipeline.run.reporting import RunResult, figures_of, save_result
from pipeline.run.settling import AccountReadings
from tests.batch import Corpus
from tests.run.stations import Stations, answer, stations


def result(run: Stations, checkpoint: Checkpoint) -> RunResult:
    plan = Plan(rows=3, new=3, selected=3)
    figures = figures_of(
        checkpoint,
        plan,
        run.rows,
        run.outcomes,
        run.ledger,
        AccountReadings(run.context.settings, run.ledger, Control()),
        run_id=run.context.run_id,
        out=str(run.options.out),
        started_at=run.context.started_at,
        finished_at=datetime.now(UTC),
        wall_s=2.0,
        exit=3,
        stopped_by=None,
        outages=1,
        outage_lasts=False,
        local=False,
        many_gone=None,
    )
    return RunResult(figures=figures, error=None)


async def ended(run: Stations) -> None:
    """One is answered, one refused, one left."""
    for request, result in zip(await run.requests(), (answer(), AudioRefused("no", http_status=500)), strict=False):
        job = Job(request=request, requests=1)
        await run.recorder.sending(job, datetime.now(UTC))
        run.recorder.sent(job, datetime.now(UTC), 0.1, result)
        run.recorder.settled(job, result)
    await run.stored()


def test_the_figures_say_what_the_run_did_and_how_the_output_stands(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3, seconds=1.0)

    async def night() -> Figures:
        async with stations(corpus.folder, tmp_path / "out") as run:
            await ended(run)
            return (await run.store.blocking(lambda checkpoint: result(run, checkpoint))).figures

    found = asyncio.run(night())
    assert (found.done, found.failed, found.left, found.transcribed, found.requests) == (1, 1, 1, 1, 2)
    assert (found.audio_s, found.rtfx, found.outages, found.exit) == (1.0, 0.5, 1, 3)
    assert [(one.error, one.count, one.example_message) for one in found.failures] == [("AudioRefused", 1, "no")]


def test_they_are_left_in_the_summary_in_the_records_of_runs_and_in_the_checkpoint(tmp_path: Path) -> None:
    corpus, out = Corpus(tmp_path / "audio", count=3, seconds=1.0), tmp_path / "out"

    async def night() -> str:
        async with stations(corpus.folder, out) as run:
            await ended(run)
            found = await run.store.blocking(lambda checkpoint: result(run, checkpoint))
            assert await save_result(run.store, out, found) == found
            [(run_id, _, stored)] = await run.store.blocking(Checkpoint.last_runs, 1)
            assert stored is not None
            assert json.loads(stored) == json.loads((out / "summary.json").read_text())
            return str(run_id)

    run_id = asyncio.run(night())
    assert json.loads((out / "runs" / f"{run_id}.json").read_text())["done"] == 1


def test_a_summary_that_cannot_be_written_is_said_in_the_checkpoint(tmp_path: Path) -> None:
    corpus, out = Corpus(tmp_path / "audio", count=3, seconds=1.0), tmp_path / "out"
    (tmp_path / "out").mkdir()
    (out / "summary.json").mkdir()

    async def night() -> RunResult:
        async with stations(corpus.folder, out) as run:
            await ended(run)
            found = await run.store.blocking(lambda checkpoint: result(run, checkpoint))
            last = await save_result(run.store, out, found)
            [(_, _, stored)] = await run.store.blocking(Checkpoint.last_runs, 1)
            assert stored is not None
            assert json.loads(stored)["exit"] == 1
            return last

    last = asyncio.run(night())
    assert isinstance(last.error, OutputError)
    assert (last.figures.exit, last.figures.stopped_by) == (1, str(last.error))


def test_a_failure_that_passes_is_counted_as_one(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=1, seconds=1.0)

    async def night() -> Figures:
        async with stations(corpus.folder, tmp_path / "out") as run:
            [request] = await run.requests()
            job = Job(request=request, requests=1)
            await run.recorder.sending(job, datetime.now(UTC))
            run.recorder.sent(job, datetime.now(UTC), 0.1, ServerFault("broke", billed="maybe"))
            run.recorder.settled(job, ServerFault("broke", billed="maybe"))
            await run.stored()
            return (await run.store.blocking(lambda checkpoint: result(run, checkpoint))).figures

    found = asyncio.run(night())
    assert (found.credits, found.credits_maybe_billed, found.failed) == (3.0, 3.0, 1)
