"""`gradium-batch run`: transcribes what is to be done. Its last line on stderr is the one for scripts."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from pipeline.cli.base import LOG_FORMAT, RunCommand, counts_of, end
from pipeline.cli.options import (
    duration,
    manifest_options,
    progress_option,
    refuse_unprintable,
    run_options,
    settings_of,
)
from pipeline.errors import GradiumBatchError
from pipeline.exits import ExitStatus, stop_signals
from pipeline.failures import status_of


@click.command("run", cls=RunCommand)
@manifest_options
@click.option("--concurrency", type=click.IntRange(1, 1024), help="Most requests in flight (pool.concurrency).")
@click.option(
    "--max-duration", type=duration, metavar="DURATION", help="Stop after this time, e.g. 6h, resumable (exit 4)."
)
@click.option(
    "--engine",
    type=click.Choice(["local"]),
    default="local",
    show_default=True,
    help="Where the run takes place; local: in this process.",
)
@progress_option
@click.option(
    LOG_FORMAT,
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one object a line for everything that happens, and no table at the end.",
)
def command(
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
    """Transcribe what is new, changed or worth another try; safe to interrupt and to repeat.

    MANIFEST is a folder, a recording, a glob in quotes, a .csv, .tsv, .jsonl (each also as .gz) or .parquet file, or -
    for JSONL on stdin; but for the last also at an address: s3://BUCKET/PREFIX/, gs://, az://, https://HOST/FILE.
    """
    del engine  # there is one
    for number in stop_signals():
        signal.signal(number, partial(_on_early_signal, as_json=log_format == "json"))
    from pipeline.report.figures import LastLine, last_line
    from pipeline.report.logs import say, say_bug, say_error, say_figures, say_last, set_up_logs
    from pipeline.report.table import table

    folder = out
    try:
        from pipeline.engines.local import run_here
        from pipeline.run.output import default_out

        set_up_logs(log_format)
        refuse_unprintable(out, asked["ids"], asked["manifests"], overrides)
        settings = settings_of(config, overrides, concurrency=concurrency, budget=budget)
        folder = out or default_out(asked["manifests"], settings.service.url)
        options = run_options(
            folder, shared_out=out is not None, max_duration_s=max_duration, progress=progress, **asked
        )
        result = run_here(options, settings)
    except Exception as error:
        is_ours = isinstance(error, GradiumBatchError)
        (say_error if is_ours else say_bug)(error)
        status = status_of(error) if isinstance(error, GradiumBatchError) else ExitStatus.BROKE_OFF
        say_last(LastLine(exit=status, **counts_of(folder)))
        end(status)
    if log_format == "json":
        say_figures(result.figures)
    else:
        say(*table(result.figures))
    if result.error is not None:
        say_error(result.error)
    say_last(last_line(result.figures))
    end(ExitStatus(result.figures.exit))


def _on_early_signal(number: int, frame: object, *, as_json: bool) -> NoReturn:
    """Ends the process before the run handles signals itself: nothing was sent."""
    status = stop_signals()[signal.Signals(number)]
    line = f"done=0 failed=0 left=0 audio_s=0.0 credits=0.0 rtfx=0.00 wall_s=0.0 exit={status:d}"
    if as_json:  # written here: nothing is loaded yet
        line = f'{{"{line}}}'.replace("=", '":').replace(" ", ',"')
    os.write(2, f"{line}\n".encode())
    os._exit(status)
