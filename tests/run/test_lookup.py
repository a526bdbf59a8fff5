"""Lookup: what needs a request, and what has its outcome without one."""

from __future__ import annotations

import asyncio
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import AudioRefused, Stopped
from pipeline.pool import Job
from tests.batch import Corpus, write_wav
from tests.run.stations import Stations, answer, stations


async def sent(run: Stations, text: str | None = "hello world") -> list[str]:
    """Lets everything selected through the stations as a pool would; the ids for which a request was made. Without
    `text` the service refuses each."""
    ids = []
    for request in await run.requests():
        ids.append(request.id)
        job = Job(request=request, requests=1)
        await run.recorder.sending(job, datetime.now(UTC))
        ended = AudioRefused("no", http_status=500, code=1008) if text is None else answer(text)
        run.recorder.sent(job, datetime.now(UTC), 0.1, ended)
        run.recorder.settled(job, ended)
    return sorted(ids)


def test_what_cannot_be_read_fails_and_the_others_are_sent(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=2, seconds=0.1)
    (corpus.folder / "broken.wav").write_bytes(b"no audio")

    async def night() -> None:
        async with stations(corpus.folder, tmp_path / "out") as run:
            assert await sent(run) == sorted(corpus.texts)
            assert await run.stored() == (2, 1, 0)
            assert [*(await run.failures())] == ["broken.wav"]

    asyncio.run(night())


def test_a_file_that_was_only_touched_keeps_its_transcript(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=1, seconds=0.1)
    out = tmp_path / "out"

    async def night() -> tuple[list[str], int]:
        async with stations(corpus.folder, out) as run:
            ids = await sent(run)
            assert await run.stored() == (1, 0, 0)
            return ids, run.outcomes.reused

    assert asyncio.run(night()) == (["00000.wav"], 0)
    (corpus.folder / "00000.wav").touch()
    assert asyncio.run(night()) == ([], 1)


def test_a_copy_gets_the_transcript_of_the_same_audio_in_the_same_run_and_in_a_later_one(tmp_path: Path) -> None:
    corpus, out = Corpus(tmp_path / "audio", count=1, seconds=0.1), tmp_path / "out"
    shutil.copy(corpus.folder / "00000.wav", corpus.folder / "copy.wav")

    async def night() -> list[str]:
        async with stations(corpus.folder, out) as run:
            ids = await sent(run)
            done, failed, left = await run.stored()
            assert (failed, left) == (0, 0)
            assert run.outcomes.transcribed + run.outcomes.reused == (2 if ids else 1)
            assert done == len([*corpus.folder.iterdir()])
            return ids

    assert len(asyncio.run(night())) == 1
    shutil.copy(corpus.folder / "00000.wav", corpus.folder / "later.wav")
    assert asyncio.run(night()) == []


def test_audio_that_was_refused_is_not_sent_under_another_name_unless_it_is_asked_for(tmp_path: Path) -> None:
    corpus, out = Corpus(tmp_path / "audio", count=1, seconds=0.1), tmp_path / "out"

    async def night(*only: str, refuses: bool = True) -> tuple[list[str], tuple[int, int, int]]:
        async with stations(corpus.folder, out, only=only) as run:
            return await sent(run, None if refuses else "at last"), await run.stored()

    assert asyncio.run(night()) == (["00000.wav"], (0, 1, 0))
    shutil.copy(corpus.folder / "00000.wav", corpus.folder / "copy.wav")
    assert asyncio.run(night()) == ([], (0, 2, 0))
    ids, stored = asyncio.run(night("failed", refuses=False))
    assert len(ids) == 1, "one request for both"
    assert stored == (2, 0, 0)


def test_a_beginning_of_what_was_transcribed_is_a_copy_that_broke_off(tmp_path: Path) -> None:
    corpus, out = Corpus(tmp_path / "audio", count=1, seconds=0.5), tmp_path / "out"

    async def night() -> list[str]:
        async with stations(corpus.folder, out) as run:
            ids = await sent(run)
            assert [failure.error for failure in (await run.failures()).values()] == ([] if ids else ["AudioTruncated"])
            return ids

    assert len(asyncio.run(night())) == 1
    path = corpus.folder / "00000.wav"
    path.write_bytes(path.read_bytes()[:3000])
    assert asyncio.run(night()) == []


def test_nothing_is_looked_at_once_the_run_was_stopped(tmp_path: Path) -> None:
    corpus, stopped = Corpus(tmp_path / "audio", count=2, seconds=0.1), threading.Event()
    stopped.set()

    async def night() -> None:
        async with stations(corpus.folder, tmp_path / "out") as run:
            batch = await run.selection().next()
            with pytest.raises(Stopped):
                await run.lookup.sendable(batch, {one.utterance.audio: one.utterance.audio for one in batch}, stopped)
            assert await run.stored() == (0, 0, 2)

    asyncio.run(night())


def test_a_renamed_recording_takes_its_row_over(tmp_path: Path) -> None:
    folder, out = tmp_path / "audio", tmp_path / "out"
    write_wav(folder / "old.wav", seed=1, seconds=0.1)

    async def night() -> tuple[list[str], int]:
        async with stations(folder, out) as run:
            ids = await sent(run)
            assert await run.stored() == (1, 0, 0)
            return ids, run.outcomes.moved

    assert asyncio.run(night()) == (["old.wav"], 0)
    (folder / "old.wav").rename(folder / "new.wav")
    assert asyncio.run(night()) == ([], 1)
