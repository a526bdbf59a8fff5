"""Which recognizer an output's transcripts come from: the service, or one local recognizer. They are never mixed.

The name is stored in the checkpoint. For a URL on this machine the server is asked for it; for an output of an older
version it is taken from one transcript.
"""

from __future__ import annotations

import http.client
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.schema import OWNER
from pipeline.config import Settings
from pipeline.errors import BalanceUnknown, ConfigError, OutputError
from pipeline.exchange import Endpoint
from pipeline.gradium.wire import KEY_HEADER, Credits
from pipeline.profile import GRADIUM
from pipeline.sink import FolderStore, Sink
from pipeline.texts import presentable

PATIENCE_S = 2.0
MAX_BODY_BYTES = 64 << 10
MAX_NAME = 200
"""Longest name of a recognizer that is kept."""
SERVICE = GRADIUM.name
LOCAL = "local:"
LOCAL_MODEL = "local-"
"""What the local server's models are called; the rest is the recognizer."""


def owner_of(settings: Settings) -> str | None:
    """Who will answer; None for an address on this machine, where only the endpoint itself can say."""
    if settings.service.is_embedded:
        return f"{LOCAL}{settings.local.recognizer}"
    return None if GRADIUM.is_this_machine(settings.service.url) else SERVICE


def owner_by_recognizer(recognizer: str | None) -> str:
    """The owner's name, by the `recognizer` field of the balance answer, which only a local server sends."""
    return SERVICE if recognizer is None else f"{LOCAL}{presentable(recognizer, limit=MAX_NAME)}"


def owner_at(endpoint: Endpoint) -> str | None:
    """Who answers at an address on this machine; None where nothing answers. Blocks, for PATIENCE_S at most.

    Called before the manifest is compared with the output. Uses http.client, because most runs have nothing to send
    and never load the HTTP client of the run.
    """
    parts = urlsplit(endpoint.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", GRADIUM.balance_path, headers={KEY_HEADER: endpoint.key})
        response = connection.getresponse()
        body = response.read(MAX_BODY_BYTES) if response.status == 200 else b""
        return owner_by_recognizer(msgspec.json.decode(body, type=Credits).recognizer)
    except (OSError, http.client.HTTPException, msgspec.DecodeError, ValueError, RecursionError):
        return None
    finally:
        connection.close()


def claim(checkpoint: Checkpoint, out: Path, owner: str) -> None:
    """Records `owner` if the output has no transcripts yet. Raises ConfigError if those it has are another's."""
    before = recorded_owner(checkpoint, out) if checkpoint.holds_answers() else None
    refuse_another(before, out, owner)
    if checkpoint.fact(OWNER, str) != owner:
        checkpoint.set_fact(OWNER, owner)


def recorded_owner(checkpoint: Checkpoint, out: Path) -> str | None:
    """The owner of an output; None while it holds no answers. Raises OutputError where its transcript is missing."""
    noted = checkpoint.fact(OWNER, str)
    if noted is not None:
        return str(noted)
    placed = checkpoint.any_transcript()
    if placed is None:
        return None
    sink = Sink(FolderStore(out))
    read = placed.transcript or next(sink.rows(placed.part or 0, {placed.id}.intersection), None)
    if read is None:
        raise OutputError(
            f"the transcript of {placed.id!r} is no longer in {out}; restore it, or run gradium-batch rebuild {out}"
        )
    model = read.model or ""
    return owner_by_recognizer(model.removeprefix(LOCAL_MODEL) if model.startswith(LOCAL_MODEL) else None)


def refuse_another(before: str | None, out: Path, owner: str) -> None:
    """Raises ConfigError where the output is not `owner`'s."""
    if before not in (None, owner):
        raise ConfigError(
            f"{out} belongs to {_named(str(before))}, and {_named(owner)} would mix its own transcripts into it: "
            "choose another folder with --out, or the configuration that this output was made with"
        )


def refuse_unknown(checkpoint: Checkpoint, out: Path, url: str, why: str) -> None:
    """Raises BalanceUnknown for an output of a local recognizer: `why` it is not known who answers at `url`."""
    before = recorded_owner(checkpoint, out) if checkpoint.holds_answers() else None
    if before not in (None, SERVICE):
        raise BalanceUnknown(
            f"{out} belongs to {_named(str(before))}, and the balance, which tells who answers at {url}, is not known "
            f"({why}); nothing was sent: run the same command again when it answers"
        )


def _named(owner: str) -> str:
    return "the Gradium service" if owner == SERVICE else f"the local recognizer {owner.removeprefix(LOCAL)!r}"
