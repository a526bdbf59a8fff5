"""The asynchronous interface of a run to its checkpoint.

Methods run in the checkpoint's thread, and again while the checkpoint cannot be used for now; see `journal`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

from pipeline.checkpoint.checkpoint import Checkpoint
from pipeline.checkpoint.codec import decode_transcript
from pipeline.checkpoint.failing import KnownFailure
from pipeline.checkpoint.identity import Identity
from pipeline.checkpoint.journal import Journal
from pipeline.checkpoint.lookup import Placed
from pipeline.checkpoint.patience import Patience
from pipeline.checkpoint.replaced import Stored
from pipeline.checkpoint.scan import Repeated, ScannedRow, Scope
from pipeline.checkpoint.sqlite_errors import translated
from pipeline.model import Transcript

P = ParamSpec("P")
T = TypeVar("T")


def _verb(method: Callable[Concatenate[Checkpoint, P], T]) -> Callable[Concatenate[Store, P], Awaitable[T]]:
    """A method of the checkpoint as an asynchronous one of the store."""

    @wraps(method)
    async def verb(store: Store, /, *args: P.args, **kwargs: P.kwargs) -> T:
        # by name, because tests patch the methods
        return await store.call(getattr(store.checkpoint, method.__name__), *args, **kwargs)

    return verb


class Store(Journal):
    """The store of one run."""

    _removed_settings: Collection[str] | None = None

    @classmethod
    @contextmanager
    def open(cls, path: Path, patience: Patience, check: Callable[[], None] = lambda: None) -> Iterator[Self]:
        """Opens the checkpoint at `path` for the run that owns it, and waits while it cannot be used for now."""
        with patience.call(Checkpoint, path) as checkpoint:
            store = cls(checkpoint, patience, check)
            try:
                yield store
            finally:
                store.release()

    knows_rows = _verb(Checkpoint.knows_rows)
    name_ids = _verb(Checkpoint.name_ids)
    merge = _verb(Checkpoint.merge)
    next_rows = _verb(Checkpoint.next_rows)
    rows_left = _verb(Checkpoint.rows_left)
    sample = _verb(Checkpoint.sample)
    expected_s = _verb(Checkpoint.expected_s)
    holds_answers = _verb(Checkpoint.holds_answers)
    answered_keys = _verb(Checkpoint.answered_keys)
    answered_clips = _verb(Checkpoint.answered_clips)
    end_open_attempts = _verb(Checkpoint.end_open_attempts)
    trim_replaced = _verb(Checkpoint.trim_replaced)
    fact = _verb(Checkpoint.fact)
    set_fact = _verb(Checkpoint.set_fact)
    save_run = _verb(Checkpoint.save_run)
    parts = _verb(Checkpoint.parts)
    has_moved = _verb(Checkpoint.has_moved)
    pending_results = _verb(Checkpoint.pending_results)
    results_published = _verb(Checkpoint.results_published)
    pending_attempts = _verb(Checkpoint.pending_attempts)
    attempts = _verb(Checkpoint.attempts)
    attempts_published = _verb(Checkpoint.attempts_published)

    async def scan(self, rows: Iterable[ScannedRow], *manifests: str, scope: Scope) -> list[Repeated]:
        """See `Checkpoint.scan`; not repeated, because manifests are read once."""
        return await self.call_once(self.checkpoint.scan, rows, *manifests, scope=scope)

    async def blocking(self, function: Callable[Concatenate[Checkpoint, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """Calls a function that can be repeated with the checkpoint, in its thread."""
        return await self.call(function, self.checkpoint, *args, **kw)

    async def blocking_unchecked(
        self, function: Callable[Concatenate[Checkpoint, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        """The same without a second try, also where the output folder was removed."""
        return await self.call_unchecked(function, self.checkpoint, *args, **kw)

    async def check_output(self) -> None:
        """Raises what `check` raises."""
        await self.call_once(lambda: None)

    async def transcripts_of(
        self, identities: Sequence[Identity]
    ) -> tuple[dict[Identity, Transcript], dict[Identity, Stored]]:
        """The transcripts of these identities, of any utterance: those not committed yet, and where the others are
        stored."""
        pending = self.pending_transcripts(identities)
        unknown = [identity for identity in identities if identity not in pending]
        return pending, await self.call(self.checkpoint.stored_transcripts, unknown) if unknown else {}

    async def failures_of(self, identities: Sequence[Identity]) -> dict[Identity, tuple[KnownFailure, bool]]:
        """The known failures of these identities, also of this run, and whether they prevent this run from sending the
        audio unless it is asked for."""
        pending = self.pending_failures(identities)
        known, run = await self.call(self.checkpoint.known_failures, identities)
        return {identity: (one, one.prevents(run)) for identity, one in known.items()} | {
            identity: (one, True) for identity, one in pending.items()
        }

    async def renamed(
        self, new: Mapping[int, Sequence[Identity]], after: Mapping[Identity, int]
    ) -> dict[int, list[tuple[Identity, Placed]]]:
        """See `Checkpoint.renamed`."""
        if self._removed_settings is None:  # to query all settings with the same result would take long
            self._removed_settings = await self.call(self.checkpoint.settings_of_removed)
        settings = self._removed_settings
        asked = {n: [one for one in identities if one.config_hash in settings] for n, identities in new.items()}
        if not any(asked.values()):  # as in every first run
            return {}
        return await self.call(self.checkpoint.renamed, asked, after)

    async def new_results(self, limit: int, most_bytes: int) -> list[tuple[int, Transcript]]:
        """Transcripts without a published row, with their numbers: at most `limit`, and up to `most_bytes`."""
        found = await self.call(self.checkpoint.new_results, limit, most_bytes)

        def decoded() -> list[tuple[int, Transcript]]:
            with translated(self.checkpoint.path):
                return [(n, decode_transcript(row)) for n, row in found]

        return await asyncio.to_thread(decoded)
