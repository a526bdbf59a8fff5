"""Preparer: requests for what is selected, a few ahead of the pool, and nothing once the run was stopped."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from pipeline.audio.prepare import Preparation
from pipeline.errors import AudioUnreadable, OutputError
from pipeline.exchange import Request
from pipeline.run import prepare, select
from tests.batch import Corpus, write_wav
from tests.run.stations import Stations, stations


async def filled(run: Stations, stopped: threading.Event | None = None) -> list[str]:
    ids: list[str] = []

    async def put(request: Request) -> None:
        ids.append(request.id)

    await run.preparer.fill(put, run.selection(), stopped or threading.Event())
    return sorted(ids)


def test_it_puts_a_request_for_each_clip_with_what_its_row_asks_for(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", seed=1, seconds=0.1)
    (tmp_path / "m.csv").write_text("id,audio,language,keywords\n1,a.wav,fr,alpha beta\n")

    async def night() -> None:
        async with stations(tmp_path / "m.csv", tmp_path / "out") as run:
            [request] = await run.requests()
            assert (request.id, request.clip, request.language) == ("1", 0, "fr")
            assert request.keywords == ("alpha", "beta")
            assert (request.content_type, request.path) == ("audio/wav", str(tmp_path / "a.wav"))

    asyncio.run(night())


def test_nothing_is_prepared_once_the_run_was_stopped(tmp_path: Path) -> None:
    corpus, stopped = Corpus(tmp_path / "audio", count=2, seconds=0.1), threading.Event()
    stopped.set()

    async def night() -> None:
        async with stations(corpus.folder, tmp_path / "out") as run:
            assert await filled(run, stopped) == []
            assert await run.stored() == (0, 0, 2)

    asyncio.run(night())


def test_audio_that_cannot_be_prepared_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, real = Corpus(tmp_path / "audio", count=3, seconds=0.1), Preparation.prepare

    async def preparing(self: Preparation, utterance, found, answered=()):  # type: ignore[no-untyped-def]
        if utterance.id == "00001.wav":
            raise AudioUnreadable("it does not decode")
        return await real(self, utterance, found, answered)

    monkeypatch.setattr(Preparation, "prepare", preparing)

    async def night() -> None:
        async with stations(corpus.folder, tmp_path / "out") as run:
            assert await filled(run) == ["00000.wav", "00002.wav"]
            failures = await run.failures()
            assert {id_: failure.error for id_, failure in failures.items()} == {"00001.wav": "AudioUnreadable"}

    asyncio.run(night())


def test_what_ends_the_run_comes_out_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Corpus(tmp_path / "audio", count=3, seconds=0.1)

    async def full(*args: object) -> None:
        raise OutputError("the disk of the spool is full")

    monkeypatch.setattr(Preparation, "prepare", full)

    async def night() -> None:
        async with stations(corpus.folder, tmp_path / "out") as run:
            with pytest.raises(OutputError, match="the spool is full"):
                await filled(run)

    asyncio.run(night())


def test_a_full_queue_holds_the_preparers_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "HASHED_AT_ONCE", 1)
    monkeypatch.setattr(prepare, "SIDE_BY_SIDE", 2)
    corpus = Corpus(tmp_path / "audio", count=12, seconds=0.1)

    async def night() -> tuple[int, int]:
        async with stations(corpus.folder, tmp_path / "out") as run:
            offered: list[str] = []
            both, room = asyncio.Event(), asyncio.Event()

            async def put(request: Request) -> None:
                offered.append(request.id)
                if len(offered) == 2:
                    both.set()
                await room.wait()

            filling = asyncio.create_task(run.preparer.fill(put, run.selection(), threading.Event()))
            await both.wait()
            held = len(offered)
            room.set()
            await filling
            return held, len(offered)

    assert asyncio.run(night()) == (2, 12)
