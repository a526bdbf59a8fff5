"""`gradium-batch export`: the transcripts of an output folder in another format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipeline.cli.base import Command
from pipeline.cli.options import out_argument, progress_option, settings_of
from pipeline.exits import end_on_signals

FORMATS = "srt|vtt|txt|csv|ctm|stm|textgrid|audacity|kaldi|nemo|lhotse|hf"
_OPTIONS = (
    out_argument,
    click.option("--format", "format_", required=True, metavar=FORMATS, help="The format to write."),
    click.option("--to", type=click.Path(path_type=Path), metavar="DIR",
                 help="The folder to write to. [default: OUT/exports/FORMAT]"),
    click.option("--beside", is_flag=True, help="Write each file beside its recording: srt, vtt, txt, textgrid, "
                 "audacity."),
    click.option("--where", metavar="CONDITION", help="Only rows for which this holds, in SQL on the columns of "
                 "transcripts: \"wer > 0.3\", \"duration_s < 30 AND language = 'en'\", "
                 "\"metadata ->> 'speaker' = 'rms'\"."),
    click.option("--only-ok", is_flag=True, help="Only rows with the status ok: no suspect ones."),
    click.option("--overwrite", is_flag=True, help="Write over files that this export did not write, or that were "
                 "changed since."),
    click.option("--line-chars", type=int, help="srt, vtt: characters of a line at most. [default: 42]"),
    click.option("--cjk-line-chars", type=int, help="srt, vtt: the same for Chinese, Japanese, Korean. [default: 16]"),
    click.option("--lines", type=int, help="srt, vtt: lines of a cue at most. [default: 2]"),
    click.option("--min-s", type=float, help="srt, vtt: seconds a cue is shown at least. [default: 0.833]"),
    click.option("--max-s", type=float, help="srt, vtt: seconds a cue is shown at most. [default: 7]"),
    click.option("--chars-per-s", type=float, help="srt, vtt: characters a second at most. [default: 20]"),
    click.option("--gap-frames", type=int, help="srt, vtt: frames between two cues at least. [default: 2]"),
    click.option("--fps", type=float, help="srt, vtt: frames a second of the video. [default: 25]"),
    click.option("--audio/--no-audio", default=None, help="hf: with the audio bytes, or with paths. "
                 "[default: --audio]"),
    click.option("--split-by", metavar="COLUMN", help="hf: a split for each value of this column of the manifest, or "
                 "of language, model, service, status, channel. [default: all rows are train]"),
    click.option("--config", type=click.Path(path_type=Path),
                 help="hf: configuration file (TOML), for how recordings at addresses are asked for."),
    click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
                 help="hf: set a key of it, e.g. --set 'sources.anonymous=[\"s3://bucket\"]'. Repeatable."),
    progress_option,
)  # fmt: skip


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("export", cls=Command)
@_options
def command(
    out: Path, format_: str, to: Path | None, beside: bool, where: str | None, only_ok: bool, overwrite: bool,
    config: Path | None, overrides: tuple[str, ...], progress: Any, **of_format: Any,
) -> None:  # fmt: skip
    """Write the transcripts of the output folder OUT in another format: subtitles, text, tables, labels, data sets to
    train on.

    Repeated, it reads and writes only what changed since, also after new runs, and finishes what was interrupted. Rows
    come in the order in which manifests first had them; formats of one file for each recording mirror the folders of
    the recordings. Files that the export did not write are never overwritten unless you say so.
    """
    end_on_signals("the export")
    from pipeline.export.export import ExportOptions, export
    from pipeline.report.logs import say
    from pipeline.report.rows_bar import RowsBar
    from pipeline.source.rules import Rules

    options = {name: value for name, value in of_format.items() if value is not None}
    asked = ExportOptions(
        format=format_, to=to, beside=beside, where=where, only_ok=only_ok, overwrite=overwrite, options=options,
        source_rules=settings_of(config, overrides).source_rules if format_ == "hf" else Rules(),
    )  # fmt: skip
    say(*export(out, asked, RowsBar(progress)).lines())
