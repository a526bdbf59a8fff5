"""Whose transcripts an output holds: the service's, or those of one local recognizer. Another one's never go into it.

Reads and writes one fact of the checkpoint. An output of an older version is asked by one of its transcripts.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.checkpoint import Checkpoint
from pipeline.config import Settings
from pipeline.errors import ConfigError
from pipeline.gradium.request import is_loopback
from pipeline.sink import Sink

OWNER = "owner"
SERVICE = "gradium"
LOCAL = "local:"
LOCAL_MODEL = "local-"
"""What the local server's models are called; the rest is the recognizer."""


def owner_of(settings: Settings) -> str | None:
    """Who will answer; None for an address on this machine, where only the endpoint itself can say."""
    if settings.service.url == "local":
        return f"{LOCAL}{settings.local.recognizer}"
    return None if is_loopback(settings.service.url) else SERVICE


def owner_by_recognizer(recognizer: str | None) -> str:
    """Who answers at an address on this machine, by what its account page says."""
    return SERVICE if recognizer is None else f"{LOCAL}{recognizer}"


def claim(checkpoint: Checkpoint, out: Path, owner: str) -> None:
    """Notes the owner of a new output. Raises ConfigError where the output has another one."""
    before = recorded_owner(checkpoint, out)
    if before is None:
        checkpoint.set_fact(OWNER, owner)
    else:
        refuse_another(before, out, owner)
        if checkpoint.fact(OWNER) is None:
            checkpoint.set_fact(OWNER, before)


def recorded_owner(checkpoint: Checkpoint, out: Path) -> str | None:
    """The owner of an output; None while it holds nothing of anybody."""
    noted = checkpoint.fact(OWNER)
    if noted is not None:
        return str(noted)
    placed = checkpoint.any_transcript()
    if placed is None:
        return None
    read = placed.transcript or Sink(out, ("parquet", "jsonl")).read([placed.id], placed.part).get(placed.id)
    model = (read.model if read is not None else None) or ""
    return owner_by_recognizer(model.removeprefix(LOCAL_MODEL) if model.startswith(LOCAL_MODEL) else None)


def refuse_another(before: str | None, out: Path, owner: str) -> None:
    """Raises ConfigError where the output is not `owner`'s."""
    if before not in (None, owner):
        raise ConfigError(
            f"{out} holds the transcripts of {_told(str(before))}; {_told(owner)} would mix its own into them: "
            "choose another folder with --out, or the configuration that this output was made with"
        )


def _told(owner: str) -> str:
    return "the Gradium service" if owner == SERVICE else f"the local recognizer {owner.removeprefix(LOCAL)!r}"
