"""`prune`: takes rows out of an output that left their manifest. Reads and writes the output folder."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import msgspec

from pipeline.built import built
from pipeline.checkpoint import Checkpoint
from pipeline.report.figures import format_credits, length
from pipeline.run.removal import Removal, held_checkpoint
from pipeline.sink import FolderStore, Sink
from pipeline.texts import plural, shown_id, visible


@built
class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that left their manifest, and whether they were taken out."""

    out: str
    done: bool
    """False where it only says what would be done."""
    rows: int
    ids: tuple[str, ...]
    """The first few."""
    transcripts: int
    """Those of the rows that have one, …"""
    audio_s: float
    """… their audio, …"""
    credits: float
    """… and what they cost."""
    others: int
    """Rows that left their manifest too and stay: not as long ago, or all rows of that manifest left it."""
    empty: tuple[str, ...]
    """Manifests that have no row any more, perhaps because their disk is not mounted: their rows stay, unless it is
    said how long they have been missing."""
    left: int
    """Rows that are not done yet: a renamed recording takes over its former row only then."""


def prune(out: Path, *, older_than_s: float | None = None, yes: bool = False) -> Pruned:
    """Removes the rows that left their manifest, with `older_than_s` those that left it at least so many seconds ago;
    without `yes` it only says which. Raises UsageError, OutputHeld, OutputError, CheckpointError."""
    before = None if older_than_s is None else time.time() - older_than_s
    with held_checkpoint(out, only_read=not yes) as checkpoint:
        if yes:
            Removal(out, checkpoint).finish()
        found = _found(out, checkpoint, before)
        if yes and found.rows:
            checkpoint.mark_leftover()
            Removal(out, checkpoint).prune()
        return msgspec.structs.replace(found, done=yes)


def _found(out: Path, checkpoint: Checkpoint, before: float | None) -> Pruned:
    found, sink = checkpoint.list_leftover(before), Sink(FolderStore(out))
    credits_ = found.unpublished_credits
    for part in checkpoint.leftover_parts():
        which = partial(checkpoint.leftover, part)
        if not part:
            credits_ += sum(row.credits for row in sink.rows(0, which))
            continue
        for rows in sink.parts.table(part).tables(["id", "credits"]):
            ids = which(rows["id"].to_pylist())
            credits_ += sum(row["credits"] for row in rows.to_pylist() if row["id"] in ids)
    return Pruned(
        out=str(out),
        done=False,
        rows=found.rows,
        ids=found.ids,
        transcripts=found.transcripts,
        audio_s=round(found.audio_s, 3),
        credits=round(credits_, 3),
        others=found.others,
        empty=found.empty if before is None else (),
        left=checkpoint.totals(whole=True).left,
    )


def as_lines(found: Pruned) -> list[str]:
    """It for a person."""
    lines = []
    if not found.rows:
        lines.append(
            "no row to remove: when the last run read it, none had left its manifest"
            + (" that long ago" if found.others else "")
        )
    else:
        more = f" and {found.rows - len(found.ids):,} more" if found.rows > len(found.ids) else ""
        lines.append(
            f"{plural(found.rows, 'row')} that left the manifest {_were(found)} removed: "
            f"{', '.join(map(shown_id, found.ids))}{more}"
        )
        lines.append(
            f"{plural(found.transcripts, 'transcript')} of {length(found.audio_s)} of audio, which cost "
            f"{format_credits(found.credits)}; a recording that returns is paid for again"
        )
    lines += [
        f"the rows of {visible(name)} stay, because it has none any more: is its disk mounted? With --older-than they "
        "are removed too"
        for name in found.empty
    ]
    if found.rows and not found.done:
        if found.left:
            lines.append(
                f"{plural(found.left, 'row')} not done yet: if recordings were renamed, run first, so that they keep "
                "their transcripts"
            )
        lines.append("nothing was changed; --yes does it")
    return lines


def _were(found: Pruned) -> str:
    if found.done:
        return "was" if found.rows == 1 else "were"
    return "would be"
