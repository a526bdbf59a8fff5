"""Tables for people: that at the end of a run, and the rows that `status` and `check` have in common with it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.report.account import AccountFigures
from pipeline.report.figures import DelayCorrection, Figures, Standing, Untried, format_credits, length
from pipeline.texts import plural, visible

Row = tuple[str, str]


def aligned(rows: Sequence[Row]) -> list[str]:
    """The lines of a table of names and values."""
    width = max(len(name) for name, _ in rows)
    return [visible(f"{name:<{width}}  {value}").rstrip() for name, value in rows]


def table(figures: Figures) -> list[str]:
    """The end-of-run table, in lines."""
    rows = [("done", f"{figures.done:,} of {figures.rows:,}{suspect(figures)}")]
    rows += [failed_row(figures)] if figures.failed else []
    rows += [
        (
            f"  {failure.error}",
            f"{failure.count:,}   e.g. {failure.example_id}{_for_runs(failure.runs)}: "
            + _one_line(failure.example_message),
        )
        for failure in figures.failures
    ]
    rows += untried_rows(figures.untried) + waiting_rows(figures.postponed, figures.postponed_runs)
    if figures.redo_failed:
        rows.append(("again", f"{figures.redo_failed:,} of the done failed when repeated; their transcripts stay"))
    if figures.left:
        unasked = figures.untried.left_unasked
        rows.append(("left", f"{figures.left:,}{f', {unasked:,} of them not asked for' if unasked else ''}"))
    rows += kept_rows(figures)
    rows.append(("found", f"{figures.new:,} new, {figures.changed:,} changed{_reused(figures)}"))
    rows.append(("sent", _sent(figures)))
    rows += account_rows(figures.account)
    if figures.outages:
        ended = "the last one still lasted at the end" if figures.outage_lasts else "waited out"
        rows.append(("outages", f"{figures.outages}, {ended}"))
    rows += measured_rows(figures)
    rows += [
        (f"unknown refusal x{count}", f"{_one_line(text)} (please report it)")
        for text, count in figures.unknown_refusals.items()
    ]
    if figures.stopped_by is not None:
        rows.append(("stopped by", " ".join(figures.stopped_by.split())))
    rows.append(("output", figures.out))
    if figures.many_gone is not None:
        rows.append(("warning", figures.many_gone))
    return aligned(rows)


def account_rows(found: AccountFigures | None) -> list[Row]:
    """What the account paid beside the ledger of one run."""
    return [] if found is None else [("account", found.sentence)]


def suspect(found: Standing) -> str:
    """How many of the done are suspect, to follow their number."""
    return f" ({found.suspect:,} suspect)" if found.suspect else ""


def failed_row(found: Standing) -> Row:
    """How many failed, and how many of them have a transcript all the same."""
    kept = found.kept - found.partial
    parts = [f"{kept:,} of them keep the transcript they had"] if kept else []
    parts += [f"{found.partial:,} of them have a transcript with gaps"] if found.partial else []
    return "failed", f"{found.failed:,}" + (f" ({', '.join(parts)})" if parts else "")


def waiting_rows(count: int, runs: int) -> list[Row]:
    """How many of the failed the next run leaves out, and how many `runs` leave out the first of them."""
    if not count:
        return []
    first, them = ("", "it") if count == 1 else ("the first ", "them")
    return [
        ("waiting", f"{count:,} of the failed, {first}for {plural(runs, 'more run')}; --only failed tries {them} now")
    ]


def kept_rows(found: Standing) -> list[Row]:
    """Done rows whose recording is missing, and rows that are no longer in the manifest."""
    parts = [
        (found.gone, "gone", "of the done: their recordings are not there; what they have is kept"),
        (found.vanished, "vanished", "no longer in the manifest; what they have is kept"),
    ]
    return [(name, f"{count:,} {text}") for count, name, text in parts if count]


def measured_rows(found: Standing) -> list[Row]:
    """The word error rate, the decoder's delay and the plan's limit, where they are known."""
    rows = [] if found.wer is None else [("WER", f"{found.wer:.1%} over all transcripts with a reference")]
    if (delay := found.delay_correction) is not None:
        rows.append(("delay", delay_text(delay)))
    if found.learned_concurrency:
        rows.append(("plan's limit", f"{plural(found.learned_concurrency, 'request')} at a time"))
    return rows


def delay_text(found: DelayCorrection) -> str:
    """Whether the decoder's delay is taken off the times, and why."""
    counted = found.answers_on + found.answers_off
    agree = found.answers_on if found.applied == "on" else found.answers_off
    why = {
        "answers": f"{agree} of {counted} answers say so",
        "earlier transcripts": "as in the earlier transcripts of this output",
        "rebuild": "as the last rebuild was told",
        None: f"{agree} of {plural(counted, 'answer')} so far say so" if counted else "no answer has told so far",
    }[found.decided_by]
    what = "taken off the times" if found.applied == "on" else "not taken off the times, which do not contain it"
    but = f"; not so in {plural(found.others, 'transcript')}, as service.delay_correction said" if found.others else ""
    doubt = "; the newest answers speak against that: see docs/configuration.md" if found.doubted else ""
    return f"{what} ({why}){but}{doubt}"


def untried_rows(untried: Untried) -> list[Row]:
    """Why failed ones were not tried, in rows of a table."""
    missing, own_fault = "wait for their files; not tried", "failed for their own fault; not tried until they change"
    if untried.missing == 1:
        missing = "waits for its file; not tried"
    if untried.own_fault == 1:
        own_fault = "failed for its own fault; not tried until it changes"
    parts = [
        (untried.missing, "waiting", missing),
        (untried.own_fault, "left alone", f"{own_fault}, or is asked for by --only failed"),
        (untried.postponed, "left out", "of the failed, after failing run after run; not tried"),
        (untried.unreached, "not reached", "of the failed; not tried"),
        (untried.unasked, "not asked for", "of the failed; not tried"),
    ]
    return [(name, f"{count:,} {text}") for count, name, text in parts if count]


def _reused(figures: Figures) -> str:
    return f"; {figures.reused:,} known by their content" if figures.reused else ""


def _for_runs(runs: int) -> str:
    return f" ({runs} runs since it first failed)" if runs > 1 else ""


def _sent(figures: Figures) -> str:
    if not figures.requests:
        return "nothing"
    again = f" ({figures.retries:,} of them again)" if figures.retries else ""
    audio = f"{length(figures.audio_s)} of audio" if figures.audio_s else "nothing transcribed"
    pace = f" (RTFx {figures.rtfx:.1f})" if figures.audio_s else ""
    return (
        f"{plural(figures.requests, 'request')}{again}: {audio} in {figures.wall_s:.1f} s{pace}, "
        f"{format_credits(figures.credits, figures.credits_maybe_billed)}{' of the local server' * figures.local}"
    )


def _one_line(text: str, limit: int = 100) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
