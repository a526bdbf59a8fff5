"""`gradium-batch status`: how an output folder stands."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.base import Command
from pipeline.cli.options import json_option, out_argument


@click.command("status", cls=Command)
@out_argument
@json_option("the status")
def command(out: Path, as_json: bool) -> None:
    """Say how the output folder OUT stands: done, failed and why, left, spent, the last runs."""
    from pipeline.run.status import as_table, status
    from pipeline.texts import json_line

    found = status(out)
    click.echo(json_line(found) if as_json else as_table(found))
