"""Recorder, settlement and ledger: what the pool reports becomes rows of the checkpoint."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.checkpoint import Checkpoint
from pipeline.errors import AttemptError, AudioUnreadable, ServerFault
from pipeline.exchange import Request
from pipeline.pool import Job, OverBudget
from tests.batch import Corpus, write_wav
from tests.run.stations import Stations, answer, stations


async def prepared(run: Stations) -> list[Job]:
    """What would be sent, each as a job whose one request has started."""
    jobs = [Job(request=request) for request in await run.requests()]
    for job in jobs:
        job.requests += 1
        await run.recorder.sending(job, datetime.now(UTC))
    return jobs


def failed(run: Stations, job: Job, error: AttemptError) -> None:
    run.recorder.sent(job, datetime.now(UTC), 0.1, error)
    run.recorder.settled(job, error)


def answered(run: Stations, job: Job, text: str = "hello world") -> None:
    run.recorder.sent(job, datetime.now(UTC), 0.1, answer(text))
    run.recorder.settled(job, answer(text))


def test_a_recording_of_several_clips_is_done_with_the_last_answer_and_each_is_kept_until_then(tmp_path: Path) -> None:
    folder, out = tmp_path / "audio", tmp_path / "out"
    write_wav(folder / "long.wav", seed=1, seconds=12.0)
    audio = {"max_clip_s": 5, "decoders": 1}

    async def first_night() -> list[Request]:
        async with stations(folder, out, audio=audio) as run:
            jobs = await prepared(run)
            for job in jobs[:-1]:
                answered(run, job)
            assert await run.stored() == (0, 0, 1)
            return [job.request for job in jobs]

    async def second_night() -> list[Request]:
        async with stations(folder, out, audio=audio) as run:
            [job] = await prepared(run)
            answered(run, job)
            assert await run.stored() == (1, 0, 0)
            assert run.outcomes.audio_s == pytest.approx(job.request.duration_s)
            return [job.request]

    requests = asyncio.run(first_night())
    assert len(requests) > 2
    [again] = asyncio.run(second_night())
    assert again.span_bytes == requests[-1].span_bytes, "the other clips were paid for already"


def test_the_settings_are_noted_as_answered_with_the_first_answer(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=2, seconds=0.1)

    async def night() -> list[int | None]:
        async with stations(corpus.folder, tmp_path / "out") as run:
            fact, noted = run.context.request.answered_fact, []
            first, second = await prepared(run)
            failed(run, first, ServerFault("no", http_status=503, billed="maybe"))
            for job in (None, second):
                if job is not None:
                    answered(run, job)
                await run.stored()
                noted.append(await run.store.fact(fact, int))
            return noted

    assert asyncio.run(night()) == [None, 1]


def test_duplicates_share_a_transcript_and_a_failure_of_the_service_but_not_of_a_file(tmp_path: Path) -> None:
    async def stored_after(error: AttemptError | None, name: str) -> tuple[tuple[int, int, int], bool]:
        folder = tmp_path / name
        write_wav(folder / "a.wav", seed=1, seconds=0.1)
        shutil.copy(folder / "a.wav", folder / "b.wav")
        async with stations(folder, tmp_path / f"{name}-out") as run:
            [job] = await prepared(run)
            if error is None:
                answered(run, job)
            else:
                failed(run, job, error)
            return await run.stored(), run.duplicates.has_more

    assert asyncio.run(stored_after(None, "answered")) == ((2, 0, 0), False)
    assert asyncio.run(stored_after(ServerFault("no", billed="maybe"), "failed")) == ((0, 2, 0), False)
    assert asyncio.run(stored_after(AudioUnreadable("gone bad"), "file")) == ((0, 1, 1), True)


def test_what_does_not_fit_the_budget_stays_as_it_was(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=1, seconds=1.0)

    async def night() -> None:
        async with stations(corpus.folder, tmp_path / "out", budget={"credits": 1}) as run:
            [request] = await run.requests()
            run.recorder.settled(Job(request=request), OverBudget(3.0))
            assert await run.stored() == (0, 0, 1)
            [reason] = run.budget.reasons()
            assert reason == "00000.wav needs 3 credits: more than the budget"

    asyncio.run(night())


def test_the_ledger_sums_what_was_and_what_may_have_been_billed(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3, seconds=1.0)

    async def night() -> tuple[int, float, float]:
        async with stations(corpus.folder, tmp_path / "out") as run:
            first, second, third = await prepared(run)
            answered(run, first)
            failed(run, second, ServerFault("no", http_status=500, billed="maybe"))
            failed(run, third, ServerFault("no", http_status=500))
            await run.stored()
            return run.ledger.requests, run.ledger.credits, run.ledger.credits_maybe

    assert asyncio.run(night()) == (3, 6.0, 3.0)


def test_requests_that_a_kill_cut_off_may_have_been_billed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus, out = Corpus(tmp_path / "audio", count=2, seconds=1.0), tmp_path / "out"

    async def killed() -> None:
        async with stations(corpus.folder, out) as run:
            await prepared(run)  # and nothing is ever heard of them

    async def next_run() -> float | None:
        async with stations(corpus.folder, out) as run:
            await run.ledger.end_open_attempts()
            return (await run.store.blocking(Checkpoint.totals)).credits_maybe

    asyncio.run(killed())
    assert asyncio.run(next_run()) == 6.0
    assert "2 requests were in flight when the last run was ended; they may have been billed (6 credits)" in caplog.text


def test_with_a_budget_a_request_is_in_the_ledger_before_it_is_sent(tmp_path: Path) -> None:
    corpus, out = Corpus(tmp_path / "audio", count=1, seconds=1.0), tmp_path / "out"

    async def night() -> float:
        async with stations(corpus.folder, out, budget={"credits": 10}) as run:
            await prepared(run)
            # asked without waiting for anything more to be committed
            return (await run.store.blocking(Checkpoint.totals)).credits

    assert asyncio.run(night()) == 3.0
