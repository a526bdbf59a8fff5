"""What a run would do and cost, without sending anything or writing into the output folder.

Plans against the checkpoint as it lies there, then reads the headers of what would be sent; and the whole file where
only its content says whether it is sent: it is as long as another one, or as it was when it was transcribed.
"""

from __future__ import annotations

import math
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path

from pipeline.audio.estimate import Estimate, estimate
from pipeline.audio.look import length_of, look, may_be_beginning, refuse_beginning
from pipeline.audio.probe import probe
from pipeline.audio.wanted import is_one_channel
from pipeline.checkpoint import Checkpoint, Identity, plan_counts, scan_manifest
from pipeline.checkpoint.alike import Todo, has_transcript, known_failure, rows_to_do
from pipeline.checkpoint.plan import knows_rows
from pipeline.checkpoint.schema import connect_to_read, translated
from pipeline.config import Settings
from pipeline.errors import AttemptError
from pipeline.gradium.request import request_settings
from pipeline.gradium.wire import CREDITS_PER_S
from pipeline.report.figures import NAMED
from pipeline.run.answers import Answers
from pipeline.run.forecast import Forecast, Problem
from pipeline.run.known_failures import asks
from pipeline.run.manifests import settle_names
from pipeline.run.month import month_at
from pipeline.run.owner import owner_of, recorded_owner, refuse_another
from pipeline.run.planning import ManifestRows, many_gone
from pipeline.run.settings_hash import SettingsHash
from pipeline.run.soundness import known_transcripts

AT_ONCE = 100
PROBLEMS_NAMED = 100


def check(
    manifests: Sequence[str],
    out: Path,
    settings: Settings,
    only: tuple[str, ...],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Forecast:
    """Forecasts a run. Raises UsageError, OutputError, CheckpointError."""
    request = request_settings(settings.service)
    rows = ManifestRows(
        manifests, settings, request, skip_bad_rows=True, run_id="check", include=include, exclude=exclude
    )
    if (owner := owner_of(settings)) is not None and (out / "checkpoint.sqlite").exists():
        with Checkpoint(out / "checkpoint.sqlite", only_read=True) as checkpoint:
            if checkpoint.holds_answers():
                refuse_another(recorded_owner(checkpoint, out), out, owner)
    path = out / "checkpoint.sqlite"
    with known_transcripts(out), translated(path), closing(connect_to_read(path)) as connection:
        rows.note_repeated(scan_manifest(connection, rows, *rows.names, scope=rows))
        if not rows.count:
            rows.refuse_empty(knows_rows=knows_rows(connection))
        settle_names(connection, rows.names)
        plan = plan_counts(connection, only)
        hashed = SettingsHash(settings, request)
        bill = _Bill(connection, settings.budget.most, asked=asks(only))
        if plan.selected:
            answers = Answers(connection, hashed)
            rows_left = rows_to_do(connection, only, length_of, partial(hashed.names, one_channel=True))
            for todo, names, found in _measured(rows_left, settings, hashed, answers):
                bill.add(todo, names, found)
        with Checkpoint(path, only_read=True) as checkpoint:
            month = month_at(datetime.now(UTC), checkpoint, out, settings.budget.month_limit)
    return Forecast(
        rows=plan.rows,
        bad_rows=rows.bad_count,
        missing=plan.missing,
        new=plan.new,
        changed=plan.changed,
        done=plan.done,
        failed=plan.failed,
        vanished=plan.vanished,
        gone=plan.gone,
        many_gone=many_gone(plan, is_folder=rows.has_folder),
        selected=plan.selected,
        postponed=plan.postponed + bill.waits.total(),
        postponed_runs=min(filter(None, (plan.postponed_runs, *bill.waits)), default=0),
        unsendable=dict(bill.unsendable),
        unchanged=bill.unchanged,
        copies=bill.copies,
        answered_clips=bill.answered,
        requests=bill.requests,
        audio_s=bill.audio_s,
        sent_s=round(bill.sent_s, 6),
        credits=bill.sent_s * CREDITS_PER_S,
        budget=settings.budget.limit,
        month=month.name,
        month_spent=None if month.spent is None else round(month.spent, 3),
        month_budget=month.budget,
        month_left=None if month.left is None else round(month.left, 3),
        above_budget=bill.above,
        above_credits=(bill.least, bill.most) if bill.above else None,
        above_ids=bill.above_ids,
        bad=[str(bad) for bad in rows.bad_rows],
        warnings=rows.warnings.first,
        warning_count=rows.warnings.count,
        ignored=rows.ignored.counts(),
        ignored_told=str(rows.ignored),
        problems=bill.problems,
    )


class _Bill:
    """Sums up what would be sent. Those that may be alike must come behind each other."""

    def __init__(self, connection: sqlite3.Connection, budget: float | None, *, asked: bool) -> None:
        """`asked`: what failed before is sent at once."""
        self.unsendable: Counter[str] = Counter()
        self.waits: Counter[int] = Counter()
        """Those that are left out because their audio failed before, by the runs that leave them out."""
        self.problems: list[Problem] = []
        self.unchanged = self.copies = self.requests = self.answered = 0
        self.audio_s = self.sent_s = 0.0
        self.above, self.least, self.most = 0, math.inf, 0.0
        """What costs more than the budget, and what its requests cost."""
        self.above_ids: list[str] = []
        self._budget = math.inf if budget is None else budget
        self._connection, self._asked = connection, asked
        self._alike: tuple[int | None, str] | None = None
        self._sent: dict[str, bool] = {}
        """Audio hashes of what is sent of those that may be alike, and whether it costs more than the budget."""

    def add(self, todo: Todo, names: Sequence[Identity], found: Estimate | AttemptError | None) -> None:
        """Adds an utterance; with what its transcript may answer to where the file was read, and what it takes where
        that was looked at."""
        if names and (self._is_known(todo, names) or self._is_known_to_fail(todo, names, found)):
            return
        if isinstance(found, AttemptError):
            self._add_problem(todo, type(found).__name__, found.message)
        elif found is not None:
            self.requests += found.requests
            self.answered += found.answered
            self.audio_s += found.audio_s
            self.sent_s += found.sent_s
            price = round(found.sent_s / max(1, found.requests) * CREDITS_PER_S, 6)
            if is_above := price > self._budget:
                self._add_above(todo)
                self.least, self.most = min(self.least, price), max(self.most, price)
            if names:
                self._sent[names[0].audio_hash] = is_above

    def _is_known(self, todo: Todo, names: Sequence[Identity]) -> bool:
        audio_hash = names[0].audio_hash
        if todo.done in names:
            self.unchanged += 1
            return True
        if self._alike != (todo.size, todo.config_hash):
            self._alike = todo.size, todo.config_hash
            self._sent.clear()
        if audio_hash not in self._sent and not any(has_transcript(self._connection, name) for name in names):
            return False
        self.copies += 1
        if self._sent.get(audio_hash):
            self._add_above(todo)
        return True

    def _is_known_to_fail(self, todo: Todo, names: Sequence[Identity], found: Estimate | AttemptError | None) -> bool:
        """Whether its audio has failed before, maybe under another id, so that the run sends nothing for it."""
        all_answered = isinstance(found, Estimate) and not found.requests
        known = None if self._asked or all_answered else known_failure(self._connection, names)
        if known is None:
            return False
        failure, runs = known
        if failure.retryable:
            self.waits[runs] += 1
        else:
            self._add_problem(todo, failure.error, failure.message)
        return True

    def _add_problem(self, todo: Todo, error: str, message: str) -> None:
        self.unsendable[error] += 1
        if len(self.problems) < PROBLEMS_NAMED:
            self.problems.append(Problem(id=todo.utterance.id, error=error, message=message))

    def _add_above(self, todo: Todo) -> None:
        self.above += 1
        if len(self.above_ids) < NAMED:
            self.above_ids.append(todo.utterance.id)


Measured = tuple[Todo, Sequence[Identity], Estimate | AttemptError | None]


def _measured(rows: Iterator[Todo], settings: Settings, hashed: SettingsHash, answers: Answers) -> Iterator[Measured]:
    """Each row with what its transcript may answer to where that decides, and with what it would take, or why it cannot
    be sent."""
    stopped = threading.Event()

    def measured(todo: Todo) -> Measured:
        names: Sequence[Identity] = ()
        keys: set[str] = set()
        try:
            shorter = todo.size is not None and todo.marks is not None and may_be_beginning(todo.size, todo.marks)
            may_be_known = todo.may_be_known or shorter
            if not may_be_known and todo.is_known_if_one_channel:
                may_be_known = is_one_channel(todo.utterance, probe(todo.utterance.audio))
            if may_be_known or answers.may_be_of(todo):
                found = look(todo.utterance.audio, stopped)
                identities = hashed.identities(todo.utterance, found)
                keys = answers.to(todo, identities)
                if may_be_known:
                    if not settings.audio.allow_truncated:
                        refuse_beginning(found, todo.marks)
                    names = identities
                    if todo.done in names:
                        return todo, names, None
            return todo, names, estimate(todo.utterance, settings.audio, keys)
        except AttemptError as error:
            return todo, names, error

    threads = ThreadPoolExecutor(4)
    try:
        while batch := list(islice(rows, AT_ONCE)):
            yield from threads.map(measured, batch)
    finally:  # on Ctrl-C nobody waits for a huge file, or for a disk that hangs
        stopped.set()
        threads.shutdown(wait=False, cancel_futures=True)
