"""The command line: options in, exit status out. Imports what a command needs only when it runs.

What the commands do is in `run` and `engines`; here is how they are asked, and how errors become a sentence.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from pipeline.errors import ConfigError, GradiumBatchError
from pipeline.exits import ExitStatus, signals_to_hear
from pipeline.failures import status_of
from pipeline.redaction import hide
from pipeline.usage import LOG_FORMAT, Group, RunCommand

if TYPE_CHECKING:
    from pipeline.config.settings import ServiceSettings
    from pipeline.run.options import RunOptions

KEY_ENV = "GRADIUM_API_KEY"
"""Unless service.api_key_env names another variable."""
LONGEST_S = 1e9
"""Of a duration: the system's clocks take no more than some hundred years."""
ONLY = ("new", "changed", "failed", "suspect", "all")
BY_ID = ("new", "changed", "failed")
"""What of the utterances that are asked for by id is done, unless --only says it."""


class Duration(click.ParamType[float]):
    """`90`, `90s`, `30m`, `6h` or `1d`, in seconds."""

    name = "duration"
    _units = {"s": 1, "m": 60, "h": 3600, "d": 86400}  # noqa: RUF012 a constant

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        text = str(value).strip().lower()
        unit = self._units.get(text[-1:], None)
        try:
            seconds = float(text[:-1]) * unit if unit else float(text)
        except ValueError:
            seconds = -1.0
        if not 0 < seconds <= LONGEST_S:
            self.fail(f"{value!r} is no duration; write it like 90s, 30m or 6h", param, ctx)
        return seconds


class Finite(click.FloatRange):
    """A number, which `nan` and `inf` are not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param=param, ctx=ctx)
        if not isfinite(number):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


class Credits(click.ParamType[float | str]):
    """A number of credits above 0, or `none`."""

    name = "credits"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        text = str(value).strip().lower()
        if text == "none":
            return text
        try:
            credits_ = float(text)
        except ValueError:
            credits_ = 0.0
        if not 0 < credits_ < float("inf"):
            self.fail(f"{value!r} is no budget; give a number of credits above 0, or none for no limit", param, ctx)
        return credits_


class OutputPath(click.Path):
    """An output folder, which need not be there; but the system has to be able to say whether it is."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fsdecode(value):
            self.fail("an empty name is no folder; was a variable meant that is not set?", param, ctx)
        path = Path(os.fsdecode(value))
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError) as error:
            self.fail(f"{value!s}: {getattr(error, 'strerror', error)}", param, ctx)
        return path


def _manifest_options(command: Callable[..., None]) -> Callable[..., None]:
    """What `check` and `run` have in common."""
    for option in (
        click.option("--skip-bad-rows", is_flag=True,
                     help="Go on without bad manifest rows, which are listed in errors.* then. Rows that share an id "
                     "are never skipped."),
        click.option("--budget", type=Credits(),
                     help="Most credits this run may spend, above 0, or none for no limit (budget.credits; exit 4). A "
                     "request that does not fit is passed over, and those behind it that fit are sent. "
                     "budget.credits_per_month bounds all runs into the output in a calendar month as well."),
        click.option("--limit", type=click.IntRange(1, 1_000_000_000),
                     help="Do at most this many utterances, whatever becomes of them, then stop (exit 4). What is "
                     "passed over for the budget does not count."),
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
                     help="Set a configuration key, e.g. --set pool.concurrency=8. Repeatable."),
        click.option("--only", type=click.Choice(ONLY), multiple=True,
                     help="Do only these utterances; repeatable. Default: what is new, changed, or failed in a way "
                     "that may pass."),
        click.option("--id", "ids", multiple=True, metavar="ID",
                     help="Do only the utterance of this id; repeatable. A failed one is tried again, whatever the "
                     "failure; a done one is sent again only where --only selects it, as --only all does."),
        click.option("--ids", "id_files", multiple=True, metavar="FILE",
                     help="The same for the ids in a file, one a line, UTF-8; - is stdin. Repeatable."),
        click.option("--out", type=OutputPath(), help="Output folder. [default: runs/<name>, with "
                     "the local recognizer runs/<name>-local; <name> is MANIFEST's without .csv, .tsv, .jsonl, "
                     ".ndjson, .json or .parquet; of a recording, a glob or several it is that of their folder]"),
        click.option("--config", type=click.Path(path_type=Path),
                     help="Configuration file (TOML), e.g. configs/local.toml. [default: the Gradium service]"),
        click.option("--include", multiple=True, metavar="GLOB",
                     help="Of folders and globs take only these files, as in '*.wav' or 'monday/**'; repeatable. "
                     "A pattern with an ending also takes files of unknown kinds, as '*.dat' does, and one that "
                     "begins with a dot hidden files. Rows of a manifest file are not filtered."),
        click.option("--exclude", multiple=True, metavar="GLOB",
                     help="Of folders and globs leave these files out, as in 'tmp/' or '*-old.*'; repeatable."),
        click.option("--strict", is_flag=True, help="Take warnings for errors: with one, nothing is sent (exit 2)."),
        click.argument("manifests", nargs=-1, required=True, metavar="MANIFEST..."),
    ):  # fmt: skip
        command = option(command)
    return command


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gradium-batch")
def main() -> None:
    """Turns a manifest of audio files into a dataset of transcripts through the Gradium speech-to-text endpoint.

    MANIFEST is a folder, a recording, a glob in quotes, a .csv, .tsv, .jsonl or .parquet file, or - for JSONL on
    stdin; several are taken together. Exit status: 0 every selected
    utterance has a transcript, 1 the run broke off, 2 usage, configuration or manifest wrong, 3 some utterances failed,
    4 stopped at a limit you set, 5 another run holds the output folder, 130/143 stopped by a signal.
    """
    hide(os.environ.get(KEY_ENV, ""))  # before anything can be shown; a key from elsewhere is hidden when it is read


@main.command()
@_manifest_options
@click.option("--json", "as_json", is_flag=True, help="Print the forecast as JSON.")
def check(
    config: Path | None,
    out: Path | None,
    overrides: tuple[str, ...],
    budget: float | str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Say what a run of these options would send and what it would cost; send nothing.

    Exit status: 0, or 2 where a run would refuse the configuration or the manifest.
    """
    with _Sentences():
        from pipeline.config import load_settings
        from pipeline.outside import json_line
        from pipeline.report.logs import say
        from pipeline.run.check import check as forecast_of
        from pipeline.run.forecast import as_table
        from pipeline.run.output import default_out

        _refuse_unprintable(asked["manifests"], out, overrides, asked["ids"])
        settings = load_settings(config, (*overrides, *_budget(budget)))
        folder = out or default_out(asked["manifests"], settings.service.url)
        forecast = forecast_of(_options(folder, shared_out=out is not None, **asked), settings)
        if as_json:
            click.echo(json_line(forecast))
        else:
            for bad in forecast.bad:
                say(bad)
            if (problem := _missing_key(settings.service)) is not None:
                say(f"a run would stop: {problem}")
            click.echo(as_table(forecast))
    refused = (forecast.bad_rows and not forecast.skips_bad_rows) or (asked["strict"] and forecast.warnings)
    _exit(ExitStatus.USAGE if refused else ExitStatus.OK)


@main.command(cls=RunCommand)
@_manifest_options
@click.option("--concurrency", type=click.IntRange(1, 1024), help="Most requests in flight (pool.concurrency).")
@click.option("--max-duration", type=Duration(), help="Stop after this time, e.g. 6h, resumable (exit 4).")
@click.option(
    "--engine",
    type=click.Choice(["local"]),
    default="local",
    show_default=True,
    help="Where the run takes place; local: in this process.",
)
@click.option(
    "--progress",
    type=click.Choice(["auto", "bar", "plain", "off"]),
    default="auto",
    show_default=True,
    help="How progress is shown on stderr; auto: a bar on a terminal, else a line now and then.",
)
@click.option(
    LOG_FORMAT,
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one object a line for everything that happens, and no table at the end.",
)
def run(
    config: Path | None,
    out: Path | None,
    overrides: tuple[str, ...],
    concurrency: int | None,
    budget: float | str | None,
    max_duration: float | None,
    engine: str,
    progress: Any,
    log_format: Any,
    **asked: Any,
) -> None:
    """Transcribe what is new, changed or worth another try; safe to interrupt and to repeat."""
    del engine  # there is one
    for number in signals_to_hear():
        signal.signal(number, partial(_on_early_signal, as_json=log_format == "json"))
    from pipeline.report.figures import LastLine, last_line
    from pipeline.report.logs import say, say_bug, say_error, say_figures, say_last, set_up_logs
    from pipeline.report.table import table

    folder = out
    try:
        from pipeline.config import load_settings
        from pipeline.engines.local import run_here
        from pipeline.run.output import default_out

        set_up_logs(log_format)
        _refuse_unprintable(asked["manifests"], out, overrides, asked["ids"])
        flags = [f"pool.concurrency={concurrency}"] if concurrency is not None else []
        settings = load_settings(config, (*overrides, *flags, *_budget(budget)))
        folder = out or default_out(asked["manifests"], settings.service.url)
        options = _options(folder, shared_out=out is not None, max_duration_s=max_duration, progress=progress, **asked)
        result = run_here(options, settings)
    except GradiumBatchError as error:
        say_error(error)
        status = status_of(error)
        say_last(LastLine(exit=status, **_stands(folder)))
        _exit(status)
    except Exception as error:
        say_bug(error)
        say_last(LastLine(exit=ExitStatus.BROKE_OFF, **_stands(folder)))
        _exit(ExitStatus.BROKE_OFF)
    if log_format == "json":
        say_figures(result.figures)
    else:
        say(*table(result.figures))
    if result.error is not None:
        say_error(result.error)
    say_last(last_line(result.figures))
    _exit(ExitStatus(result.figures.exit))


@main.command()
@click.argument("out", type=OutputPath())
@click.option("--json", "as_json", is_flag=True, help="Print the status as JSON.")
def status(out: Path, as_json: bool) -> None:
    """Say how the output folder OUT stands: done, failed and why, left, spent, the last runs."""
    with _Sentences():
        from pipeline.outside import json_line
        from pipeline.run.status import as_table
        from pipeline.run.status import status as status_of_output

        found = status_of_output(out)
        if as_json:
            click.echo(json_line(found))
        else:
            click.echo(as_table(found))


@main.command()
@click.argument("out", type=OutputPath())
@click.option("--id", "id_", required=True, help="The utterance, by its id in the manifest.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def show(out: Path, id_: str, as_json: bool) -> None:
    """Show one utterance of the output folder OUT: its row, its transcript or error, every request sent for it."""
    with _Sentences():
        from pipeline.outside import json_line
        from pipeline.run.show import as_table
        from pipeline.run.show import show as found_in

        _refuse_unprintable((), out, (), (id_,))
        found = found_in(out, id_)
        click.echo(json_line(found) if as_json else as_table(found))


@main.command()
@click.argument("out", type=OutputPath())
@click.option("--force", is_flag=True, help="Make it also where nothing is wrong with the one there is.")
def rebuild(out: Path, force: bool) -> None:
    """Make a new checkpoint for the output folder OUT from the files in it, when the old one is damaged or gone.

    Whatever is in the transcripts is then known to be done and is not sent again; the old checkpoint is kept aside.
    Where a run would just go on there is nothing to rebuild, and nothing is touched (exit 2).
    """
    for number in signals_to_hear():
        signal.signal(number, _on_signal_while_rebuilding)
    with _Sentences():
        from pipeline.outside import visible
        from pipeline.report.figures import credits_told
        from pipeline.run.rebuild import rebuild as rebuild_output
        from pipeline.sentences import plural

        made = rebuild_output(out, force=force)
        are = "is" if made.transcripts == 1 else "are"
        click.echo(
            f"{plural(made.transcripts, 'transcript')} {are} known again ({made.salvaged:,} of them from the old "
            f"checkpoint), {credits_told(made.credits)} spent"
            + (f"; the old checkpoint is {visible(str(made.old))}" if made.old else "")
        )
        kept = (plural(made.clips, "answered clip"), plural(made.runs, "earlier run"))
        click.echo(f"also kept: {made.failed:,} failed, {', '.join(kept)}")
        for path in made.damaged:
            click.echo(f"a file that could not be read is kept as {visible(str(path))}")


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes a free one.")
@click.option(
    "--recognizer",
    default="pocketsphinx",
    show_default=True,
    help="pocketsphinx, fingerprint, or package.module:factory.",
)
@click.option("--faults", type=click.Path(), help="Faults file (TOML): how it misbehaves on purpose.")
@click.option(
    "--workers", type=click.IntRange(min=0), default=0, help="Recognizer processes. [default: one per usable CPU]"
)
@click.option("--max-sessions", type=click.IntRange(min=1), help="Refuse more requests at a time than this.")
@click.option("--credits", type=Finite(min=0), default=1e7, help="Balance of the account. [default: 10 million]")
@click.option("--latency-s", type=Finite(min=0), default=0.0, help="An answer takes at least this long,")
@click.option("--realtime-factor", type=Finite(min=0), default=0.0, help="plus this many seconds per audio second.")
@click.option("--request-log", type=click.Path(), help="Append one JSON line per finished request.")
def serve(**options: Any) -> None:
    """Run the local endpoint, which speaks the service's protocol with a recognizer of its own.

    It lets in the key in GRADIUM_API_KEY, or any key when that is empty, and prints its URL as one line of JSON.
    """
    with _Sentences():
        from pipeline.server.options import ServerOptions
        from pipeline.server.serve import serve as serve_until_stopped

        serve_until_stopped(ServerOptions(key=os.environ.get(KEY_ENV) or None, **options))


class _Sentences:
    """Errors of ours end the command with a sentence and their exit status; other exceptions are bugs and stay loud."""

    def __enter__(self) -> None:
        from pipeline.report.logs import set_up_logs

        set_up_logs()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, GradiumBatchError):
            from pipeline.report.logs import say_error

            say_error(error)
            _exit(status_of(error))
        if isinstance(error, KeyboardInterrupt):
            _exit(ExitStatus.SIGINT)
        if isinstance(error, OSError) and error.errno in (errno.EPIPE, errno.ENOSPC):
            _exit(ExitStatus.BROKE_OFF)  # whoever reads stdout has gone, or the file it goes to is full


def _exit(status: ExitStatus) -> NoReturn:
    """Ends the command. What cannot be written any more to a pipe that broke changes the status no more.

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


def _options(
    out: Path, *, ids: tuple[str, ...], id_files: tuple[str, ...], only: tuple[str, ...], **asked: Any
) -> RunOptions:
    """What `check` and `run` are asked to do by the options that they have in common, and by what `run` adds. Where
    utterances are asked for by id, they are selected, and of them by default all but what is done."""
    from pipeline.run.options import RunOptions

    if ids or id_files:
        from pipeline.run.named import ids_of

        ids, only = ids_of(ids, id_files, asked["manifests"]), only or BY_ID
    return RunOptions(out=out, ids=ids, only=only, **asked)


def _stands(out: Path | None) -> Mapping[str, int]:
    """How the output stands, for the last line of a run that never came to do something."""
    from pipeline.run.status import stands

    return {} if out is None else stands(out)


def _refuse_unprintable(
    manifests: tuple[str, ...], out: Path | None, overrides: tuple[str, ...], ids: tuple[str, ...]
) -> None:
    """Text that is no UTF-8 cannot stand in the output files; better now than after everything was paid."""
    folder = str((out or Path()).absolute())
    named = {
        "MANIFEST": " ".join(str(Path(one).absolute()) for one in manifests),
        "--out": folder,
        "--set": "".join(overrides),
        "--id": "".join(ids),
    }
    for what, text in named.items():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"{what}: {text!a} is not UTF-8; rename what it names, or write it otherwise") from None


def _budget(budget: float | str | None) -> list[str]:
    """--budget as a setting."""
    return [] if budget is None else [f"budget.credits={budget}"]


def _missing_key(service: ServiceSettings) -> str | None:
    """Why a run would have no key, which a forecast does not need."""
    from pipeline.gradium.key import read_key

    if service.url == "local":
        return None
    try:
        read_key(service)
    except ConfigError as error:
        return str(error)
    return None


def _on_signal_while_rebuilding(number: int, frame: object) -> NoReturn:
    """At any moment: whatever was done stays, and the next rebuild goes on from it."""
    os.write(2, b"gradium-batch: stopped; run the same command again to finish the rebuild\n")
    os._exit(signals_to_hear()[signal.Signals(number)])


def _on_early_signal(number: int, frame: object, *, as_json: bool) -> NoReturn:
    """Before the run has its own way to hear signals: nothing was sent."""
    status = signals_to_hear()[signal.Signals(number)]
    line = f"done=0 failed=0 left=0 audio_s=0.0 credits=0.0 rtfx=0.00 wall_s=0.0 exit={status:d}"
    if as_json:  # written here: nothing is loaded yet
        line = f'{{"{line}}}'.replace("=", '":').replace(" ", ',"')
    os.write(2, f"{line}\n".encode())
    os._exit(status)
