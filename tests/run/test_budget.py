"""Once enough was read for nothing, only what may fit the budget is looked at; a limit's places go to others."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pipeline.audio.probe import Recording, read_recording
from pipeline.config import Settings
from pipeline.exchange import Endpoint
from pipeline.gradium.service import GradiumService
from pipeline.run import budget as run_budget
from pipeline.run import lookup
from pipeline.run.budget import RunBudget
from pipeline.run.context import RunOptions
from pipeline.run.control import Control
from pipeline.run.reporting import RunResult
from pipeline.run.run import run
from tests.batch import Corpus
from tests.servers import RunningServer


def budget_of(budget: float | None, max_clip_s: float = 300.0, **price: float) -> RunBudget:
    return RunBudget(
        Settings.model_validate(
            {"budget": {"credits": budget or "none"}, "audio": {"max_clip_s": max_clip_s}, "price": price}
        )
    )


def test_whatever_fits_perhaps_is_looked_at_until_enough_was_read_for_nothing() -> None:
    budget = budget_of(30)
    budget.prepared(50, [100.0])  # twice what was expected
    for _ in range(99):
        budget.did_not_fit(300, ["a"], audio_s=1)
    assert budget.longest_s == math.inf
    budget.did_not_fit(300, ["a"], audio_s=1)
    assert budget.longest_s == pytest.approx(5)
    budget.prepared(10, [1.0])  # a tenth of what was expected
    assert budget.longest_s == pytest.approx(100)


def test_an_hour_that_was_read_for_nothing_is_enough() -> None:
    budget = budget_of(30)
    budget.prepared(3600, [300.0])
    budget.did_not_fit(900, ["a"], audio_s=3600)
    assert budget.longest_s == pytest.approx(30 / 3 * 300 / 300)


def test_of_a_long_recording_the_cheapest_request_decides() -> None:
    budget = budget_of(100, max_clip_s=30.0)
    budget.prepared(3600, [30.0, 15.0])
    budget.did_not_fit(3000, ["a"], audio_s=3600)
    assert budget.longest_s == math.inf, "a request of at most 30 s costs 90 credits"


def test_with_units_the_lengths_decide_what_may_fit_and_not_the_credits() -> None:
    budget = budget_of(100, unit_s=15, overhead_s=1.04)
    budget.prepared(10, [1.25])  # an eighth of what was expected, in the same unit
    budget.did_not_fit(300, ["a"], audio_s=3600)
    assert budget.longest_s == pytest.approx(8 * 28.96), "two units may be left of it"


def test_nothing_is_looked_at_where_less_than_a_unit_is_left() -> None:
    budget = budget_of(44, unit_s=15, overhead_s=1.04)
    budget.prepared(10, [5.0])
    budget.did_not_fit(45, ["a"], audio_s=3600)
    assert budget.longest_s < 0


def test_what_is_above_the_budget_is_told_with_the_least_and_the_most() -> None:
    budget = budget_of(30)
    budget.did_not_fit(20, ["a", "b", "c"])
    assert budget.above_sentence is None
    assert budget.any_would_fit
    budget.did_not_fit(30.0001, ["d"], was_sent=True)
    assert budget.above_sentence == "d needs 30.01 credits: more than the budget"
    budget.did_not_fit(1900, ["e", "f"])
    assert budget.above_sentence == "3 recordings need 30.01 to 1,900 credits each: more than the budget (d, e, f)"
    budget.did_not_fit(1900, ["g"])
    assert (budget.above_sentence or "").endswith(" (d, e, f and 1 more)")
    assert budget.unsent == 6


# -- whole runs -------------------------------------------------------------------------------------------------------


def night(corpus: Corpus, out: Path, server: RunningServer, budget: float, *, limit: int | None = None) -> RunResult:
    settings = Settings.model_validate({"service": {"url": server.url}, "budget": {"credits": budget}})
    options = RunOptions(manifests=(str(corpus.folder),), out=out, shared_out=True, progress="off", limit=limit)

    @asynccontextmanager
    async def endpoint(_: Settings) -> AsyncIterator[Endpoint]:
        yield Endpoint(url=server.url, key=server.key)

    async def whole() -> RunResult:
        return await asyncio.wait_for(run(options, settings, GradiumService(endpoint), Control()), 60)

    return asyncio.run(whole())


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the recordings that were read."""
    paths: list[str] = []

    def looking(path: str, stopped: threading.Event) -> Recording:
        paths.append(path)
        return read_recording(path, stopped)

    monkeypatch.setattr(lookup, "read_recording", looking)
    return paths


def test_a_budget_that_is_used_up_ends_the_run_without_reading_the_archive(
    tmp_path: Path, out: Path, server: RunningServer, looked_at: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_budget, "READ_UNSENT", 10)
    corpus = Corpus(tmp_path / "audio", count=800, seconds=0.4)
    result = night(corpus, out, server, 3.0)
    assert (result.figures.transcribed, result.figures.left, result.figures.exit) == (2, 798, 4)
    assert result.figures.stopped_by == "the budget of 3 credits"
    assert len(looked_at) < 400, "two, ten for nothing, and what was on its way meanwhile"


def test_what_fits_is_found_behind_many_that_do_not(
    tmp_path: Path, out: Path, server: RunningServer, looked_at: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_budget, "READ_UNSENT", 10)
    corpus = Corpus(tmp_path / "audio", count=800, seconds=2.0)
    for number in range(900, 905):
        corpus.add(number, seconds=0.2)
    result = night(corpus, out, server, 2.0)
    assert (result.figures.transcribed, result.figures.left) == (3, 802)
    assert len(looked_at) < 400
    assert (result.figures.stopped_by or "").startswith("the budget of 2 credits; at least ")
    assert (result.figures.stopped_by or "").endswith(" more)")
    assert " recordings need 6 credits each: more than the budget (" in (result.figures.stopped_by or "")


def test_the_places_of_what_is_passed_over_go_to_others_however_many_it_is(
    tmp_path: Path, out: Path, server: RunningServer
) -> None:
    corpus = Corpus(tmp_path / "audio", count=60, seconds=2.0)
    for number in range(100, 105):
        corpus.add(number, seconds=0.2)
    result = night(corpus, out, server, 5.0, limit=1)
    assert (result.figures.transcribed, result.figures.left) == (1, 64)
    sentence = "--limit 1; 60 recordings need 6 credits each: more than the budget ("
    assert (result.figures.stopped_by or "").startswith(sentence)
