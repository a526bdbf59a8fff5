"""The table at the end of a run. Pure."""

from __future__ import annotations

from pipeline.report.figures import Figures, Untried, credits_told, keeping, length, waiting
from pipeline.texts import plural


def table(figures: Figures) -> list[str]:
    """The end-of-run table, in lines."""
    suspect = f" ({figures.suspect:,} suspect)" if figures.suspect else ""
    rows = [("done", f"{figures.done:,} of {figures.rows:,}{suspect}")]
    if figures.failed:
        rows.append(("failed", f"{figures.failed:,}{keeping(figures.kept, figures.partial)}"))
    rows += [
        (
            f"  {failure.error}",
            f"{failure.count:,}   e.g. {failure.example_id}{_for_runs(failure.runs)}: "
            + _one_line(failure.example_message),
        )
        for failure in figures.failures
    ]
    rows += untried_rows(figures.untried)
    if figures.postponed:
        rows.append(("waiting", waiting(figures.postponed, figures.postponed_runs)))
    if figures.redo_failed:
        rows.append(("again", f"{figures.redo_failed:,} of the done failed when asked for again; they keep theirs"))
    if figures.left:
        unasked = figures.untried.left_unasked
        rows.append(("left", f"{figures.left:,}{f', {unasked:,} of them not asked for' if unasked else ''}"))
    rows += kept_rows(figures.gone, figures.vanished)
    rows.append(("found", f"{figures.new:,} new, {figures.changed:,} changed{_reused(figures)}"))
    rows.append(("sent", _sent(figures)))
    if figures.learned_concurrency:
        rows.append(("plan's limit", f"{plural(figures.learned_concurrency, 'request')} at a time"))
    if figures.outages:
        ended = "the last of them was not over at the end" if figures.outage_lasts else "waited out"
        rows.append(("outages", f"{figures.outages}, {ended}"))
    if figures.wer is not None:
        rows.append(("WER", f"{figures.wer:.1%} over all transcripts with a reference"))
    rows += [
        (f"unknown refusal x{count}", f"{_one_line(text)} (please report it)")
        for text, count in figures.unknown_refusals.items()
    ]
    if figures.stopped_by is not None:
        rows.append(("stopped by", " ".join(figures.stopped_by.split())))
    rows.append(("output", figures.out))
    if figures.many_gone is not None:
        rows.append(("warning", figures.many_gone))
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows]


def kept_rows(gone: int, vanished: int) -> list[tuple[str, str]]:
    """What is kept though its recording, or its row, is not there, in rows of a table."""
    told = [
        (gone, "gone", "of the done: their recordings are not there; what they have is kept"),
        (vanished, "vanished", "no longer in the manifest; what they have is kept"),
    ]
    return [(name, f"{count:,} {text}") for count, name, text in told if count]


def untried_rows(untried: Untried) -> list[tuple[str, str]]:
    """Why failed ones were not tried, in rows of a table."""
    missing, own_fault = "wait for their files; not tried", "failed for their own fault; not tried until they change"
    if untried.missing == 1:
        missing = "waits for its file; not tried"
    if untried.own_fault == 1:
        own_fault = "failed for its own fault; not tried until it changes"
    told = [
        (untried.missing, "waiting", missing),
        (untried.own_fault, "left alone", f"{own_fault}, or is asked for by --only failed"),
        (untried.postponed, "left out", "of the failed, after failing run after run; not tried"),
        (untried.unreached, "not reached", "of the failed; not tried"),
        (untried.unasked, "not asked for", "of the failed; not tried"),
    ]
    return [(name, f"{count:,} {text}") for count, name, text in told if count]


def _reused(figures: Figures) -> str:
    return f"; {figures.reused:,} known by their content" if figures.reused else ""


def _for_runs(runs: int) -> str:
    return f" ({runs} runs since it first failed)" if runs > 1 else ""


def _sent(figures: Figures) -> str:
    if not figures.requests:
        return "nothing"
    again = f" ({figures.retries:,} of them again)" if figures.retries else ""
    heard = f"{length(figures.audio_s)} of audio" if figures.audio_s else "nothing transcribed"
    pace = f" (RTFx {figures.rtfx:.1f})" if figures.audio_s else ""
    return (
        f"{plural(figures.requests, 'request')}{again}: {heard} in {figures.wall_s:.1f} s{pace}, "
        f"{credits_told(figures.credits, figures.credits_maybe_billed)}{' of the local server' * figures.local}"
    )


def _one_line(text: str, limit: int = 100) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
