"""Recordings with audio that was forgotten under another id: they are not sent, and their rows do not stay.

Writes forgotten.jsonl at the end of the run, by which the next one does not look at them until they change.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.checkpoint import Checkpoint, Selected, Store
from pipeline.errors import CheckpointError
from pipeline.report.logs import TOLD
from pipeline.run.outcomes import Outcomes
from pipeline.run.removal import Removal
from pipeline.sink import FolderStore
from pipeline.sink.forgotten import Forgotten

log = logging.getLogger(__name__)


class Withheld:
    """Those of one run."""

    def __init__(self, store: Store, forgotten: Forgotten, outcomes: Outcomes) -> None:
        self._store = store
        self._forgotten = forgotten
        self._outcomes = outcomes
        self._count = 0
        self._copies: list[tuple[str, str, str | None]] = []

    def has(self, audio_hash: str) -> bool:
        """Whether audio was forgotten."""
        return self._forgotten.has_audio(audio_hash)

    async def leave_out(self, selected: Selected) -> None:
        """The recording of a row has such audio."""
        self._count += 1
        self._outcomes.left_out(selected)
        version = await self._store.blocking(Checkpoint.drop_withheld, selected.n)
        if version is not None:
            self._copies.append((selected.utterance.id, selected.utterance.audio, version))

    async def note(self, out: Path) -> None:
        """At the end of the run: says it, and has later runs leave these recordings out while they are as they are."""
        if self._count:
            have = "recording has" if self._count == 1 else "recordings have"
            log.info("%s", f"{self._count:,} {have} audio that was forgotten, and nothing was sent", extra=TOLD)
        if self._copies:
            await self._store.blocking(self._note, out)

    def _note(self, checkpoint: Checkpoint, out: Path) -> None:
        removal = Removal(out, checkpoint)
        forgotten = removal.forgotten.add_copies(FolderStore(out), self._copies)
        try:
            removal.compact(forgotten)
        except CheckpointError as error:  # the next run does it
            log.warning("%s", error)
