"""Exports of an output, for programs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from pipeline.api.arguments import PathLike, path_of
from pipeline.api.raising import raised
from pipeline.api.settings import Settings
from pipeline.errors import UsageError
from pipeline.export.exported import Exported
from pipeline.texts import visible
from pipeline.threads import DaemonThreads, is_done


def export(
    out: PathLike,
    format: str,
    to: PathLike | None = None,
    *,
    beside: bool = False,
    where: str | None = None,
    only_ok: bool = False,
    overwrite: bool = False,
    settings: Settings | None = None,
    **options: Any,
) -> Exported:
    """Writes the transcripts of an output folder in another format: what `gradium-batch export` does. Repeated, it
    writes only what changed.

    `format`: `srt`, `vtt`, `txt`, `csv`, `ctm`, `stm`, `textgrid`, `audacity`, `kaldi`, `nemo`, `lhotse` or `hf`. `to`:
    a folder, by default `OUT/exports/FORMAT`. `beside`, `where`, `only_ok`, `overwrite` are the command's options; so
    are `options`, which some formats have: `line_chars`, `max_s` and the like, `audio`, `split_by`. `settings` say, for
    `hf`, how recordings at addresses are asked for (`sources`).

    Raises UsageError for what makes no sense, and where a file of somebody else would be overwritten; OutputHeld while
    the same export is at work; OutputError where a file is damaged or cannot be written. Blocks, also where an event
    loop runs (a notebook).
    """
    from pipeline.export.export import ExportOptions  # loads pyarrow, which takes long
    from pipeline.export.export import export as export_now

    with raised():
        for name, value, kinds in (("format", format, str), ("where", where, str | None)):
            if not isinstance(value, kinds):
                raise UsageError(f"{name}: {visible(repr(value))} is no str")
        asked = ExportOptions(
            format=format,
            to=None if to is None else Path(path_of("to", to)),
            beside=beside,
            where=where,
            only_ok=only_ok,
            overwrite=overwrite,
            source_rules=(settings or Settings()).source_rules,
            options={name: value for name, value in options.items() if value is not None},
        )
        folder = Path(path_of("out", out))
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return export_now(folder, asked)
        threads = DaemonThreads(1, "export")  # decoders have a loop of their own, and a thread has no more than one
        try:
            done = threads.submit(export_now, folder, asked)
            is_done(done)
            return done.result()
        finally:
            threads.shutdown(wait=False)
