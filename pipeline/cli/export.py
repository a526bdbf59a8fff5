"""`gradium-batch export`: the transcripts of an output folder in another format."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NoReturn

import click

from pipeline.cli.base import Command
from pipeline.cli.options import out_argument
from pipeline.exits import stop_signals


@click.command("export", cls=Command)
@out_argument
@click.option("--format", "format_", required=True, metavar="FORMAT", help="FIXME")
@click.option("--to", type=click.Path(path_type=Path), metavar="DIR", help="FIXME")
@click.option("--beside", is_flag=True, help="FIXME")
@click.option("--where", metavar="CONDITION", help="FIXME")
@click.option("--only-ok", is_flag=True, help="Leave suspect transcripts out.")
@click.option("--overwrite", is_flag=True, help="FIXME")
@click.option("--progress", type=click.Choice(["auto", "bar", "plain", "off"]), default="auto", help="FIXME")
def command(out: Path, format_: str, progress: str, **asked: object) -> None:
    """Export."""
    for number in stop_signals():
        signal.signal(number, _on_signal)
    from pipeline.export.export import ExportOptions, export
    from pipeline.report.logs import say
    from pipeline.report.rows_bar import RowsBar

    exported = export(out, ExportOptions(format=format_, **asked), RowsBar(progress))  # type: ignore[arg-type]
    say(*exported.lines())


def _on_signal(number: int, frame: object) -> NoReturn:
    """Ends the process; safe at any moment, and the next export goes on."""
    os.write(2, b"gradium-batch: stopped; run the same command again to finish the export\n")
    os._exit(stop_signals()[signal.Signals(number)])
