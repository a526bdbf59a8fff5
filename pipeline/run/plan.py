"""Reads the manifests into the checkpoint, refuses bad ones, and selects what the run does.

Asks sources for the versions of recordings; opens none.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator

from pipeline.audio.upload import is_span
from pipeline.checkpoint import UNKNOWN, Plan, ScannedRow, Store
from pipeline.errors import EmptyFolder, ManifestError, Stopped
from pipeline.manifest import Ignored, inputs_of
from pipeline.model import BadRow, Utterance
from pipeline.queries import without_signatures
from pipeline.report.logs import TOLD
from pipeline.run.context import RunOptions
from pipeline.run.manifests import Manifests, settle_names
from pipeline.run.output import keep_manifest
from pipeline.run.problems import BadRows, PathOf, Spellings, Warnings, problem_of
from pipeline.run.settings_hash import SettingsHash
from pipeline.run.versions import Versions
from pipeline.sink.forgotten import NOTHING, Forgotten
from pipeline.source import Sources
from pipeline.source.addresses import is_address
from pipeline.texts import shown_id

MANY_MISSING, MANY_MISSING_SHARE = 10, 0.2
"""If at least this many recordings, and this share of all, are missing, probably a disk is not mounted."""
log = logging.getLogger(__name__)


async def make_plan(rows: ManifestRows, options: RunOptions, store: Store, stopped: threading.Event) -> Plan:
    """Merges the manifests into the checkpoint and selects what this run does: an empty plan if the run is stopped.

    Raises ManifestError for bad rows, for unknown or repeated ids, and with --strict for warnings; ConfigError if
    the output belongs to another manifest.
    """
    try:
        scanned = rows.read(store.checkpoint.path_of)
        repeated = await store.scan(scanned, *rows.manifests.names, scope=rows.manifests)
        rows.bad.note_repeated(repeated)
        if ignored := str(rows.ignored):
            log.info("%s", ignored, extra=TOLD)
        if rows.forgotten:
            log.info("%s", left_out(rows.forgotten), extra=TOLD)
        if not rows.count:
            rows.refuse_empty(knows_rows=await store.knows_rows())
        if not options.skip_bad_rows or repeated:
            rows.bad.refuse(skippable=not repeated)
        if options.strict:
            rows.warnings.refuse()
        rows.refuse_forgotten(options.ids)
        if options.ids:
            await store.name_ids(options.ids, rows.manifests.title)
        names = await store.blocking(settle_names, rows.manifests.names, options.out, stopped)
        manifest = None if options.shared_out else rows.manifests.place
        await store.blocking(keep_manifest, manifest, options.out, names)
        return await store.merge(options.only)
    except Stopped:
        return Plan()


class ManifestRows:
    """Reads the rows of a run's manifests for the checkpoint; counts bad ones and collects warnings."""

    def __init__(
        self,
        options: RunOptions,
        hashes: SettingsHash,
        sources: Sources,
        *,
        model: str,
        run_id: str,
        skip_bad_rows: bool,
        forgotten: Forgotten = NOTHING,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        """`model` is the one that is asked. `on_step` is called for each row, and while rows are searched for; it may
        raise to end the reading.

        Raises ManifestError for manifests that are not there or of no known kind.
        """
        self.count = 0
        self.forgotten = 0
        """Rows that are left out, because they were forgotten."""
        self.have_spans = False
        """Several rows may be of one recording: some have an offset or a channel."""
        self.have_addresses = False
        """Some recordings do not lie in local files."""
        self.warnings = Warnings()
        self.ignored = Ignored()
        parts = inputs_of(
            options.manifests,
            sources,
            include=options.include,
            exclude=options.exclude,
            ignored=self.ignored,
            on_step=on_step,
            warn=self.warnings.add,
        )
        self.manifests = Manifests(options.manifests, parts)
        self.bad = BadRows(self.manifests.sources, run_id)
        self._empty: list[EmptyFolder] = []
        self._hashes = hashes
        self._sources = sources
        self._model = model
        self._skip_bad_rows = skip_bad_rows
        self._forgotten = forgotten
        self._on_step = on_step

    def read(self, path_of: PathOf = lambda id_: None) -> Iterator[ScannedRow]:
        """The valid rows. Bad ones are counted; with --skip-bad-rows they are yielded too, as failures."""
        spellings = Spellings(self.warnings, path_of)
        versions, unknown = Versions(self._sources, self._on_step), 0
        for part, rows, number in self.manifests.rows():
            for row, found in versions.of(self._until_empty(rows)):
                self._on_step()
                self.count += 1
                if isinstance(row, Utterance) and (problem := problem_of(row, self._model)) is not None:
                    if row.line is None:  # of a folder
                        problem = f"{shown_id(row.id)}: {problem}"
                    message = without_signatures(problem)
                    row = BadRow(manifest=part.source, line=row.line, message=message, id=row.id)
                if isinstance(row, BadRow):
                    if row.id is not None and self._forgotten.has_id(row.id):
                        self.forgotten += 1
                        continue
                    self.bad.note(row)
                    if self._skip_bad_rows:
                        yield self.bad.as_failure(row, number)
                    continue
                unknown += found.version == UNKNOWN
                self.have_addresses = self.have_addresses or is_address(row.audio)
                self.have_spans = self.have_spans or row.offset_s > 0 or row.channel is not None
                if found.version is None and (other := spellings.of(row)) is not None:
                    row, found = other, versions.at(other.audio)
                if self._forgotten and self._forgotten.has_row(row.id, row.audio, found.version):
                    self.forgotten += 1
                    continue
                yield ScannedRow(
                    utterance=row,
                    config_hash=self._hashes.of(row),
                    written_hash=self._hashes.of_written(row),
                    expected_s=found.about_s if row.duration_s is None else row.duration_s,
                    version=found.version,
                    size=found.size_bytes,
                    remote_span=is_address(row.audio) and is_span(row),
                    source=number,
                )
        spellings.warn()
        if unknown:
            log.warning(
                "of %s no source told whether the recording changed; what is done of them stays (the last one: %s)",
                "1 row" if unknown == 1 else f"{unknown:,} rows",
                versions.no_answer,
            )
        if unclear := self._sources.signatures.unclear:
            self.warnings.add(
                f"{unclear} has different tokens in several rows, which are taken for one recording: if its server "
                "tells recordings apart by them, give each URL another parameter, such as n=1"
            )
        for about in self.manifests.data_sets():
            log.info("%s", about, extra=TOLD)
        for option in self.manifests.unmatched():
            self.warnings.add(f"{option}: no file or folder matches")
        if self.count:
            self._warn_of_empty()

    def _warn_of_empty(self) -> None:
        for error in self._empty:
            self.warnings.add(str(error))

    def _until_empty(self, rows: Iterator[Utterance | BadRow]) -> Iterator[Utterance | BadRow]:
        try:
            yield from rows
        except EmptyFolder as error:
            self._empty.append(error)

    def refuse_forgotten(self, ids: Iterable[str]) -> None:
        """Raises ManifestError where one of the ids that were asked for was forgotten."""
        if found := [id_ for id_ in ids if self._forgotten.has_id(id_)]:
            raise ManifestError(f"{shown_id(found[0])} was forgotten, and is not sent again; nothing was sent")

    def refuse_empty(self, *, knows_rows: bool) -> None:
        """Raises ManifestError for a manifest without rows, which is more often a broken export than an empty archive.
        For a folder that had recordings in an earlier run it only warns; their transcripts are kept."""
        if not self._empty or not knows_rows:
            raise self._empty[0] if self._empty else ManifestError(f"{self.manifests.title}: the manifest has no rows")
        if not self.warnings.count:  # an --include that matches nothing says why
            self._warn_of_empty()


def left_out(count: int) -> str:
    """What to say of rows that were forgotten."""
    return "1 row was forgotten and is left out" if count == 1 else f"{count:,} rows were forgotten and are left out"


def many_missing(plan: Plan, *, is_folder: bool, moved: int = 0) -> str | None:
    """A warning if so many recordings disappeared since the last run that probably a disk is not mounted. `moved` of
    the removed rows only have a new name, and do not count."""
    removed = max(0, plan.newly_removed - moved)
    enough = max(MANY_MISSING, MANY_MISSING_SHARE * plan.rows), max(MANY_MISSING, MANY_MISSING_SHARE * plan.known)
    files, rows = plan.newly_missing >= enough[0], is_folder and removed >= enough[1]
    if not files and not rows:
        return None
    missing = plan.newly_missing * files + removed * rows
    return f"{missing:,} of {plan.known:,} recordings of the last run are missing: is the disk mounted?"
