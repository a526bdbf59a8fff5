"""`gradium-batch forget`: takes the words of recordings out of an output."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.base import Command, end
from pipeline.cli.options import json_option, out_argument, refuse_unprintable
from pipeline.exits import ExitStatus, end_on_signals


@click.command("forget", cls=Command)
@out_argument
@click.option("--id", "ids", multiple=True, metavar="ID", help="Forget this utterance; repeatable.")
@click.option(
    "--audio",
    multiple=True,
    metavar="PATH",
    help="Forget all utterances that have the audio of this recording: its path or address, whether or not it is still "
    "there, or its audio_hash; repeatable.",
)
@click.option("--allow", is_flag=True, help="Let the next run send them again, and forget nothing.")
@click.option("--yes", is_flag=True, help="Do it; without this it only says what it would do (exit 2).")
@json_option("it")
def command(out: Path, ids: tuple[str, ...], audio: tuple[str, ...], allow: bool, yes: bool, as_json: bool) -> None:
    """Take the words of recordings out of the output folder OUT, for good, and keep them from being sent again.

    They go from transcripts, errors, clips, the checkpoint and its log, damaged files that rebuild has kept, figures of
    runs, and exports. The ledger keeps what was spent, without the id. OUT/forgotten.jsonl keeps hashes of the id and
    of the audio, by which later runs leave them out. Where other utterances have the same audio, name them too, or the
    recording by --audio.

    Refused while a run is at work (exit 5). Exit status 1 where a file could not be changed, which is named.
    """  # fmt: skip
    from pipeline.run import forget as forgetting
    from pipeline.texts import json_line, plural

    refuse_unprintable(out, (*ids, *audio))
    if yes:
        end_on_signals("it")
    if allow:
        count = forgetting.allow(out, ids=ids, audio=audio)
        click.echo(f"{plural(count, 'utterance')} may be sent again")
        return
    found = forgetting.forget(out, ids=ids, audio=audio, yes=yes)
    click.echo(json_line(found) if as_json else "\n".join(forgetting.as_lines(found)))
    if not found.done:
        end(ExitStatus.USAGE)
    if found.unchanged:
        end(ExitStatus.BROKE_OFF)
