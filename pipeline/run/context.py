"""What the stations of one run share: its name, its settings, and what is asked of it. Frozen; decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from pipeline.config import Settings
from pipeline.gradium.request import RequestSettings
from pipeline.run.settings_hash import SettingsHash

RESENDS = {"failed", "suspect", "all"}
"""Values of --only that ask for what has failed, or was answered, to be sent again."""


def resends_failed(only: Sequence[str]) -> bool:
    """Whether audio that has failed before is sent again at once, also where it is not due yet."""
    return not RESENDS.isdisjoint(only)


class RunContext(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    run_id: str
    started_at: datetime
    out: Path
    settings: Settings
    request: RequestSettings
    hashes: SettingsHash
    only: tuple[str, ...] = ()

    @property
    def doubts_refusals(self) -> bool:
        """Whether it is doubted that a run's first recordings are all at fault themselves: whoever asks for failed ones
        may have nothing but recordings that are refused."""
        return "failed" not in self.only
