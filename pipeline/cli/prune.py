"""`gradium-batch prune`: takes rows out of an output that left the manifest."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.base import Command
from pipeline.cli.options import duration, json_option, out_argument
from pipeline.exits import end_on_signals


@click.command("prune", cls=Command)
@out_argument
@click.option(
    "--older-than",
    type=duration,
    metavar="TIME",
    help="Only rows that have been missing from their manifest for so long, as in 30d; 12h, 90m and 90s "
    "are understood too.",
)
@click.option("--yes", is_flag=True, help="Do it; without this it only says what it would do.")
@json_option("it")
def command(out: Path, older_than: float | None, yes: bool, as_json: bool) -> None:
    """Remove the rows of the output folder OUT that left their manifest, with their transcripts and errors.

    Rows of other manifests that share OUT stay, and so do those whose recording is missing while the manifest has
    them. What was spent stays in the ledger. A recording that returns to the manifest is paid for again.

    Refused while a run is at work (exit 5).
    """  # fmt: skip
    if yes:
        end_on_signals("it")
    from pipeline.run.prune import as_lines, prune
    from pipeline.texts import json_line

    found = prune(out, older_than_s=older_than, yes=yes)
    click.echo(json_line(found) if as_json else "\n".join(as_lines(found)))
