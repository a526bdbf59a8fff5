"""One utterance of an output: its row, its transcript or error, and every request that was sent for it. Only reads."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten

import msgspec

from pipeline.checkpoint import Checkpoint, State
from pipeline.checkpoint.connection import holds_something
from pipeline.checkpoint.figures import One
from pipeline.checkpoint.schema import CHECKPOINT
from pipeline.errors import UsageError
from pipeline.model import Attempt, Failure, Transcript, Utterance
from pipeline.report.figures import format_credits, length
from pipeline.report.hints import DEFAULT, HINTS
from pipeline.report.table import aligned
from pipeline.sink import FolderStore, Sink
from pipeline.sink.forgotten import Forgotten
from pipeline.texts import nearest_few, plural, shown_id

TEXT_SHOWN = 500
STATES = {
    State.NEW: "left",
    State.CHANGED: "changed",
    State.DONE: "done",
    State.FAILED_PASSING: "failed",
    State.FAILED_ITEM: "failed",
}


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance. `row` is its manifest row, `error` why it has no transcript, or none of its newest content;
    `attempts` are in the order in which they were sent."""

    id: str
    state: str
    """`left` (not done yet), `changed` (since it was done, or failed), `done` or `failed`."""
    gone: bool
    vanished: bool
    row: Utterance
    transcript: Transcript | None
    error: Failure | None
    answered_clips: int
    """Pieces that have their answers, and wait for those of the others."""
    attempts: list[Attempt]
    in_flight: list[Attempt]
    """Requests that have not ended, or whose run was killed."""


def show(out: Path, id_: str) -> Shown:
    """Finds one utterance of `out`. Raises UsageError where there is none of this id, CheckpointError, OutputError."""
    path = out / CHECKPOINT
    if not holds_something(path):
        raise UsageError(f"{out}: there is no checkpoint here; run something into it first")
    with Checkpoint(path, only_read=True) as checkpoint:
        one = checkpoint.find(id_)
        if one is None and Forgotten.read(FolderStore(out)).has_id(id_):
            raise UsageError(
                f"{shown_id(id_)} was forgotten: {out} has nothing of it any more, and it is not sent again"
            )
        if one is None:
            raise UsageError(f"{out} has no id {shown_id(id_)}{_suggestions(id_, checkpoint.ids_near(id_))}")
    sink = Sink(FolderStore(out))
    published = sink.attempts.of(id_, one.ledger)
    return Shown(
        id=id_,
        state="done" if one.gone else STATES[one.state],
        gone=one.gone,
        vanished=one.vanished,
        row=one.utterance,
        transcript=_transcript(sink, one),
        error=one.failure,
        answered_clips=one.answered_clips,
        attempts=sorted([*published, *one.attempts], key=lambda attempt: attempt.started_at),
        in_flight=one.in_flight,
    )


def _suggestions(id_: str, near: list[str]) -> str:
    found = nearest_few(id_, near)
    return f"; did you mean {' or '.join(map(shown_id, found))}?" if found else ""


def _transcript(sink: Sink, one: One) -> Transcript | None:
    stored = one.stored
    if stored is None:
        return None
    found = stored.transcript or next(sink.rows(stored.part or 0, {stored.id}.intersection), None)
    return None if found is None else msgspec.structs.replace(found, id=one.utterance.id, clip_times=msgspec.UNSET)


def as_table(found: Shown) -> str:
    """The utterance for a person."""
    row, text = found.row, found.transcript
    span = [f"from {row.offset_s:g} s"] if row.offset_s else []
    span += [f"for {row.duration_s:g} s"] if row.duration_s is not None else []
    span += [f"channel {row.channel}"] if row.channel is not None else []
    notes = ["its recording is not there"] if found.gone else []
    notes += ["no longer in the manifest"] if found.vanished else []
    rows = [
        ("id", found.id),
        ("audio", row.audio + (f" ({', '.join(span)})" if span else "")),
        ("state", ", ".join([found.state, *notes])),
    ]
    rows += [("metadata", f"{name} = {value}") for name, value in row.metadata.items()]
    if row.reference is not None:
        rows.append(("reference", shorten(row.reference, TEXT_SHOWN, placeholder=" …")))
    if text is not None:
        issues = f" ({', '.join(text.issues)})" if text.issues else ""
        rows.append(("transcript", shorten(text.text, TEXT_SHOWN, placeholder=" …") or "(no words)"))
        rows.append(
            (
                "",
                f"{text.status}{issues}, {length(text.duration_s)}, {plural(len(text.words), 'word')}, language "
                f"{text.language}, model {text.model}, run {text.run_id}, {text.finished_at:%Y-%m-%d %H:%M:%S} UTC",
            )
        )
    if (error := found.error) is not None:
        rows.append(("error", f"{error.error}: {shorten(error.message, TEXT_SHOWN, placeholder=' …')}"))
        rows.append(("", f"since {error.first_seen:%Y-%m-%d %H:%M:%S} UTC, last in run {error.run_id}"))
        rows.append(("", f"-> {HINTS.get(error.error, DEFAULT)}"))
    if found.answered_clips:
        rows.append(("in part", f"{plural(found.answered_clips, 'clip')} answered, which are not sent again"))
    rows.append(("attempts", f"{len(found.attempts) or 'none'}"))
    rows += [("", _attempt(attempt)) for attempt in found.attempts]
    rows += [("in flight", _attempt(attempt)) for attempt in found.in_flight]
    return "\n".join(aligned(rows))


def _attempt(attempt: Attempt) -> str:
    status = f" HTTP {attempt.http_status}" if attempt.http_status is not None else ""
    code = f" code {attempt.code}" if attempt.code is not None else ""
    billed = {"yes": "billed", "no": "not billed", "maybe": "maybe billed"}[attempt.billed]
    request = f", request {attempt.request_id}" if attempt.request_id else ""
    residency = f", residency {attempt.residency}" if attempt.residency else ""
    return (
        f"{attempt.started_at:%Y-%m-%d %H:%M:%S}  clip {attempt.clip}, attempt {attempt.attempt}: {attempt.outcome}"
        f"{status}{code}, {attempt.latency_s:.1f} s, {format_credits(attempt.credits)} {billed}, "
        f"run {attempt.run_id}{request}{residency}"
    )
