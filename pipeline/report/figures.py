"""A run in figures: the record that becomes summary.json, the last line for scripts, and how figures are formatted.

Pure: text in and out, no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from pipeline.built import built
from pipeline.report.account import AccountFigures
from pipeline.texts import plural, shown_id

NAMED = 3
"""So many ids stand in a sentence about more."""


@built
class FailureClass(msgspec.Struct, frozen=True, kw_only=True):
    """All failures of one class, with one of them as an example."""

    error: str
    count: int
    example_id: str
    example_message: str
    """Of the one that has failed for longest."""
    runs: int
    """Runs since that one failed for the first time, this one included."""


@built
class Untried(msgspec.Struct, frozen=True, kw_only=True):
    """Failed utterances by why the run did not try them; in a status by why the next one will not."""

    missing: int = 0
    """Their files are not there."""
    own_fault: int = 0
    """Their files, or the service's word about them, are as they were."""
    postponed: int = 0
    """They failed run after run."""
    unreached: int = 0
    """The run ended before."""
    unasked: int = 0
    """--only or --id named others."""
    left_unasked: int = 0
    """Those of what is left that were not asked for either."""


@built
class DelayCorrection(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the decoder's delay is taken off the times of an output, and why."""

    applied: Literal["on", "off"]
    decided: bool
    """False while answers are counted: `applied` is what they say so far."""
    decided_by: str | None = None
    """`answers`, `earlier transcripts` or `rebuild`."""
    answers_on: int = 0
    """Answers whose times contain the delay, …"""
    answers_off: int = 0
    """… and whose times do not: those that were counted before it was decided."""
    doubted: bool = False
    """The newest answers speak against it."""
    others: int = 0
    """Transcripts for which it is the other way, because the setting said so when they were written."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an output stands: over the rows of one manifest, or of all that it serves."""

    done: int
    failed: int
    left: int
    suspect: int
    vanished: int
    """No longer in the manifest."""
    gone: int = 0
    """Done ones whose recording is not there; what they have is kept."""
    kept: int = 0
    """Failed ones that have a transcript of an earlier content, or of earlier settings, which stays."""
    partial: int = 0
    """Those of the kept whose transcript has gaps."""
    postponed: int = 0
    """Failed ones that the next run leaves out, because they failed run after run, and …"""
    postponed_runs: int = 0
    """… how many runs leave out the first of them."""
    untried: Untried = Untried()
    failures: list[FailureClass]
    wer: float | None
    """Over all that have a transcript and a reference."""
    learned_concurrency: int | None
    """Requests in flight that the plan carries, where a limit was met."""
    delay_correction: DelayCorrection | None = None
    """None where nothing was answered so far, or in figures of an earlier version."""


@built
class Figures(Standing, frozen=True, kw_only=True):
    """One run: how the rows of its manifest stand now, and what it did."""

    run_id: str
    manifest: str
    out: str
    started_at: datetime
    finished_at: datetime
    exit: int
    stopped_by: str | None
    """Why the run ended before its work did; None when it did not."""
    rows: int
    new: int
    changed: int
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
    outage_lasts: bool = False
    """The last outage was not over when the run ended."""
    audio_s: float
    """Audio transcribed in this run."""
    credits: float
    """Spent by this run, counting what may have been billed."""
    credits_maybe_billed: float = 0.0
    """What of `credits` only may have been billed."""
    credits_in_all: float
    account: AccountFigures | None = None
    """The account's balance beside the ledger; None where nothing was sent, or the embedded server answered."""
    local: bool
    """The embedded server answered: nothing was billed."""
    wall_s: float
    rtfx: float
    """Audio seconds per wall second, without the wait for the balance at the end."""
    unknown_refusals: dict[str, int]
    """Refusals that no rule matches or that are a fault of ours, and how often they came: please report them."""
    left_out: int = 0
    """Failed utterances that this run left out, because they failed run after run."""
    redo_failed: int = 0
    """Done utterances that were asked for again and failed: their transcripts stay, and they are no errors."""
    many_gone: str | None = None
    """A sentence, where so many recordings are missing since the last run that a disk may not be mounted."""


def readable(encoded: bytes) -> Figures | None:
    """The figures of a run as they were stored; None where they are damaged, as if the run had not reached its end."""
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


def format_credits(credits_: float, maybe: float | None = None) -> str:
    """`1,234.5 credits`, and what of them only may have been billed: rounded the same everywhere."""
    text = f"{rounded(credits_)} credit{'' if rounded(credits_) == '1' else 's'}"
    if not maybe:
        return text
    return f"{text} ({rounded(credits_ - maybe)} billed, {rounded(maybe)} maybe billed)"


def rounded(credits_: float) -> str:
    """A number of credits, to a tenth."""
    return f"{credits_:,.1f}".removesuffix(".0")


def above_budget(
    count: int, least: float, most: float, ids: Sequence[str], *, at_least: bool = False, month: bool = False
) -> str:
    """`12 recordings need 300 to 900 credits each: more than the budget (a.wav, b.wav, c.wav and 9 more)`.

    `ids` are the first of them; `at_least`: there may be more; `month`: it is the month's budget.
    """
    budget = "the budget of the month (budget.credits_per_month)" if month else "the budget"
    # rounded up, so that what is just above the budget does not look equal to it
    amounts = dict.fromkeys(
        f"{math.ceil(needs * 100 - 1e-4) / 100:,.2f}".removesuffix(".00") for needs in (least, most)
    )
    names, needs = [shown_id(id_) for id_ in ids[:NAMED]], f"{' to '.join(amounts)} credits"
    if count == 1 and not at_least:
        return f"{names[0]} needs {needs}: more than {budget}"
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    many = f"{'at least ' * at_least}{plural(count, 'recording')} need{'s' if count == 1 else ''} {needs}"
    return f"{many}{' each' * (count > 1)}: more than {budget} ({', '.join(names)}{more})"


def length(seconds: float, *, short: bool = False) -> str:
    """A length of audio for people: `44.0 s`, `3.2 min`, `15.1 h`; `short`: `44 s`, `3.2 min`, `15 h`."""
    value, unit = (seconds / 3600, "h") if seconds >= 7200 else (seconds / 60, "min")
    if seconds < 120:
        value, unit = seconds, "s"
    if not short:
        return f"{value:,.1f} {unit}"
    return f"{value:,.0f} {unit}" if value >= 9.95 else f"{value:.1f} {unit}".replace(".0 ", " ")
