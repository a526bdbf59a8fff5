"""Refusals are kept beside memory, and no run ends because there is no room for them."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from pipeline.checkpoint import Identity
from pipeline.errors import AudioRefused
from pipeline.run.duplicates import Refusals
from pipeline.run.given_up import GivenUp


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond 4 MB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_what_finds_no_room_is_forgotten() -> None:
    refusals, forgotten, known = Refusals(), 0, 0
    for n in range(6_000):
        identity = Identity(audio_hash=f"{n * 7_919 % 6_000:064x}", config_hash="c")
        refusals.keep(identity, GivenUp(error=AudioRefused("x" * 1_900, http_status=500), was_sent=True))
        found = refusals.of(identity)
        known += found is not None and isinstance(found.error, AudioRefused)
        forgotten += found is None
    refusals.close()
    assert forgotten > 0, "there was room for all"
    assert known > 3_000
