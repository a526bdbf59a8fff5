"""What `check` foretells, and how a person is told. Pure."""

from __future__ import annotations

import msgspec

from pipeline.outside import visible
from pipeline.report.figures import above_budget, length, plural, waiting

PROBLEMS_SHOWN = 10


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance that would fail before anything is sent."""

    id: str
    error: str
    message: str


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What `run` would meet, as far as headers and the content of files tell."""

    rows: int
    bad_rows: int
    missing: int
    """Files that are not there, over all rows."""
    new: int
    changed: int
    done: int
    failed: int
    vanished: int
    gone: int
    """Done ones whose recording is not there."""
    many_gone: str | None
    """A sentence, where so many recordings are gone since the last run that a disk may not be mounted."""
    selected: int
    postponed: int
    """Failed ones that the run leaves out, because they failed run after run, and …"""
    postponed_runs: int
    """… how many runs leave out the first of them."""
    unsendable: dict[str, int]
    """Selected utterances that would fail before anything is sent, by class of error."""
    unchanged: int
    """Selected utterances whose file only looks changed: nothing is sent for them."""
    copies: int
    """Those whose very audio is sent for another one, or has a transcript already: nothing is sent for them either."""
    answered_clips: int
    """Pieces of long recordings that were answered in runs that did not finish them; not among …"""
    requests: int
    audio_s: float
    """Seconds of the utterances that they are for."""
    sent_s: float
    """Seconds that they carry: of each channel that is sent by itself what has no answer yet, and the lead silence."""
    credits: float
    budget: float | None
    month: str
    """The calendar month (UTC), as `2026-11`, and …"""
    month_spent: float | None
    """… what was spent in it into the output folder, counting what may have been billed; None where an older version
    has not summed that and there is no budget for the month."""
    month_budget: float | None
    month_left: float | None
    above_budget: int
    """Utterances that have a request which costs more than the whole budget, as far as headers tell."""
    above_credits: tuple[float, float] | None
    """What those requests cost, the least and the most."""
    above_ids: list[str]
    """The first of those utterances."""
    bad: list[str]
    """What is wrong with the first bad rows."""
    problems: list[Problem]
    """The first unsendable utterances."""
    warnings: list[str] = []
    """What is odd about the manifests and no fault of a row: the first of …"""
    warning_count: int = 0
    ignored: dict[str, int] = {}
    """Files that were left out of folders, by what their names end in, or `hidden` or `excluded`, and …"""
    ignored_told: str = ""
    """… in a sentence, with the folders that were not searched."""


def as_table(forecast: Forecast) -> str:
    """The forecast for a person."""
    states = {"new": forecast.new, "changed": forecast.changed, "done": forecast.done, "failed": forecast.failed}
    lines = [
        ("rows", f"{forecast.rows:,} ({', '.join(f'{count:,} {name}' for name, count in states.items())})"),
        ("bad rows", f"{forecast.bad_rows:,}"),
        *([("ignored", forecast.ignored_told.removeprefix("ignored "))] if forecast.ignored_told else []),
        ("missing files", f"{forecast.missing:,}"),
        ("gone", f"{forecast.gone:,} of the done: their recordings are not there"),
        ("vanished", f"{forecast.vanished:,} no longer in the manifest"),
        *([("warning", forecast.many_gone)] if forecast.many_gone else []),
        ("to do", plural(forecast.selected, "utterance")),
        *([("waiting", waiting(forecast.postponed, forecast.postponed_runs))] if forecast.postponed else []),
        (
            "not sent",
            f"{forecast.unchanged:,} unchanged by content, {forecast.copies:,} copies of what is sent or done, "
            f"{forecast.answered_clips:,} answered clips",
        ),
        ("unsendable", ", ".join(f"{count:,} {name}" for name, count in forecast.unsendable.items()) or "none"),
        *(("", f"{found.id}: {found.message}") for found in forecast.problems[:PROBLEMS_SHOWN]),
        ("would send", f"{plural(forecast.requests, 'request')}, {length(forecast.sent_s)} of audio"),
        ("credits", f"{forecast.credits:,.0f} (3 per second that is sent, without retries)"),
    ]
    budgets = []
    if forecast.budget is not None:
        budgets.append(("budget", f"{forecast.budget:g} credits"))
    if forecast.month_budget is not None:
        told = f"{forecast.month_left:,g} of {forecast.month_budget:,g} credits left in {forecast.month} (UTC)"
        budgets.append(("this month", told))
    if budgets and (above := forecast.above_credits) is not None:
        named = above_budget(forecast.above_budget, *above, forecast.above_ids)
        budgets[0] = budgets[0][0], f"{budgets[0][1]}; {named}"
    lines += budgets
    return "\n".join(visible(f"{name:<13}  {value}") for name, value in lines)
