"""What of a source is repeated, and how long an outage of it is waited out."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.errors import SourceFault, SourceOut, SourceUnreachable, Stopped
from pipeline.source import FileInfo, Listed, Sources
from pipeline.source.addresses import place_of
from pipeline.source.outages import Attempts, Outages
from pipeline.source.protocol import Content
from pipeline.source.rules import Rules

QUICK = Rules(probe_s=0.005, outage_max_s=0.1, base_s=0.001, max_s=0.001, max_attempts=3)


def test_once_an_outage_lasted_too_long_nobody_waits_any_longer() -> None:
    outages = Outages(QUICK, threading.Event())

    def ask(number: int) -> None:
        attempts = Attempts(outages, "https://a.example", f"https://a.example/{number}.wav")
        while True:
            attempts.begin()
            attempts.failed(SourceUnreachable("it cannot be reached"))

    with ThreadPoolExecutor(20) as threads:
        ends = [one.exception(5) for one in [threads.submit(ask, number) for number in range(20)]]
    assert all(isinstance(one, SourceOut) for one in ends)
    with pytest.raises(SourceOut):
        ask(20)


def test_a_web_host_that_is_out_is_not_waited_for_to_describe_recordings_and_a_bucket_is() -> None:
    rules = Rules(probe_s=0.005, outage_max_s=60, base_s=0.001, max_s=0.001, max_attempts=3)
    asked = Counter[str]()

    def ask(outages: Outages, address: str) -> None:
        attempts = Attempts(outages, place_of(address), address, only_describes=True)
        while True:
            attempts.begin()
            asked[address] += 1
            attempts.failed(SourceUnreachable("it cannot be reached"))

    outages = Outages(rules, stopped := threading.Event())
    for number in range(20):
        with pytest.raises(SourceUnreachable):
            ask(outages, f"https://a.example/{number}.wav")
    assert asked["https://a.example/0.wav"] == 3
    assert asked["https://a.example/19.wav"] == 1  # several have failed: it is asked once for each
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(ask, outages, "s3://b/a.wav")
        while asked["s3://b/a.wav"] < 6:
            assert not waiting.done()
        stopped.set()
        assert isinstance(waiting.exception(5), Stopped)


class Failing:
    """A store that hands nothing out, and says what it has while it `answers`."""

    def __init__(self) -> None:
        self.answers = True

    def stat(self, address: str) -> FileInfo:
        if not self.answers:
            raise SourceFault("HTTP 500")
        return FileInfo("1", 1, 1.0)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        raise NotImplementedError

    def get(self, address: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> Content:
        raise SourceFault("HTTP 500")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("scheme", ["s3", "https"])
def test_recordings_that_fail_are_no_outage_while_others_are_there(scheme: str) -> None:
    sources, store = Sources(QUICK), Failing()
    sources._stores[scheme] = store

    def ends() -> set[type[BaseException]]:
        def fetch(number: int) -> None:
            with io.FileIO("/dev/null", "w") as file:
                sources.fetch(f"{scheme}://a/{number}.wav", file, 100)

        with ThreadPoolExecutor(20) as threads:
            found = [one.exception(5) for one in [threads.submit(fetch, number) for number in range(20)]]
        return {type(one) for one in found if one is not None}

    sources.stat(f"{scheme}://a/good.wav")
    assert ends() == {SourceFault}
    store.answers = False
    assert SourceOut in ends()
