"""What `check` foretells, and how a person is told. Pure."""

from __future__ import annotations

import msgspec

from pipeline.outside import visible
from pipeline.profile import GRADIUM
from pipeline.report.figures import above_budget, credits_told, length, rounded, waiting
from pipeline.run.fitting import Fitting, Problem
from pipeline.sentences import plural

PROBLEMS_SHOWN = 10


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What `run` would meet, as far as headers and the content of files tell."""

    rows: int
    """All of the manifest's, bad ones included."""
    bad_rows: int
    """None of which counts as new or failed."""
    skips_bad_rows: bool
    """A run of these options goes on without them; where it does not, it refuses the manifest."""
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
    limit: int | None
    """--limit, and …"""
    beyond_limit: int
    """… how many of the selected it leaves for another run: what follows is of the others."""
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
    """Seconds of recordings that they carry, however many channels are sent by themselves."""
    sent_s: float
    """Seconds that they carry: of each channel that is sent by itself what has no answer yet, and the lead silence."""
    credits: float
    """What they cost, whatever the budget."""
    estimated_credits: float
    """What of that is an estimate: no header counts how long the recordings are, or several channels are priced that
    may turn out to be silent or alike; and …"""
    estimated_share: float
    """… what part of the whole it is."""
    budget: float | None
    month: str
    """The calendar month (UTC), as `2026-11`, and …"""
    month_spent: float | None
    """… what was spent in it into the output folder, counting what may have been billed; None where an older version
    has not summed that and there is no budget for the month."""
    month_budget: float | None
    month_left: float | None
    fitting: Fitting | None
    """What the smaller of both budgets lets through; None where there is none."""
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
        ("bad rows", f"{forecast.bad_rows:,}{_refused(forecast)}"),
        *([("ignored", forecast.ignored_told.removeprefix("ignored "))] if forecast.ignored_told else []),
        ("missing files", f"{forecast.missing:,}"),
        ("gone", f"{forecast.gone:,} of the done: their recordings are not there"),
        ("vanished", f"{forecast.vanished:,} no longer in the manifest"),
        *([("warning", forecast.many_gone)] if forecast.many_gone else []),
        ("to do", f"{plural(forecast.selected, 'utterance')}{_limited(forecast)}"),
        *([("waiting", waiting(forecast.postponed, forecast.postponed_runs))] if forecast.postponed else []),
        (
            "not sent",
            f"{forecast.unchanged:,} unchanged by content, {forecast.copies:,} copies of what is sent or done, "
            f"{forecast.answered_clips:,} answered clips",
        ),
        ("unsendable", ", ".join(f"{count:,} {name}" for name, count in forecast.unsendable.items()) or "none"),
        *(("", f"{found.id}: {found.message}") for found in forecast.problems[:PROBLEMS_SHOWN]),
        ("would send", f"{plural(forecast.requests, 'request')}, {length(forecast.sent_s)} of audio"),
        (
            "credits",
            f"{rounded(forecast.credits)} ({GRADIUM.credits_per_s:g} per second that is sent, without retries)",
        ),
    ]
    if forecast.estimated_credits:
        lines.append(("estimated", _estimated(forecast)))
    budgets = []
    if forecast.budget is not None:
        budgets.append(("budget", credits_told(forecast.budget)))
    if forecast.month_budget is not None:
        left = f"{rounded(forecast.month_left or 0)} of {credits_told(forecast.month_budget)} left"
        budgets.append(("this month", f"{left} in {forecast.month} (UTC)"))
    if budgets and (above := forecast.above_credits) is not None:
        named = above_budget(forecast.above_budget, *above, forecast.above_ids)
        budgets[0] = budgets[0][0], f"{budgets[0][1]}; {named}"
    lines += budgets
    if forecast.fitting is not None:
        lines.append(("fits", _fits(forecast, forecast.fitting)))
    return "\n".join(visible(f"{name:<13}  {value}") for name, value in lines)


def _refused(forecast: Forecast) -> str:
    if not forecast.bad_rows:
        return ""
    if forecast.skips_bad_rows:
        return ": skipped, and listed in errors.*"
    return ": a run refuses the manifest and sends nothing"


def _limited(forecast: Forecast) -> str:
    if not forecast.beyond_limit:
        return ""
    return f"; --limit {forecast.limit:,} leaves {forecast.beyond_limit:,} of them for another run"


def _estimated(forecast: Forecast) -> str:
    return (
        f"{rounded(forecast.estimated_credits)} of these credits ({forecast.estimated_share:.0%}): no header counts "
        "the length, or channels may turn out alike or silent"
    )


def _fits(forecast: Forecast, fitting: Fitting) -> str:
    if not fitting.passed_over:
        return "all of it"
    passed = f"{plural(fitting.passed_over, 'utterance')} passed over"
    if not fitting.requests:
        return f"nothing; {passed}"
    return (
        f"{fitting.requests:,} of {plural(forecast.requests, 'request')}, {credits_told(fitting.credits)}; "
        f"{plural(fitting.utterances, 'utterance')} done, {passed}"
    )
