"""Usage errors of the command line, shown as all else is on stderr: they may repeat the name of a file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from pipeline.exits import ExitStatus
from pipeline.outside import visible
from pipeline.surroundings import settle

LOG_FORMAT = "--log-format"


class Command(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            _tell(error, given)
            ctx.exit(ExitStatus.USAGE)


class RunCommand(Command):
    """Ends also a usage error with the line for scripts, which is the last one of every run."""


class Group(click.Group):
    command_class = Command

    def main(self, *args: Any, **kwargs: Any) -> Any:
        settle()
        return super().main(*args, **kwargs)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            _tell(error)
            ctx.exit(ExitStatus.USAGE)


def _tell(error: click.UsageError, args: Sequence[str] = ()) -> None:
    from pipeline.report.figures import LastLine
    from pipeline.report.logs import say, say_last, set_up_logs

    set_up_logs("json" if _value_of(LOG_FORMAT, args) == "json" else "text")
    text = io.StringIO()
    # escaped before it is shown: what looks like the end of a line in it is none
    click.UsageError(visible(error.format_message()), error.ctx).show(text)
    say(*text.getvalue().splitlines(), level="error")
    if error.ctx is not None and isinstance(error.ctx.command, RunCommand):
        from pipeline.run.status import stands

        out = _value_of("--out", args)
        say_last(LastLine(exit=ExitStatus.USAGE, **({} if out is None else stands(Path(out)))))


def _value_of(option: str, args: Sequence[str]) -> str | None:
    """What an option says in a command line that cannot be read; of several times the last one."""
    said = [part for arg in args for part in (arg.split("=", 1) if arg.startswith(f"{option}=") else [arg])]
    return next((value for name, value in reversed(list(pairwise(said))) if name == option), None)
