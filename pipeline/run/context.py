"""The options of one run, and what its stations share. Frozen; decides nothing."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec

from pipeline.checkpoint import Checkpoint
from pipeline.config import Settings
from pipeline.gradium.request import RequestSettings, request_settings
from pipeline.report.progress import Mode
from pipeline.run.lengths import KnownLengths
from pipeline.run.settings_hash import SettingsHash


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one run, beside its settings."""

    manifests: tuple[str, ...]
    """Folders, recordings, globs, files of rows, `-`."""
    out: Path
    shared_out: bool = False
    """The user chose `out`, so that it may serve several manifests."""
    only: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    """Only these rows, of those that `only` selects; none: all of them."""
    limit: int | None = None
    max_duration_s: float | None = None
    """From the start; the engine watches the clock and stops the run."""
    skip_bad_rows: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    """Patterns for the files of folders and globs."""
    strict: bool = False
    """Warnings of the manifests are errors."""
    progress: Mode = "auto"

    @property
    def resends_failed(self) -> bool:
        """Whether audio that failed before is sent again at once, also where its next try is not due yet."""
        return not {"failed", "suspect", "all"}.isdisjoint(self.only)


class RunContext(msgspec.Struct, frozen=True, kw_only=True):
    """One run: its name, its options and settings, and what follows from them."""

    run_id: str
    started_at: datetime
    options: RunOptions
    settings: Settings
    request: RequestSettings
    hashes: SettingsHash
    lengths: KnownLengths
    """How long clips may be; the settings are in accord with it."""

    @classmethod
    def of(cls, options: RunOptions, settings: Settings) -> Self:
        """A run that starts now. Raises ConfigError for request settings that the service would not take."""
        request, now = request_settings(settings.service), datetime.now(UTC)
        return cls(
            # in the order of time also within a second, and unlike that of a run into another output
            run_id=f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 256:03x}{secrets.token_hex(2)[:3]}",
            started_at=now,
            options=options,
            settings=settings,
            request=request,
            hashes=SettingsHash(settings, request),
            lengths=KnownLengths(max_clip_s=settings.audio.max_clip_s),
        )

    def with_lengths(self, checkpoint: Checkpoint) -> Self:
        """The same run, with what earlier ones learned of the service's longest audio."""
        known = KnownLengths.of(checkpoint, self.settings.audio.max_clip_s, self.started_at)
        return msgspec.structs.replace(self, settings=known.applied(self.settings), lengths=known)
