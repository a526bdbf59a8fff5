"""`gradium-batch show`: one utterance of an output folder."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.base import Command
from pipeline.cli.options import json_option, out_argument, refuse_unprintable


@click.command("show", cls=Command)
@out_argument
@click.option("--id", "id_", required=True, help="The utterance, by its id in the manifest.")
@json_option("it")
def command(out: Path, id_: str, as_json: bool) -> None:
    """Show one utterance of the output folder OUT: its row, its transcript or error, every request sent for it."""
    from pipeline.run.show import as_table, show
    from pipeline.texts import json_line

    refuse_unprintable(out, (id_,))
    found = show(out, id_)
    click.echo(json_line(found) if as_json else as_table(found))
