"""A forecast as the table that `check` prints."""

from __future__ import annotations

from pipeline.price import Price
from pipeline.report.figures import above_budget, format_credits, length, rounded
from pipeline.report.table import aligned, waiting_rows
from pipeline.run.check import Forecast
from pipeline.run.costs import Fitting
from pipeline.texts import plural

PROBLEMS_SHOWN = 10


def as_table(forecast: Forecast) -> str:
    """The forecast for a person."""
    states = {"new": forecast.new, "changed": forecast.changed, "done": forecast.done, "failed": forecast.failed}
    price = Price(forecast.credits_per_s, forecast.unit_s, forecast.overhead_s)
    refused, limited = "", ""
    if forecast.bad_rows:
        skipped = ": skipped, and listed in errors.*"
        refused = skipped if forecast.skips_bad_rows else ": a run refuses the manifest and sends nothing"
    if forecast.beyond_limit:
        limited = f"; --limit {forecast.limit:,} leaves {forecast.beyond_limit:,} of them for another run"
    lines = [
        ("output", forecast.out + ("" if forecast.out_exists else " (not there yet)")),
        ("rows", f"{forecast.rows:,} ({', '.join(f'{count:,} {name}' for name, count in states.items())})"),
        ("bad rows", f"{forecast.bad_rows:,}{refused}"),
        *([("ignored", forecast.ignored_told.removeprefix("ignored "))] if forecast.ignored_told else []),
        ("missing files", f"{forecast.missing:,}"),
        ("gone", f"{forecast.gone:,} of the done: their recordings are not there"),
        ("vanished", f"{forecast.vanished:,} no longer in the manifest"),
        *([("warning", forecast.many_gone)] if forecast.many_gone else []),
        ("to do", f"{plural(forecast.selected, 'utterance')}{limited}"),
        *waiting_rows(forecast.postponed, forecast.postponed_runs),
        (
            "not sent",
            f"{forecast.unchanged:,} unchanged by content, {forecast.copies:,} copies of what is sent or done, "
            f"{forecast.answered_clips:,} answered clips",
        ),
        ("unsendable", ", ".join(f"{count:,} {name}" for name, count in forecast.unsendable.items()) or "none"),
        *(("", f"{found.id}: {found.message}") for found in forecast.problems[:PROBLEMS_SHOWN]),
        ("would send", f"{plural(forecast.requests, 'request')}, {length(forecast.sent_s)} of audio"),
        *([("", forecast.uncompared_told)] if forecast.uncompared_told else []),
        *([("clips", forecast.shorter_clips.removeprefix("clips of "))] if forecast.shorter_clips else []),
        ("credits", f"{rounded(forecast.credits)} ({price}, without retries)"),
    ]
    if forecast.estimated_credits:
        part = f"{rounded(forecast.estimated_credits)} of these credits ({forecast.estimated_share:.0%})"
        why = "no header counts the length, or channels may turn out alike or silent"
        if forecast.unit_s:
            why += ", or long recordings are cut in pauses that are not known yet"
        lines.append(("estimated", f"{part}: {why}"))
    budgets = []
    if forecast.budget is not None:
        budgets.append(("budget", format_credits(forecast.budget)))
    if forecast.month_budget is not None:
        left = f"{rounded(forecast.month_left or 0)} of {format_credits(forecast.month_budget)} left"
        budgets.append(("this month", f"{left} in {forecast.month} (UTC)"))
    if budgets and (above := forecast.above_credits) is not None:
        named = above_budget(forecast.above_budget, *above, forecast.above_ids)
        budgets[0] = budgets[0][0], f"{budgets[0][1]}; {named}"
    lines += budgets
    if forecast.fitting is not None:
        lines.append(("fits", _fits(forecast, forecast.fitting)))
    if forecast.money is not None:
        spent = format_credits(forecast.fitting_credits)
        lines.append(("money", f"{forecast.money:,.2f} ({spent} at {forecast.per_1000_credits:.10g} for 1,000)"))
    return "\n".join(aligned([*lines, *_balance(forecast)]))


def _balance(forecast: Forecast) -> list[tuple[str, str]]:
    if forecast.balance is None or forecast.left_after is None:
        return [("balance", f"unknown ({forecast.balance_unknown})")]
    left = rounded(forecast.left_after)
    if forecast.left_after < 0:
        left = f"nothing: the balance does not suffice, {format_credits(-forecast.left_after)} are missing"
    return [("balance", format_credits(forecast.balance)), ("left after", left)]


def _fits(forecast: Forecast, fitting: Fitting) -> str:
    if not fitting.passed_over:
        return "all of it"
    passed = f"{plural(fitting.passed_over, 'utterance')} passed over"
    if not fitting.requests:
        return f"nothing; {passed}"
    if forecast.limit is None:
        requests = f"{fitting.requests:,} of {plural(forecast.requests, 'request')}"
    else:  # these may be others: what is passed over takes no place of the limit
        requests = plural(fitting.requests, "request")
    return f"{requests}, {format_credits(fitting.credits)}; {plural(fitting.utterances, 'utterance')} done, {passed}"
