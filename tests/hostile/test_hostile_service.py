"""Whatever the service does: the run ends, in time and with its status; no traceback, no key, no credit too many, and
each answer that counts was given to its very recording. `python -m benchmarks hostile` does it for long."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.night import nights


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 16), marks=pytest.mark.slow)], ids=["few", "more"])
def test_whatever_the_service_does_the_promises_hold(tmp_path: Path, seeds: range) -> None:
    assert not {night.seed: night.problems for night in nights(tmp_path, seeds) if night.problems}
