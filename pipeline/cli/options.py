"""Options that several commands share, the types of their values, and what is made of them: settings and RunOptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.run.asked import LONGEST_S, MOST, ONLY, ONLY_BY_ID, absolute, output_problem
from pipeline.run.asked import refuse_unprintable as refuse_unprintable_texts

if TYPE_CHECKING:
    from pipeline.config import Settings
    from pipeline.run.context import RunOptions

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> float:
    """The seconds of `90`, `90s`, `30m`, `6h` or `1d`."""
    value = text.strip().lower()
    unit_s = UNITS_S.get(value[-1:])
    try:
        seconds = float(value[:-1]) * unit_s if unit_s else float(value)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= LONGEST_S:
        raise click.BadParameter(f"{text!r} is no duration; write it like 90s, 30m, 6h or 30d")
    return seconds


def credits_or_none(text: str) -> float | str:
    """A number of credits above 0, or `none`."""
    if (value := text.strip().lower()) == "none":
        return value
    with suppress(ValueError):
        if 0 < float(value) < inf:
            return float(value)
    raise click.BadParameter(f"{text!r} is no budget; give a number of credits above 0, or none for no limit")


def finite(context: click.Context, option: click.Parameter, number: float) -> float:
    """A callback for a FloatRange, which takes `nan` and `inf`."""
    if not isfinite(number):
        raise click.BadParameter(f"{number!r} is no number")
    return number


def output_path(text: str) -> Path:
    """An output folder, which need not be there; but the system has to be able to say whether it is."""
    if (problem := output_problem(text)) is not None:
        raise click.BadParameter(problem)
    return Path(text)


out_argument = click.argument("out", type=output_path)
progress_option = click.option(
    "--progress",
    type=click.Choice(["auto", "bar", "plain", "off"]),
    default="auto",
    show_default=True,
    help="How progress is shown on stderr; auto: a bar on a terminal, else a line now and then.",
)
_MANIFEST_OPTIONS = (
    click.argument("manifests", nargs=-1, required=True, metavar="MANIFEST..."),
    click.option("--strict", is_flag=True, help="Take warnings for errors: with one, nothing is sent (exit 2)."),
    click.option("--exclude", multiple=True, metavar="GLOB",
                 help="Of folders and globs leave these files out, as in 'tmp/' or '*-old.*'; repeatable."),
    click.option("--include", multiple=True, metavar="GLOB",
                 help="Of folders and globs take only these files, as in '*.wav' or 'monday/**'; repeatable. "
                 "A pattern with an ending also takes files of unknown kinds, as '*.dat' does, and one that "
                 "begins with a dot hidden files. Rows of a manifest file are not filtered."),
    click.option("--config", type=click.Path(path_type=Path),
                 help="Configuration file (TOML), e.g. configs/local.toml. [default: the Gradium service]"),
    click.option("--out", type=output_path, metavar="PATH", help="Output folder. [default: runs/<name>, with "
                 "the local recognizer runs/<name>-local; <name> is MANIFEST's without .csv, .tsv, .jsonl, "
                 ".ndjson, .json, .parquet or .gz; of a recording, a glob or several it is that of their folder]"),
    click.option("--id", "ids", multiple=True, metavar="ID",
                 help="Do only the utterance of this id; repeatable. A failed one is tried again, whatever the "
                 "failure; a done one is sent again only where --only selects it, as --only all does."),
    click.option("--ids", "id_files", multiple=True, metavar="FILE",
                 help="The same for the ids in a file, one a line, UTF-8; - is stdin. Repeatable."),
    click.option("--only", type=click.Choice(ONLY), multiple=True,
                 help="Do only these utterances; repeatable. Default: what is new, changed, or failed in a way "
                 "that may pass."),
    click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
                 help="Set a configuration key, e.g. --set pool.concurrency=8. Repeatable."),
    click.option("--limit", type=click.IntRange(1, MOST),
                 help="Do at most this many utterances, successful or not, then stop (exit 4). What is "
                 "passed over for the budget does not count."),
    click.option("--budget", type=credits_or_none, metavar="CREDITS",
                 help="Most credits this run may spend, above 0, or none for no limit (budget.credits; exit 4). A "
                 "request that does not fit is passed over, and those behind it that fit are sent. "
                 "budget.credits_per_month bounds all runs into the output in a calendar month as well."),
    click.option("--skip-bad-rows", is_flag=True,
                 help="Go on without bad manifest rows, which are listed in errors.* then. Rows that share an id "
                 "are never skipped."),
)  # fmt: skip


def manifest_options(command: Callable[..., None]) -> Callable[..., None]:
    """What `check` and `run` have in common, in the order of the help."""
    for option in reversed(_MANIFEST_OPTIONS):
        command = option(command)
    return command


def json_option(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`--json`, which prints `what`."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON.")


def settings_of(config: Path | None, overrides: Sequence[str], **flags: object) -> Settings:
    """The settings, with the flags that stand for a key; those that were not given are None. Raises ConfigError."""
    from pipeline.config import load_settings

    keys = {"budget": "budget.credits", "concurrency": "pool.concurrency"}
    given = [f"{keys[name]}={value}" for name, value in flags.items() if value is not None]
    return load_settings(config, (*overrides, *given))


def run_options(
    out: Path, *, ids: tuple[str, ...], id_files: tuple[str, ...], only: tuple[str, ...], **asked: Any
) -> RunOptions:
    """What `check` and `run` are asked to do by the options that they have in common, and by what `run` adds. Where
    utterances are asked for by id, they are selected, and of them by default all but what is done.

    Raises UsageError for a file of ids that cannot be read."""
    from pipeline.run.context import RunOptions

    if ids or id_files:
        from pipeline.cli.ids import ids_of

        ids, only = ids_of(ids, id_files, asked["manifests"]), only or ONLY_BY_ID
    return RunOptions(out=out, ids=ids, only=only, **asked)


def refuse_unprintable(
    out: Path | None, ids: Sequence[str], manifests: Sequence[str] = (), overrides: Sequence[str] = ()
) -> None:
    """Raises ConfigError for text that is no UTF-8, and where paths count from a removed working folder."""
    refuse_unprintable_texts(
        {
            "MANIFEST": " ".join(map(absolute, manifests)),
            "--out": absolute(out or Path()),
            "--set": "".join(overrides),
            "--id": "".join(ids),
        }
    )
