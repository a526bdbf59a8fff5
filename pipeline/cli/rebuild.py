"""`gradium-batch rebuild`: a new checkpoint from the files of an output folder."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.base import Command
from pipeline.cli.options import out_argument
from pipeline.exits import end_on_signals


@click.command("rebuild", cls=Command)
@out_argument
@click.option("--force", is_flag=True, help="Rebuild even if the checkpoint is intact.")
@click.option(
    "--delay-correction",
    type=click.Choice(["on", "off"]),
    help="Take the decoder's delay off the times of all transcripts, or put it back; nothing is sent.",
)
def command(out: Path, force: bool, delay_correction: str | None) -> None:
    """Make a new checkpoint for the output folder OUT from the files in it, when the old one is damaged or gone.

    Whatever is in the transcripts is then known to be done and is not sent again; the old checkpoint is kept aside.
    Where a run would just go on there is nothing to rebuild, and nothing is touched (exit 2).

    With --delay-correction an intact checkpoint stays, and only times are written anew.
    """
    end_on_signals("the rebuild")
    from pipeline.run.rebuild import rebuild

    takes_delay_off = None if delay_correction is None else delay_correction == "on"
    click.echo("\n".join(rebuild(out, force=force, takes_delay_off=takes_delay_off)))
