"""What a run would do and cost, without sending anything or writing into the output folder.

Plans against the checkpoint as it lies there, then reads the headers of what would be sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import msgspec

from pipeline.audio.estimate import Estimate, estimate
from pipeline.checkpoint import plan_counts, scan_manifest
from pipeline.checkpoint.plan import selected_rows
from pipeline.checkpoint.schema import connect_to_read
from pipeline.config import Settings
from pipeline.errors import AttemptError
from pipeline.gradium.request import request_settings
from pipeline.gradium.wire import CREDITS_PER_S
from pipeline.model import Utterance
from pipeline.report.figures import length, plural
from pipeline.run.planning import ManifestRows

AT_ONCE = 1_000


PROBLEMS_NAMED = 100
PROBLEMS_SHOWN = 10


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance that would fail before anything is sent."""

    id: str
    error: str
    message: str


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What `run` would meet, from headers alone."""

    rows: int
    bad_rows: int
    missing: int
    """Files that are not there, over all rows."""
    new: int
    changed: int
    done: int
    failed: int
    vanished: int
    selected: int
    unsendable: dict[str, int]
    """Selected utterances that would fail before anything is sent, by class of error."""
    requests: int
    audio_s: float
    credits: float
    bad: list[str]
    """What is wrong with the first bad rows."""
    problems: list[Problem]
    """The first unsendable utterances."""


def check(manifest: str, out: Path, settings: Settings, only: tuple[str, ...]) -> Forecast:
    """Forecasts a run. Raises UsageError, CheckpointError."""
    request = request_settings(settings.service)
    rows = ManifestRows(manifest, settings, request, skip_bad_rows=True, run_id="check")
    connection = connect_to_read(out / "checkpoint.sqlite")
    try:
        rows.note_repeated(scan_manifest(connection, rows))
        plan = plan_counts(connection, only)
        unsendable: Counter[str] = Counter()
        problems: list[Problem] = []
        requests, audio_s, sent_s = 0, 0.0, 0.0
        for row, found in _lengths(selected_rows(connection, only), settings):
            if isinstance(found, AttemptError):
                unsendable[type(found).__name__] += 1
                if len(problems) < PROBLEMS_NAMED:
                    problems.append(Problem(id=row.id, error=type(found).__name__, message=found.message))
            else:
                requests += found.requests
                audio_s += found.audio_s
                sent_s += found.sent_s
    finally:
        connection.close()
    return Forecast(
        rows=plan.rows,
        bad_rows=rows.bad_count,
        missing=plan.missing,
        new=plan.new,
        changed=plan.changed,
        done=plan.done,
        failed=plan.failed,
        vanished=plan.vanished,
        selected=plan.selected,
        unsendable=dict(unsendable),
        requests=requests,
        audio_s=audio_s,
        credits=sent_s * CREDITS_PER_S,
        bad=[str(bad) for bad in rows.bad_rows],
        problems=problems,
    )


def _lengths(rows: Iterator[Utterance], settings: Settings) -> Iterator[tuple[Utterance, Estimate | AttemptError]]:
    """Each row with what it would take, or why it cannot be sent."""

    def length(row: Utterance) -> tuple[Utterance, Estimate | AttemptError]:
        try:
            return row, estimate(row, settings.audio)
        except AttemptError as error:
            return row, error

    with ThreadPoolExecutor(4) as threads:
        while batch := list(islice(rows, AT_ONCE)):
            yield from threads.map(length, batch)


def as_table(forecast: Forecast) -> str:
    """The forecast for a person."""
    states = {"new": forecast.new, "changed": forecast.changed, "done": forecast.done, "failed": forecast.failed}
    lines = [
        ("rows", f"{forecast.rows:,} ({', '.join(f'{count:,} {name}' for name, count in states.items())})"),
        ("bad rows", f"{forecast.bad_rows:,}"),
        ("missing files", f"{forecast.missing:,}"),
        ("vanished", f"{forecast.vanished:,} no longer in the manifest"),
        ("to do", plural(forecast.selected, "utterance")),
        ("unsendable", ", ".join(f"{count:,} {name}" for name, count in forecast.unsendable.items()) or "none"),
        *(("", f"{found.id}: {found.message}") for found in forecast.problems[:PROBLEMS_SHOWN]),
        ("would send", f"{plural(forecast.requests, 'request')}, {length(forecast.audio_s)} of audio"),
        ("credits", f"{forecast.credits:,.0f} (3 per second of audio, without retries)"),
    ]
    return "\n".join(f"{name:<13}  {value}" for name, value in lines)
