"""`gradium-batch check`: what a run would send and cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipeline.cli.base import Command, end
from pipeline.cli.options import json_option, manifest_options, refuse_unprintable, run_options, settings_of
from pipeline.errors import ConfigError, KeyRefused
from pipeline.exits import ExitStatus
from pipeline.failures import status_of


@click.command("check", cls=Command)
@manifest_options
@click.option("--offline", is_flag=True, help="Do not ask the service for the balance: use no network.")
@json_option("the forecast")
def command(
    config: Path | None,
    out: Path | None,
    overrides: tuple[str, ...],
    budget: float | str | None,
    offline: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Say what a run of these options would send and cost, and what the account would have left; send nothing.

    MANIFEST is a folder, a recording, a glob in quotes, a .csv, .tsv, .jsonl (each also as .gz) or .parquet file, or -
    for JSONL on stdin; but for the last also at an address: s3://BUCKET/PREFIX/, gs://, az://, https://HOST/FILE.

    Recordings at addresses are not downloaded: at most 60 kB of each are read.

    Where there is an API key, the service is asked for the balance, once and for 5 seconds at most.

    Exit status: 0, 1 for a key that is refused or a store that is out or refuses everything, or 2 where a run would
    refuse the configuration or the manifest.
    """
    from pipeline.engines.forecast import forecast
    from pipeline.report.logs import say, say_error
    from pipeline.run.forecast_table import as_table
    from pipeline.run.output import default_out
    from pipeline.texts import json_line, plural

    refuse_unprintable(out, asked["ids"], asked["manifests"], overrides)
    settings = settings_of(config, overrides, budget=budget)
    folder = out or default_out(asked["manifests"], settings.service.url)
    found = forecast(run_options(folder, shared_out=out is not None, **asked), settings, offline=offline)
    told = found.forecast
    if as_json:
        click.echo(json_line(told))
    else:
        for bad in told.bad:
            say(bad)
        if isinstance(found.error, ConfigError):
            say(f"a run would stop: {found.error}")
        elif found.was_asked and found.error is None:
            if told.balance_unknown is not None:
                say(f"the account's balance is not known: {told.balance_unknown}")
            if settings.service.require_credits and told.selected and (told.left_after is None or told.left_after < 0):
                why = "is not known" if told.left_after is None else "does not suffice"
                say(f"a run would stop: the balance {why} (service.require_credits)")
        click.echo(as_table(told))
    if isinstance(found.error, KeyRefused):
        say_error(found.error)
        end(status_of(found.error))
    if asked["strict"] and told.warning_count:
        warnings = plural(told.warning_count, "warning")
        say(f"gradium-batch: {warnings} (see above): with --strict a run refuses the manifest and sends nothing")
        end(ExitStatus.USAGE)
    end(ExitStatus.USAGE if told.bad_rows and not told.skips_bad_rows else ExitStatus.OK)
