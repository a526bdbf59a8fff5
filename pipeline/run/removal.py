"""Takes marked rows out of an output, for `prune` and `forget`: files first, then the rows in the checkpoint.

The marks, and forgotten.jsonl, are there before anything is taken out, and go last: killed at any moment, the same
command goes on, and so does the next run. Reads and writes the output folder, which is held.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from pipeline.checkpoint import Checkpoint, hold_output
from pipeline.checkpoint.connection import holds_something
from pipeline.checkpoint.removing import FORGOTTEN_ID
from pipeline.checkpoint.schema import CHECKPOINT, CLOSED_JSONL, FORGOTTEN, FORMATS, JSONL_BYTES
from pipeline.errors import DamagedCheckpoint, OutputError, UsageError
from pipeline.export.known import remove_rows
from pipeline.export.state import FOLDER as EXPORTS
from pipeline.run.delay import Clock
from pipeline.run.publish import tidy, write_stale
from pipeline.run.rewrite import Rewriter
from pipeline.run.run_records import Cleaner
from pipeline.run.verify import interrupted_rebuild, require_checkpoint
from pipeline.sink import FolderStore, Sink
from pipeline.sink.forgotten import NAME, Forgotten

log = logging.getLogger(__name__)
SPOOL = ".spool"
"""The folder in OUT for decoded audio; what an interrupted run left in it is removed."""
KEPT_COPIES = ("checkpoint.old-*", "checkpoint.damaged-*", ".checkpoint.rebuilt-*", "*.damaged", "*.damaged-[0-9]*",
               "transcripts/*.damaged*", "attempts/*.damaged*")  # fmt: skip
"""What `rebuild` keeps of damaged files."""

UNFINISHED = ""
"""The value of the fact `FORGOTTEN` while anything is taken out."""
OWN = ("transcripts/part-*.parquet", "attempts/part-*.parquet", "transcripts.jsonl", "errors.*", "clips.jsonl", NAME,
       CHECKPOINT, f"{CHECKPOINT}-*", "run.lock", "summary.json", "runs/*.json", "README.md", "views.sql",
       ".huggingface.yaml", ".*.tmp", "*/.*.tmp")  # fmt: skip
"""What gradium-batch writes into an output, beside the folders of exports and of decoded audio."""


@contextmanager
def held_checkpoint(out: Path, *, only_read: bool) -> Iterator[Checkpoint]:
    """The checkpoint of an output, which is held meanwhile. Raises UsageError where there is none, OutputHeld,
    OutputError, CheckpointError."""
    path = out / CHECKPOINT
    require_checkpoint(out)
    if not holds_something(path):
        raise UsageError(f"{out}: there is no checkpoint here; run something into it first")
    with hold_output(out):
        if interrupted_rebuild(out) is not None:
            raise DamagedCheckpoint(
                f"the last rebuild of {out} did not reach its end: run gradium-batch rebuild {out} again first"
            )
        with Checkpoint(path, only_read=only_read) as checkpoint:
            yield checkpoint


class Removal:
    """The removal of rows from one output. Methods raise OutputError and CheckpointError."""

    def __init__(self, out: Path, checkpoint: Checkpoint) -> None:
        self._out = out
        self._checkpoint = checkpoint
        self._store = FolderStore(out)
        self._sink = Sink(self._store, (checkpoint.fact(FORMATS, str) or "parquet,jsonl").split(","))
        self.forgotten = read_forgotten(out, checkpoint)

    def finish(self) -> list[str] | None:
        """Finishes what was interrupted, and takes out what was forgotten and came back with older files. Returns what
        `forget` does; None where there was nothing to do."""
        if self.forgotten.digest != (self._checkpoint.fact(FORGOTTEN, str) or ""):
            return self.forget(self.forgotten)
        if self._checkpoint.is_removing():
            self.prune()
            return []
        return None

    def mark_again(self) -> None:
        """Has `finish` take out what was forgotten and came back with files of which a checkpoint was made."""
        self._checkpoint.mark(self.forgotten.has_id, self.forgotten.has_audio)
        if self._checkpoint.is_removing():
            self._checkpoint.set_fact(FORGOTTEN, UNFINISHED)

    def prune(self) -> None:
        """Takes the marked rows out."""
        self._take_out_rows()
        self._checkpoint.drop_answers()
        write_stale(self._checkpoint, self._sink)
        self._checkpoint.drop_marked()
        self._sink.describe()

    def forget(self, forgotten: Forgotten, named: Sequence[str] = ()) -> list[str]:
        """Takes out what was forgotten, everywhere; ids may be `named` beside those that are found. Returns a sentence
        for each file that could not be changed: what is in it stays."""
        self.forgotten, checkpoint = forgotten, self._checkpoint
        checkpoint.mark(forgotten.has_id, forgotten.has_audio)
        ids = [*dict.fromkeys((*named, *checkpoint.marked_ids()))]
        # of a lost checkpoint it is not known: without a trace of them, what was paid for stays
        are_held = bool(ids) or checkpoint.fact(FORGOTTEN, str) is not None
        if are_held:
            checkpoint.set_fact(FORGOTTEN, UNFINISHED)
        self._take_out_rows()
        records = Cleaner(forgotten.has_id, ids)
        kept = records.clean_files(self._store)
        self._forget_requests()
        checkpoint.drop_answers()
        checkpoint.drop_traces(forgotten.has_id, forgotten.has_audio, records.cleaned)
        write_stale(checkpoint, self._sink)
        kept += self._remove_copies() if are_held else self._tell_copies()
        kept += remove_rows(self._out, ids, forgotten.has_audio)
        checkpoint.drop_marked()
        self._sink.describe()
        self.compact(forgotten)
        return kept

    def compact(self, forgotten: Forgotten) -> None:
        """Leaves no byte of what was deleted in the checkpoint, and notes that all of the forgotten is taken out."""
        self._checkpoint.compact()
        self._checkpoint.set_fact(FORGOTTEN, forgotten.digest)

    def _take_out_rows(self) -> None:
        """Takes the marked rows out of parts and JSONL."""
        checkpoint, sink = self._checkpoint, self._sink
        tidy(checkpoint, sink)
        self._publish_replacing()
        parts, had = checkpoint.marked_parts(), checkpoint.parts("transcripts")
        sink.parts.check_counts({part: {rows, rows - parts.get(part, 0)} for part, rows in had.items()})
        committed = checkpoint.fact(JSONL_BYTES, int) or 0
        if not parts and committed == (sink.lines.size() or 0):
            return
        if committed != CLOSED_JSONL:
            sink.cut_lines(committed)
            checkpoint.set_fact(JSONL_BYTES, CLOSED_JSONL)
        for part in filter(None, parts):
            left = had[part] - parts[part]
            sink.parts.table(part).drop(checkpoint.marked, left)
            checkpoint.part_is_without(part, left)
        if sink.has_parts and committed == CLOSED_JSONL:  # the lines may be of any earlier moment
            size = sink.rewrite_lines(checkpoint.parts("transcripts"))
        else:
            size = sink.drop_lines(checkpoint.marked)
            checkpoint.part_is_without(0, 0)
        checkpoint.set_fact(JSONL_BYTES, size)

    def _publish_replacing(self) -> None:
        """Publishes what a killed run left to replace published rows, so that these have the ids of today."""
        verdict = self._checkpoint.verdict()
        clock = Clock(applied=verdict.applied, is_open=verdict.decided is None)
        rewriter = Rewriter(self._checkpoint, self._sink, None, clock)
        parts = [part for part, has_results in rewriter.list_parts().items() if has_results]
        for part in parts:
            if self._sink.is_format_1(part):
                rewriter.convert(part)
            rewriter.rewrite(part)
        if parts:
            rewriter.finish()

    def _forget_requests(self) -> None:
        """Takes the ids out of the ledger; what was spent stays."""
        checkpoint = self._checkpoint
        checkpoint.end_open_attempts()
        for part, had in checkpoint.parts("attempts").items():
            self._sink.attempts.rename(part, self.forgotten.has_id, FORGOTTEN_ID, had)

    def _remove_copies(self) -> list[str]:
        """Removes what may hold anything of before: damaged files that `rebuild` kept, and decoded audio."""
        shutil.rmtree(self._out / SPOOL, ignore_errors=True)
        sentences = []
        for name in kept_copies(self._store):
            try:
                self._store.remove(name)
            except OutputError as error:
                sentences.append(f"{self._store.location(name)} cannot be removed ({error.__cause__}): remove it")
        return sentences

    def _tell_copies(self) -> list[str]:
        names = map(self._store.location, kept_copies(self._store))
        return [f"{name} may have words of what was forgotten: remove it once you do not need it" for name in names]


def finish_removal(checkpoint: Checkpoint, out: Path) -> Forgotten:
    """Finishes what a killed `prune` or `forget` left; returns what was forgotten. Raises OutputError."""
    removal = Removal(out, checkpoint)
    for sentence in removal.finish() or ():
        log.warning("%s", sentence)
    return removal.forgotten


def kept_copies(store: FolderStore) -> list[str]:
    """The names of what `rebuild` kept of damaged files."""
    return sorted({name for pattern in KEPT_COPIES for name in store.names(pattern)})


def strangers(out: Path) -> list[str]:
    """The names of files in an output that are of somebody else."""
    found = list[str]()
    for folder, folders, files in os.walk(out):
        here = Path(folder).relative_to(out)
        if here == Path():
            folders[:] = sorted({*folders} - {EXPORTS, SPOOL})
        names = [(here / name).as_posix() for name in sorted(files)]
        found += (name for name in names if not any(fnmatch(name, own) for own in (*OWN, *KEPT_COPIES)))
    return found


def read_forgotten(out: Path, checkpoint: Checkpoint) -> Forgotten:
    """What was forgotten in an output. Raises OutputError where the file that says so is damaged or gone."""
    found = Forgotten.read(FolderStore(out))
    if not found.digest and checkpoint.fact(FORGOTTEN, str) is not None:
        raise OutputError(
            f"{out / NAME} is missing, which says what was forgotten and must not be sent again: restore it, or make "
            "an empty file of that name to allow all of it"
        )
    return found
