"""Writes an output in another format, or brings what was written before up to date."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path

import msgspec

from pipeline.errors import UsageError
from pipeline.export.documents import DocumentExport
from pipeline.export.exported import Exported
from pipeline.export.filters import RowFilter
from pipeline.export.formats.format import DocumentFormat, LineFormat
from pipeline.export.formats.plain import PlainText
from pipeline.export.formats.table import Csv
from pipeline.export.lines import LineExport
from pipeline.export.places import checkpoint_mark, manifest_order
from pipeline.export.rows import OutputRows
from pipeline.export.state import FOLDER, ExportState, Made, state_path
from pipeline.report.rows_bar import RowsBar

BESIDE = Path("/")
"""The folder of the names of files that lie beside their recordings."""
LINES: Mapping[str, Callable[[], LineFormat]] = {"csv": Csv}
DOCUMENTS: Mapping[str, Callable[[], DocumentFormat]] = {"txt": PlainText}
FORMATS = (*LINES, *DOCUMENTS)


class ExportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of an export; see `gradium-batch export --help`."""

    format: str
    to: Path | None = None
    """None: a folder in the output."""
    beside: bool = False
    where: str | None = None
    only_ok: bool = False
    overwrite: bool = False


def export(out: Path, options: ExportOptions, progress: RowsBar | None = None) -> Exported:
    """Exports an output folder. Raises UsageError, OutputHeld where the same export is at work, or OutputError."""
    progress = progress or RowsBar()
    made = _made(out, options)
    wanted = RowFilter(options.where, only_ok=options.only_ok)
    rows = OutputRows(out)
    with closing(ExportState(state_path(out, made))) as state, manifest_order(out) as order:
        _begin(state, made, checkpoint_mark(out))
        try:
            return _kind(state, made).update(rows, order, wanted, progress, overwrite=options.overwrite)
        finally:
            progress.close()


def _kind(state: ExportState, made: Made) -> LineExport | DocumentExport:
    folder = Path(made.folder) if made.folder else BESIDE
    if made.format in LINES:
        return LineExport(state, folder, LINES[made.format]())
    kind = DOCUMENTS[made.format]()
    return DocumentExport(state, folder, kind, beside=not made.folder, made=msgspec.json.encode(made).decode())


def _begin(state: ExportState, made: Made, checkpoint: str) -> None:
    """Has all rows read again where the export was made with other options, or the checkpoint is another one."""
    known = state.made()
    if known == made and state.fact("checkpoint") == checkpoint:
        return
    with state.transaction():
        state.set_sources({})
        if known is None or known.version != made.version:
            state.begin_anew()
        state.set_facts(made=msgspec.json.encode(made).decode(), checkpoint=checkpoint)


def _made(out: Path, options: ExportOptions) -> Made:
    if options.format not in FORMATS:
        raise UsageError(f"there is no format {options.format!r}; take one of {', '.join(sorted(FORMATS))}")
    if options.beside and options.to is not None:
        raise UsageError("--to and --beside: give one of them; --beside writes each file beside its recording")
    if options.beside and options.format not in DOCUMENTS:
        raise UsageError(f"--beside: {options.format} is not one file for each recording; name a folder with --to")
    return Made(
        format=options.format,
        folder="" if options.beside else _folder(out, options),
        options={"where": options.where, "only_ok": options.only_ok},
        version=version("gradium-batch"),
    )


def _folder(out: Path, options: ExportOptions) -> str:
    folder = os.path.realpath(options.to or out / FOLDER / options.format)
    inside = Path(folder)
    with suppress(ValueError):
        relative = inside.relative_to(os.path.realpath(out))
        if relative.parts[:1] != (FOLDER,):
            raise UsageError(f"--to {options.to}: this is in the output folder itself; name a folder outside of it")
    if inside.exists() and not inside.is_dir():
        raise UsageError(f"--to {options.to}: this is a file; name a folder")
    return folder
