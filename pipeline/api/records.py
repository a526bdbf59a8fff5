"""What a run tells a program: how far it is, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from pipeline.exits import ExitStatus
from pipeline.report.figures import Figures
from pipeline.report.progress import Progress as Counts
from pipeline.run.check import Forecast
from pipeline.run.forget import Forgetting
from pipeline.run.prune import Pruned
from pipeline.run.status import Status
from pipeline.texts import json_line

T = TypeVar("T", Figures, Forecast, Status, Pruned, Forgetting)
_DECODE: dict[type, Any] = {
    Figures: msgspec.json.Decoder(Figures).decode,
    Forecast: msgspec.json.Decoder(Forecast).decode,
    Status: msgspec.json.Decoder(Status).decode,
    Pruned: msgspec.json.Decoder(Pruned).decode,
    Forgetting: msgspec.json.Decoder(Forgetting).decode,
}


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is: what `on_progress` is called with."""

    ok: int
    """Utterances that have got their transcript, and …"""
    failed: int
    """… that were given up."""
    retries: int
    """Requests that were sent once more."""
    audio_s: float
    """Seconds of audio that are done, …"""
    total_s: float
    """… and of all that the run takes, which is estimated until recordings were opened."""
    rtfx: float
    """Seconds of audio per second."""

    @classmethod
    def of(cls, counts: Counts) -> Self:
        """The counts at this moment."""
        return cls(
            ok=counts.ok,
            failed=counts.failed,
            retries=counts.retries,
            audio_s=round(counts.audio_s, 3),
            total_s=round(counts.total_s, 3),
            rtfx=round(counts.rtfx, 3),
        )


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended, in figures: those of the command's last line and more."""

    out: Path
    """The output folder."""
    exit: ExitStatus
    """The command's exit status: 0 all done, 3 some failed, 4 stopped at a limit; of an error that ended it another."""
    stopped_by: str | None
    """Why the run ended before its work did, for instance `--limit 10`; None when it did not."""
    done: int
    """Utterances of the manifests that have an up-to-date transcript, …"""
    failed: int
    """… that have none because of an error (OUT/errors.parquet says which), …"""
    left: int
    """… and that are not done yet."""
    transcribed: int
    """Utterances that got their transcript in this run."""
    requests: int
    """Requests that this run sent, retries included."""
    audio_s: float
    """Seconds of audio transcribed in this run."""
    credits: float
    """Spent by this run, counting what may have been billed."""
    wall_s: float
    """Seconds that the run took."""
    rtfx: float
    """Seconds of audio per second of the run."""
    figures: Figures
    """All figures, as in OUT/summary.json."""

    @classmethod
    def of(cls, figures: Figures) -> Self:
        """The result of a run with these figures."""
        return cls(
            out=Path(figures.out),
            exit=ExitStatus(figures.exit),
            stopped_by=figures.stopped_by,
            done=figures.done,
            failed=figures.failed,
            left=figures.left,
            transcribed=figures.transcribed,
            requests=figures.requests,
            audio_s=figures.audio_s,
            credits=figures.credits,
            wall_s=figures.wall_s,
            rtfx=figures.rtfx,
            figures=figures,
        )


def without_secrets(record: T) -> T:
    """The record as the command writes it: its texts may quote what came from outside."""
    found: T = _DECODE[type(record)](json_line(record))
    return found
