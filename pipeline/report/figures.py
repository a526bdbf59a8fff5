"""A run in figures: the record that becomes summary.json, the table a person reads, the one line a script greps.

Pure: text in and out, no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

import msgspec

from pipeline.built import built
from pipeline.outside import visible

NAMED = 3
"""So many ids stand in a sentence about more, and …"""
ID_CHARS = 60
"""… so many characters of each."""


@built
class FailureClass(msgspec.Struct, frozen=True, kw_only=True):
    """All failures of one class, with one of them as an example."""

    error: str
    count: int
    example_id: str
    example_message: str
    """Of the one that has failed for longest."""
    runs: int
    """Runs since that one failed for the first time, this one included: its nights."""


@built
class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `done`, `failed`, `left` tell how the manifest stands now; the rest is what this run did."""

    run_id: str
    manifest: str
    out: str
    started_at: datetime
    finished_at: datetime
    exit: int
    stopped_by: str | None
    """Why the run ended before its work did; None when it did not."""
    done: int
    failed: int
    left: int
    suspect: int
    rows: int
    new: int
    changed: int
    vanished: int
    bad_rows: int
    selected: int
    transcribed: int
    """Utterances that got their transcript in this run."""
    reused: int
    """Files that only looked changed: nothing was sent for them."""
    requests: int
    retries: int
    refusals: int
    """Requests refused for the service's limits."""
    outages: int
    """Times that the service was out for everybody."""
    learned_concurrency: int | None
    """Requests in flight that the plan carries, where a limit was met."""
    audio_s: float
    """Audio transcribed in this run."""
    credits: float
    """Spent by this run, counting what may have been billed."""
    credits_in_all: float
    local: bool
    """The embedded server answered: nothing was billed."""
    wall_s: float
    rtfx: float
    """Audio seconds per wall second."""
    wer: float | None
    """Over all utterances with a transcript and a reference."""
    failures: list[FailureClass]
    unknown_refusals: dict[str, int]
    """Refusals that no rule knows, and how often they came: worth a report to the maintainers."""
    gone: int = 0
    """Done utterances whose recording is not there; what they have is kept."""
    kept: int = 0
    """Failed utterances that have a transcript of an earlier content, or of earlier settings, which stays."""
    partial: int = 0
    """Those of the kept whose transcript has gaps."""
    left_out: int = 0
    """Failed utterances that this run left out, because they failed run after run."""
    postponed: int = 0
    """Failed utterances that the next run leaves out, and …"""
    postponed_runs: int = 0
    """… how many runs leave out the first of them."""
    redo_failed: int = 0
    """Done utterances that were asked for again and failed: their transcripts stay, and they are no errors."""
    many_gone: str | None = None
    """A sentence, where so many recordings are gone since the last run that a disk may not be mounted."""


def readable(encoded: bytes) -> Figures | None:
    """The figures of a run as they were stored; None where they are damaged: it is a run that reached no end."""
    try:
        return msgspec.json.decode(encoded, type=Figures)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):  # a TypeError: not even bytes
        return None


class LastLine(msgspec.Struct, frozen=True, kw_only=True):
    """The line for scripts; always the last one on stderr, as text or as an object with the same names."""

    done: int = 0
    failed: int = 0
    left: int = 0
    audio_s: float = 0.0
    credits: float = 0.0
    rtfx: float = 0.0
    wall_s: float = 0.0
    exit: int

    def __str__(self) -> str:
        return (
            f"done={self.done} failed={self.failed} left={self.left} audio_s={self.audio_s:.1f} "
            f"credits={self.credits:.1f} rtfx={self.rtfx:.2f} wall_s={self.wall_s:.1f} exit={self.exit}"
        )


def last_line(figures: Figures) -> LastLine:
    return LastLine(**{name: getattr(figures, name) for name in LastLine.__struct_fields__})


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
    if figures.left_out:
        rows.append(("left out", f"{figures.left_out:,} of the failed, after failing run after run"))
    if figures.postponed:
        rows.append(("waiting", waiting(figures.postponed, figures.postponed_runs)))
    if figures.failed > figures.left_out and not figures.selected:
        rows.append(("left alone", "what failed for its own fault, until it changes; --only failed tries it again"))
    if figures.redo_failed:
        rows.append(("again", f"{figures.redo_failed:,} of the done failed when asked for again; they keep theirs"))
    if figures.left:
        rows.append(("left", f"{figures.left:,}"))
    if figures.gone:
        rows.append(("gone", f"{figures.gone:,} of the done: their recordings are not there; what they have is kept"))
    if figures.vanished:
        rows.append(("vanished", f"{figures.vanished:,} no longer in the manifest; what they have is kept"))
    rows.append(("found", f"{figures.new:,} new, {figures.changed:,} changed{_reused(figures)}"))
    rows.append(("sent", _sent(figures)))
    if figures.learned_concurrency:
        rows.append(("plan's limit", f"{plural(figures.learned_concurrency, 'request')} at a time"))
    if figures.outages:
        rows.append(("outages", f"{figures.outages}, waited out"))
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


def plural(count: int, noun: str) -> str:
    """`1 request`, `2 requests`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def above_budget(
    count: int, least: float, most: float, ids: Sequence[str], *, at_least: bool = False, month: bool = False
) -> str:
    """`12 recordings need 300 to 900 credits each: more than the budget (a.wav, b.wav, c.wav and 9 more)`.

    `ids` are the first of them; `at_least`: there may be more; `month`: it is the month's budget.
    """
    budget = "the budget of the month (budget.credits_per_month)" if month else "the budget"
    # rounded up: what is just above the budget shall not look like it
    told = dict.fromkeys(f"{math.ceil(needs * 100 - 1e-4) / 100:,.2f}".removesuffix(".00") for needs in (least, most))
    names, needs = [shown_id(id_) for id_ in ids[:NAMED]], f"{' to '.join(told)} credits"
    if count == 1 and not at_least:
        return f"{names[0]} needs {needs}: more than {budget}"
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    many = f"{'at least ' * at_least}{plural(count, 'recording')} need{'s' if count == 1 else ''} {needs}"
    return f"{many}{' each' * (count > 1)}: more than {budget} ({', '.join(names)}{more})"


def shown_id(id_: str) -> str:
    """An id within a sentence: escaped where it cannot be seen, cut where it is long."""
    return visible(id_[:ID_CHARS]) + "…" * (len(id_) > ID_CHARS)


def keeping(kept: int, partial: int) -> str:
    """How many of the failed have a transcript all the same."""
    told = [f"{kept - partial:,} of them keep the transcript they had"] if kept > partial else []
    told += [f"{partial:,} of them have a transcript with gaps"] if partial else []
    return f" ({', '.join(told)})" if told else ""


def waiting(count: int, runs: int) -> str:
    """How many of the failed the next run leaves out, and how many `runs` leave out the first of them."""
    if count == 1:
        return f"1 of the failed, for {plural(runs, 'more run')}; --only failed tries it now"
    return f"{count:,} of the failed, the first for {plural(runs, 'more run')}; --only failed tries them now"


def length(seconds: float) -> str:
    """Audio time as a person says it: `44.0 s`, `3.2 min`, `15.1 h`."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _reused(figures: Figures) -> str:
    return f"; {figures.reused:,} known by their content" if figures.reused else ""


def _for_runs(runs: int) -> str:
    return f" (for {runs} runs)" if runs > 1 else ""


def _sent(figures: Figures) -> str:
    if not figures.requests:
        return "nothing"
    again = f" ({figures.retries:,} of them again)" if figures.retries else ""
    return (
        f"{plural(figures.requests, 'request')}{again}: {length(figures.audio_s)} of audio in {figures.wall_s:.1f} s "
        f"(RTFx {figures.rtfx:.1f}), {figures.credits:,.0f} credits{' of the local server' * figures.local}"
    )


def _one_line(text: str, limit: int = 100) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
