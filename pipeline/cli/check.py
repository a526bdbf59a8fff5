"""`gradium-batch check`: what a run would send and cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.base import Command, end
from pipeline.cli.options import json_option, manifest_options, refuse_unprintable, run_options, settings_of
from pipeline.errors import ConfigError
from pipeline.exits import ExitStatus

if TYPE_CHECKING:
    from pipeline.config.settings import ServiceSettings


@click.command("check", cls=Command)
@manifest_options
@json_option("the forecast")
def command(
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
    from pipeline.report.logs import say
    from pipeline.run.check import check
    from pipeline.run.forecast_table import as_table
    from pipeline.run.output import default_out
    from pipeline.texts import json_line, plural

    refuse_unprintable(out, asked["ids"], asked["manifests"], overrides)
    settings = settings_of(config, overrides, budget=budget)
    folder = out or default_out(asked["manifests"], settings.service.url)
    forecast = check(run_options(folder, shared_out=out is not None, **asked), settings)
    if as_json:
        click.echo(json_line(forecast))
    else:
        for bad in forecast.bad:
            say(bad)
        if (problem := _missing_key(settings.service)) is not None:
            say(f"a run would stop: {problem}")
        click.echo(as_table(forecast))
    if asked["strict"] and forecast.warning_count:
        warnings = plural(forecast.warning_count, "warning")
        say(f"gradium-batch: {warnings} (see above): with --strict a run refuses the manifest and sends nothing")
        end(ExitStatus.USAGE)
    end(ExitStatus.USAGE if forecast.bad_rows and not forecast.skips_bad_rows else ExitStatus.OK)


def _missing_key(service: ServiceSettings) -> str | None:
    """Why a run would have no key, which a forecast does not need."""
    from pipeline.gradium.key import read_key

    if service.url != "local":
        try:
            read_key(service)
        except ConfigError as error:
            return str(error)
    return None
