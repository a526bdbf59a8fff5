"""Writes an output in another format, or brings what was written before up to date."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from pipeline.errors import UsageError
from pipeline.export.exported import Exported
from pipeline.export.filters import RowFilter
from pipeline.export.kinds import FORMATS, is_by_recording, options_of, writer_of
from pipeline.export.places import checkpoint_mark, manifest_order
from pipeline.export.rows import OutputRows
from pipeline.export.state import FOLDER, ExportState, Made, state_path
from pipeline.report.rows_bar import RowsBar
from pipeline.source import Sources
from pipeline.source.rules import Rules
from pipeline.texts import nearest, visible


class ExportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of an export; see `gradium-batch export --help`."""

    format: str
    to: Path | None = None
    """None: a folder in the output."""
    beside: bool = False
    where: str | None = None
    only_ok: bool = False
    overwrite: bool = False
    options: Mapping[str, Any] = {}
    """Of the format alone: limits of subtitles, the audio and splits of a data set."""
    source_rules: Rules = Rules()
    """How remote recordings are asked for, where the format has audio."""


def export(out: Path, asked: ExportOptions, progress: RowsBar | None = None) -> Exported:
    """Exports an output folder. Raises UsageError, OutputHeld where the same export is at work, or OutputError."""
    progress = progress or RowsBar()
    asked = msgspec.structs.replace(asked, format=asked.format.lower())
    made = _made(out, asked)
    wanted = RowFilter(asked.where, only_ok=asked.only_ok)
    rows, stopped = OutputRows(out), threading.Event()
    with (
        closing(ExportState(state_path(out, made))) as state,
        manifest_order(out) as order,
        Sources(asked.source_rules, stopped) as sources,
    ):
        _begin(state, made, checkpoint_mark(out))
        try:
            return writer_of(state, made, sources, overwrite=asked.overwrite).update(rows, order, wanted, progress)
        finally:
            progress.close()
            stopped.set()


def _begin(state: ExportState, made: Made, checkpoint: str) -> None:
    """Has everything be written anew where the export was made with other options or by another version, or where the
    checkpoint is another one, whose rows may have other places."""
    if state.made() == made and state.fact("checkpoint") == checkpoint:
        return
    with state.transaction():
        state.begin_anew()
        state.set_facts(made=msgspec.json.encode(made).decode(), checkpoint=checkpoint)


def _made(out: Path, asked: ExportOptions) -> Made:
    if asked.format not in FORMATS:
        near = nearest(asked.format, FORMATS)
        hint = f"did you mean {near}?" if near else f"take one of {', '.join(FORMATS)}"
        raise UsageError(f"--format: there is no format {visible(asked.format)!r}; {hint}")
    if asked.beside and asked.to is not None:
        raise UsageError("--to and --beside: give one of them; --beside writes each file beside its recording")
    if asked.beside and not is_by_recording(asked.format):
        raise UsageError(f"--beside: {asked.format} is not one file for each recording; name a folder with --to")
    # it may name ids, or what rows say
    where = None if asked.where is None else hashlib.blake2b(asked.where.encode("utf-8", "replace")).hexdigest()
    return Made(
        format=asked.format,
        folder="" if asked.beside else _folder(out, asked),
        options={"where": where, "only_ok": asked.only_ok} | options_of(asked.format, asked.options),
        version=version("gradium-batch"),
    )


def _folder(out: Path, asked: ExportOptions) -> str:
    given = asked.to or out / FOLDER / asked.format
    folder, output = Path(os.path.realpath(given)), Path(os.path.realpath(out))
    if folder == output or (output in folder.parents and folder.relative_to(output).parts[0] != FOLDER):
        raise UsageError(f"--to {given}: this is in the output folder itself; name a folder outside of it")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--to {given}: this is a file; name a folder")
    is_near = os.path.commonpath([folder, output]) != os.path.sep
    return os.path.relpath(folder, output) if is_near else str(folder)
