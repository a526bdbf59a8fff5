"""What all commands share: sets the process up, shows errors as a sentence with an exit status, and ends the process
without waiting for stuck threads."""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import click

from pipeline.errors import GradiumBatchError
from pipeline.exits import POSIX_ONLY, ExitStatus
from pipeline.failures import status_of

LOG_FORMAT = "--log-format"
UTF8 = "utf-8"
CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EPIPE)


class Command(click.Command):
    """A command whose errors end it with a sentence; those of other kinds are bugs and stay loud."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            _show_usage(error, given)
            ctx.exit(ExitStatus.USAGE)

    def invoke(self, ctx: click.Context) -> Any:
        with errors_as_sentences():
            from pipeline.report.logs import set_up_logs

            set_up_logs()
            return super().invoke(ctx)


class RunCommand(Command):
    """Shows its errors itself: its last line, also after a usage error, is the one for scripts."""

    def invoke(self, ctx: click.Context) -> Any:
        return click.Command.invoke(self, ctx)


class Group(click.Group):
    def main(self, *args: Any, **kwargs: Any) -> Any:
        if os.name == "nt":
            print(f"gradium-batch: {POSIX_ONLY}", file=sys.stderr)
            sys.exit(ExitStatus.USAGE)
        set_up_process()
        return super().main(*args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with errors_as_sentences():  # of --help, which cannot be printed
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with errors_as_sentences():  # before click, which has an exit status of its own for Ctrl-C
            return super().invoke(ctx)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            _show_usage(error)
            ctx.exit(ExitStatus.USAGE)


def set_up_process() -> None:
    """Has names of files, arguments and what is written be UTF-8 in any locale, and no TLS secrets noted anywhere.

    May start this process anew, which is then the same process with the same arguments.
    """
    # these secrets reveal the API key, and where the file cannot be written the HTTP library does not load
    os.environ.pop("SSLKEYLOGFILE", None)
    if sys.getfilesystemencoding() != UTF8 and os.environ.get("PYTHONUTF8") != "1" and sys.executable:
        # paths and arguments were decoded already; those who start other processes hand the variable on
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 this very program
    for stream in (sys.stdout, sys.stderr):  # PYTHONIOENCODING may say otherwise
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != UTF8:
            stream.reconfigure(encoding=UTF8, errors="backslashreplace")


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Ends the process with a sentence and the exit status of an error of ours, of Ctrl-C, and of a full disk."""
    try:
        yield
    except GradiumBatchError as error:
        from pipeline.report.logs import say_error

        say_error(error)
        end(status_of(error))
    except KeyboardInterrupt:
        end(ExitStatus.SIGINT)
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        if error.errno != errno.EPIPE:  # stdout was closed by its reader
            from pipeline.report.logs import say

            say(f"gradium-batch: {error.filename or 'stdout'} cannot be written: {error.strerror}", level="error")
        end(ExitStatus.BROKE_OFF)


def end(status: ExitStatus) -> NoReturn:
    """Ends the process. What can no longer be written to a broken pipe does not change the status.

    A thread that was left behind is not waited for: it may be stuck in a disk that hangs.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    left = [thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()]
    for thread in left:
        with suppress(RuntimeError):  # a signal may come while one is being started: it cannot be waited for
            thread.join(0.2 / len(left))
    if any(thread.is_alive() for thread in left):
        os._exit(status)
    sys.exit(status)


def counts_of(out: Path | None) -> Mapping[str, int]:
    """How many are done, failed and left in an output, for the last line of a run that could not begin."""
    from pipeline.run.status import counts

    return {} if out is None else counts(out)


def _show_usage(error: click.UsageError, args: Sequence[str] = ()) -> None:
    from pipeline.report.figures import LastLine
    from pipeline.report.logs import say, say_last, set_up_logs
    from pipeline.texts import visible

    set_up_logs("json" if _value_of(LOG_FORMAT, args) == "json" else "text")
    text = io.StringIO()
    # escaped: it may repeat the name of a file, and line ends in it are none
    click.UsageError(visible(error.format_message()), error.ctx).show(text)
    say(*text.getvalue().splitlines(), level="error")
    if error.ctx is not None and isinstance(error.ctx.command, RunCommand):
        out = _value_of("--out", args)
        say_last(LastLine(exit=ExitStatus.USAGE, **counts_of(None if out is None else Path(out))))


def _value_of(option: str, args: Sequence[str]) -> str | None:
    """The value of an option in a command line that cannot be parsed; the last one counts."""
    parts = [part for arg in args for part in (arg.split("=", 1) if arg.startswith(f"{option}=") else [arg])]
    return next((value for name, value in reversed(list(pairwise(parts))) if name == option), None)
