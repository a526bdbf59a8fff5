"""The formats by name, and what writes each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from pipeline.errors import UsageError
from pipeline.export.documents import DocumentExport
from pipeline.export.exported import Exported
from pipeline.export.filters import RowFilter
from pipeline.export.formats.audacity import Audacity
from pipeline.export.formats.ctm import Ctm
from pipeline.export.formats.cue_limits import CueLimits
from pipeline.export.formats.format import DocumentFormat, LineFormat
from pipeline.export.formats.kaldi import Kaldi
from pipeline.export.formats.lhotse import Lhotse
from pipeline.export.formats.nemo import Nemo
from pipeline.export.formats.plain import PlainText
from pipeline.export.formats.stm import Stm
from pipeline.export.formats.subtitles import SubRip, WebVTT
from pipeline.export.formats.table import Csv
from pipeline.export.formats.textgrid import TextGrid
from pipeline.export.lines import LineExport
from pipeline.export.rows import OutputRows
from pipeline.export.shards import ShardExport
from pipeline.export.state import ExportState, Made
from pipeline.report.rows_bar import RowsBar
from pipeline.sink.rows import Order
from pipeline.source import Sources

LINES: Mapping[str, type[LineFormat]] = {
    "csv": Csv, "ctm": Ctm, "stm": Stm, "kaldi": Kaldi, "nemo": Nemo, "lhotse": Lhotse
}  # fmt: skip
DOCUMENTS: Mapping[str, type[DocumentFormat]] = {"txt": PlainText, "textgrid": TextGrid, "audacity": Audacity}
SUBTITLES: Mapping[str, type[SubRip | WebVTT]] = {"srt": SubRip, "vtt": WebVTT}
SHARDS = "hf"
FORMATS = ("srt", "vtt", "txt", "csv", "ctm", "stm", "textgrid", "audacity", "kaldi", "nemo", "lhotse", SHARDS)


class Export(Protocol):
    """What writes one export."""

    def update(self, rows: OutputRows, order: Order, wanted: RowFilter, progress: RowsBar) -> Exported:
        """Writes what changed."""

    def remove(self, ids: list[int]) -> list[str]:
        """Takes rows out of what was written, by the hashes of their ids, and what a killed export left. Returns the
        names of files that somebody changed, and that may hold such a row."""


def is_by_recording(format_: str) -> bool:
    """Whether a format has one file for each recording."""
    return format_ in DOCUMENTS or format_ in SUBTITLES


def options_of(format_: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a format with their defaults. Raises UsageError for those that it does not have."""
    known: dict[str, Any] = {}
    if format_ in SUBTITLES:
        known = msgspec.structs.asdict(CueLimits(**_only(options, CueLimits.__struct_fields__)))
    elif format_ == SHARDS:
        known = {"audio": True, "split_by": None} | _only(options, ("audio", "split_by"))
    if unknown := [name for name in options if name not in known]:
        raise UsageError(f"--{unknown[0].replace('_', '-')}: --format {format_} has no such option")
    return known


def writer_of(state: ExportState, made: Made, sources: Sources, *, overwrite: bool) -> Export:
    """What writes an export; `sources` of audio."""
    folder = state.folder(made)
    if made.format in LINES:
        return LineExport(state, folder, LINES[made.format](), overwrite=overwrite)
    if made.format == SHARDS:
        options = made.options
        return ShardExport(
            state, folder, sources, with_audio=options["audio"], split_by=options["split_by"], overwrite=overwrite
        )
    kind: DocumentFormat
    if made.format in SUBTITLES:
        limits = CueLimits(**_only(made.options, CueLimits.__struct_fields__))
        kind = SUBTITLES[made.format](limits)
    else:
        kind = DOCUMENTS[made.format]()
    return DocumentExport(state, folder, kind, beside=not made.folder, overwrite=overwrite)


def _only(options: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: options[name] for name in names if name in options}
