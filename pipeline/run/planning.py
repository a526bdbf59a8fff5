"""What there is to do: the manifest's rows with their identity, ready to be compared with the checkpoint.

Reads the manifest and asks the file system for size and time of each recording; opens no recording.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from pipeline.checkpoint import UNREADABLE, Plan, ScannedRow, Scope
from pipeline.config import Settings
from pipeline.errors import AudioMissing, EmptyFolder, ManifestError
from pipeline.gradium.request import RequestSettings, check_keywords, check_language
from pipeline.manifest import Ignored, Part, parts_of, without_overlaps
from pipeline.manifest.arguments import common_place
from pipeline.model import KEYWORDS, BadRow, Utterance
from pipeline.recording import fault
from pipeline.run.bad_rows import BadRows
from pipeline.run.manifests import name_of
from pipeline.run.settings_hash import SettingsHash
from pipeline.run.warnings import Spellings, Warnings, titled
from pipeline.sentences import plural

MANY_GONE, MANY_GONE_SHARE = 10, 0.2
"""So many recordings, and so large a part of them, do not go in one night."""
_BYTES_PER_S = {".wav": 32_000, ".flac": 16_000}
FILES_REMEMBERED = 4_096
"""Rows that name the same recording mostly stand together: it is asked for its size once."""
_COMPRESSED_BYTES_PER_S = 4_000
"""What a second of audio weighs, roughly: only order and progress depend on it."""


class ManifestRows(BadRows, Scope):
    """The rows of manifests on their way into the checkpoint, and what was wrong with some of them."""

    def __init__(
        self,
        manifests: Sequence[str],
        settings: Settings,
        request: RequestSettings,
        *,
        skip_bad_rows: bool,
        run_id: str,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        on_row: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_row` is called for each row, and while rows are looked for; it may raise to end the reading.

        Raises ManifestError for manifests that are not there or of no known kind.
        """
        super().__init__(run_id)
        self.manifest = titled(manifests)
        self.count = 0
        self.warnings = Warnings()
        self.ignored = Ignored()
        self._empty: list[EmptyFolder] = []
        self._settings = settings
        self._request = request
        self._skip = skip_bad_rows
        self._on_row = on_row
        self._parts = parts_of(
            manifests,
            include=include,
            exclude=exclude,
            ignored=self.ignored,
            on_step=on_row,
            warn=self.warnings.add,
        )
        self._names = [name_of(part.place) for part in self._parts]
        self._parts_of = {
            name: [part for part, own in zip(self._parts, self._names, strict=True) if own == name]
            for name in dict.fromkeys(self._names)
        }
        self.names = [*self._parts_of]
        """Of the manifests, in the checkpoint; several parts of one folder have one."""
        self.sources = [parts[0].source for parts in self._parts_of.values()]

    @property
    def place(self) -> str:
        """What tells the manifests from others as a whole: see `arguments.place_of`."""
        return common_place(part.place for part in self._parts)

    @property
    def has_folder(self) -> bool:
        return any(part.is_folder for part in self._parts)

    def is_folder(self, manifest: str) -> bool:
        return any(part.is_folder for part in self._parts_of.get(manifest, ()))

    def asks_for(self, manifest: str | None, id_: str) -> bool:
        """Rows that this run would have, were they there; those of a manifest's other name may be of any part."""
        return any(part.asks_for(id_) for part in self._parts_of.get(manifest or "", self._parts))

    def __iter__(self) -> Iterator[ScannedRow]:
        """Each good row; bad ones are counted, and with `skip_bad_rows` come as failures."""
        hashed = SettingsHash(self._settings, self._request)
        file_of = lru_cache(maxsize=FILES_REMEMBERED)(_file)
        spellings = Spellings(self.warnings)
        for (part, rows), name in zip(without_overlaps(self._parts), self._names, strict=True):
            source = self.names.index(name)
            for row in self._read(rows):
                self._on_row()
                self.count += 1
                bad = row if isinstance(row, BadRow) else self._wrong_settings(row, part)
                if bad is None:
                    assert isinstance(row, Utterance)  # noqa: S101 for the type checker
                    version, size, length_s = file_of(row.audio)
                    if version is None and (other := spellings.of(row)) is not None:
                        row, (version, size, length_s) = other, file_of(other.audio)
                    yield ScannedRow(
                        utterance=row,
                        config_hash=hashed.of(row),
                        written_hash=hashed.of_written(row),
                        expected_s=length_s if row.duration_s is None else row.duration_s,
                        version=version,
                        size=size,
                        source=source,
                    )
                else:
                    self.note(bad)
                    if self._skip:
                        yield self.as_failure(bad, source)
        spellings.tell()
        if self.count:
            for error in self._empty:
                self.warnings.add(str(error))

    def _read(self, rows: Iterator[Utterance | BadRow]) -> Iterator[Utterance | BadRow]:
        try:
            yield from rows
        except EmptyFolder as error:
            self._empty.append(error)

    def refuse_empty(self, *, knows_rows: bool) -> None:
        """Raises ManifestError for a manifest without rows: more often a broken export than an empty archive. A folder
        that had recordings once is another thing: that they are gone is told, and what they have is kept."""
        if not self._empty or not knows_rows:
            raise self._empty[0] if self._empty else ManifestError(f"{self.manifest}: the manifest has no rows")

    def refuse_warned(self) -> None:
        """Raises ManifestError where something was warned of: for --strict."""
        if self.warnings.count:
            told = plural(self.warnings.count, "warning")
            raise ManifestError(f"{told} (see above), nothing was sent; mend them, or leave out --strict")

    def _wrong_settings(self, row: Utterance, part: Part) -> BadRow | None:
        problem = None if row.language is None else check_language(row.language)
        if problem is None and KEYWORDS in row.metadata:
            problem = _wrong_keywords(row)
        if problem is None:
            return None
        return BadRow(manifest=part.source, line=row.line, message=problem, id=row.id)


def _wrong_keywords(row: Utterance) -> str | None:
    written = row.metadata[KEYWORDS].strip()
    if written in ("", "[]"):
        return None
    problem = check_keywords(row.keywords) if row.keywords else "write words with commas between them, or a list"
    return problem and f"`{KEYWORDS}`: {problem}; a column of another meaning needs another name"


def many_gone(plan: Plan, *, is_folder: bool, moved: int = 0) -> str | None:
    """What to say where so many recordings are gone since the last run that a disk is more likely not mounted; those
    that have `moved` to another name are not gone."""
    removed = max(0, plan.newly_removed - moved)
    enough = max(MANY_GONE, MANY_GONE_SHARE * plan.rows), max(MANY_GONE, MANY_GONE_SHARE * plan.known)
    files, rows = plan.newly_missing >= enough[0], is_folder and removed >= enough[1]
    if not files and not rows:
        return None
    lost = plan.newly_missing * files + removed * rows
    return f"{lost:,} of {plan.known:,} recordings of the last run are gone: is the disk mounted?"


def _file(audio: str) -> tuple[str | None, int | None, float]:
    """A recording's version, its size and about how many seconds it has; None where there is no file."""
    try:
        found = os.stat(audio)  # noqa: PTH116 a Path object per row would cost more than the call
    except (OSError, ValueError) as error:
        return None if isinstance(fault(audio, error), AudioMissing) else UNREADABLE, None, 0.0
    ending = os.path.splitext(audio)[1].lower()  # noqa: PTH122
    length_s = found.st_size / _BYTES_PER_S.get(ending, _COMPRESSED_BYTES_PER_S)
    return f"{found.st_size}:{found.st_mtime_ns}", found.st_size, length_s
