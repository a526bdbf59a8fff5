"""What there is to do: the manifest's rows with their identity, ready to be compared with the checkpoint.

Reads the manifest and asks the file system for size and time of each recording; opens no recording.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from pipeline.checkpoint import UNREADABLE, Plan, ScannedRow
from pipeline.checkpoint.tables import BAD_ROW
from pipeline.config import Settings
from pipeline.errors import AudioMissing, BadManifestRow, EmptyFolder, ManifestError
from pipeline.gradium.request import RequestSettings, check_language
from pipeline.manifest import read_manifest
from pipeline.model import BadRow, Failure, Utterance
from pipeline.recording import fault
from pipeline.run.manifests import name_of
from pipeline.run.settings_hash import SettingsHash

BAD_ROWS_SHOWN = 50
MANY_GONE, MANY_GONE_SHARE = 10, 0.2
"""So many recordings, and so large a part of them, do not go in one night."""
MIN_INT64 = -(1 << 63)
_BYTES_PER_S = {".wav": 32_000, ".flac": 16_000}
FILES_REMEMBERED = 4_096
"""Rows that name the same recording mostly stand together: it is asked for its size once."""
_COMPRESSED_BYTES_PER_S = 4_000
"""What a second of audio weighs, roughly: only order and progress depend on it."""


class ManifestRows:
    """The rows of a manifest on their way into the checkpoint, and what was wrong with some of them."""

    def __init__(
        self,
        manifest: str,
        settings: Settings,
        request: RequestSettings,
        *,
        skip_bad_rows: bool,
        run_id: str,
        on_row: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_row` is called for each row, and while rows are looked for; it may raise to end the reading."""
        self.manifest = manifest
        self.bad_rows: list[BadRow] = []
        """The first of them."""
        self.bad_count = self.count = 0
        self._empty: EmptyFolder | None = None
        self._settings = settings
        self._request = request
        self._skip = skip_bad_rows
        self._run_id = run_id
        self._on_row = on_row

    @property
    def name(self) -> str:
        return name_of(self.manifest)

    @property
    def is_folder(self) -> bool:
        return os.path.isdir(self.manifest)  # noqa: PTH112 as for the recordings

    def __iter__(self) -> Iterator[ScannedRow]:
        """Each good row; bad ones are counted, and with `skip_bad_rows` come as failures."""
        hashed = SettingsHash(self._settings, self._request)
        file_of = lru_cache(maxsize=FILES_REMEMBERED)(_file)
        for row in self._read():
            self._on_row()
            self.count += 1
            bad = row if isinstance(row, BadRow) else self._wrong_language(row)
            if bad is None:
                assert isinstance(row, Utterance)  # noqa: S101 for the type checker
                size, mtime_ns, length_s = file_of(row.audio)
                yield ScannedRow(
                    utterance=row,
                    config_hash=hashed.of(row),
                    written_hash=hashed.of_written(row),
                    expected_s=length_s if row.duration_s is None else row.duration_s,
                    size=size,
                    mtime_ns=mtime_ns,
                )
            else:
                self.note(bad)
                if self._skip:
                    yield self._as_failure(bad)

    def _read(self) -> Iterator[Utterance | BadRow]:
        try:
            yield from read_manifest(self.manifest, on_step=self._on_row)
        except EmptyFolder as error:
            self._empty = error

    def note(self, bad: BadRow) -> None:
        """Counts a bad row."""
        self.bad_count += 1
        if len(self.bad_rows) < BAD_ROWS_SHOWN:
            self.bad_rows.append(bad)

    def note_repeated(self, repeated: Iterable[tuple[str, list[int]]]) -> None:
        """Counts the rows whose id another row has, which are never skipped: nobody can say which one is meant."""
        for id_, lines in repeated:
            first = f"line {lines[0]}" if lines else "another row"
            self.note(
                BadRow(
                    manifest=self.manifest,
                    line=lines[1] if len(lines) > 1 else None,
                    message=f"id {id_!r} is taken by {first}; give each row an id of its own",
                    id=id_,
                )
            )

    def refuse_empty(self, *, knows_rows: bool) -> None:
        """Raises ManifestError for a manifest without rows: more often a broken export than an empty archive. A folder
        that had recordings once is another thing: that they are gone is told, and what they have is kept."""
        if self._empty is None or not knows_rows:
            raise self._empty or ManifestError(f"{self.manifest}: the manifest has no rows")

    def refuse_bad(self, *, skippable: bool = True) -> None:
        """Raises ManifestError with every bad row (the first 50 in full)."""
        if not self.bad_count:
            return
        told = [str(bad) for bad in self.bad_rows]
        if self.bad_count > len(told):
            told.append(f"… and {self.bad_count - len(told):,} more")
        hint = "mend them, or skip them with --skip-bad-rows" if skippable else "mend them"
        noun = "row" if self.bad_count == 1 else "rows"
        raise ManifestError(*told, f"{self.bad_count:,} bad {noun}, nothing was sent; {hint}")

    def _wrong_language(self, row: Utterance) -> BadRow | None:
        problem = None if row.language is None else check_language(row.language)
        if problem is None:
            return None
        return BadRow(manifest=self.manifest, line=row.line, message=problem, id=row.id)

    def _as_failure(self, bad: BadRow) -> ScannedRow:
        now = datetime.now(UTC)
        name = (
            f"{Path(self.manifest).name}:{bad.line}" if bad.line else f"{Path(self.manifest).name}:{bad.message[:80]}"
        )
        utterance = Utterance(id=name, audio="", line=bad.line, metadata={"id": bad.id} if bad.id else {})
        failure = Failure(
            id=name,
            audio="",
            error=BadManifestRow.__name__,
            message=bad.message,
            retryable=False,
            attempts=0,
            first_seen=now,
            last_seen=now,
            run_id=self._run_id,
            metadata=utterance.metadata,
        )
        return ScannedRow(
            utterance=utterance, config_hash=BAD_ROW, expected_s=0.0, size=None, mtime_ns=None, failure=failure
        )


def many_gone(plan: Plan, *, is_folder: bool, moved: int = 0) -> str | None:
    """What to say where so many recordings are gone since the last run that a disk is more likely not mounted; those
    that have `moved` to another name are not gone."""
    lost_rows = max(0, plan.lost_rows - moved)
    enough = max(MANY_GONE, MANY_GONE_SHARE * plan.rows), max(MANY_GONE, MANY_GONE_SHARE * plan.known)
    files, rows = plan.lost_files >= enough[0], is_folder and lost_rows >= enough[1]
    if not files and not rows:
        return None
    lost = plan.lost_files * files + lost_rows * rows
    return f"{lost:,} of {plan.known:,} recordings of the last run are gone: is the disk mounted?"


def _file(audio: str) -> tuple[int | None, int | None, float]:
    """A recording's size, its time and about how many seconds it has; None where there is no file."""
    try:
        found = os.stat(audio)  # noqa: PTH116 a Path object per row would cost more than the call
    except (OSError, ValueError) as error:
        size = None if isinstance(fault(audio, error), AudioMissing) else UNREADABLE
        return size, None, 0.0
    ending = os.path.splitext(audio)[1].lower()  # noqa: PTH122
    length_s = found.st_size / _BYTES_PER_S.get(ending, _COMPRESSED_BYTES_PER_S)
    # a clock may be set to 1601, or to the year 2400: in 64 bits such times are others, but still differ from each other
    mtime_ns = (found.st_mtime_ns - MIN_INT64) % (1 << 64) + MIN_INT64
    return found.st_size, mtime_ns, length_s
