"""Whatever the service does: the run ends, in time and with its status; no traceback, no key, no credit too many, and
each answer that counts was given to its very recording. `python -m benchmarks hostile` does it for long."""

from __future__ import annotations

from pathlib import Path

from tests.forked import forked
from tests.hostile.night import make_corpus, night

SEEDS = range(12)


def test_whatever_the_service_does_the_promises_hold(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path)
    with forked() as batch:
        broken = {n: found for n in SEEDS if (found := night(batch, corpus, tmp_path / "out", n).problems)}
    assert not broken
