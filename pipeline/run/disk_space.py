"""Whether the disk of an output folder is large enough for what a run is about to write. Only looks."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.audio.tracks import SAMPLE_BYTES, SAMPLE_RATE

BYTES_PER_ROW = 3_000
"""What an utterance takes beside its words, in the checkpoint, a part and the JSONL together."""
BYTES_PER_S = 1_500
"""What the words of a second of audio take there: three, fast speech."""
MB = 1_000_000


def disk_too_small(out: Path, *, rows: int, expected_s: float, spool_bytes: int) -> str | None:
    """What to say where less is free than `rows` utterances of so much audio may take; None where all is well, or the
    system does not tell.

    Beside the rows there is decoded audio, `spool_bytes` at most, and a second copy of what is rewritten as a whole.
    """
    try:
        free = shutil.disk_usage(out).free
        lines = sum(path.stat().st_size for path in out.glob("transcripts.jsonl"))
        largest_part = max((path.stat().st_size for path in out.glob("transcripts/*.parquet")), default=0)
    except OSError:
        return None
    spool = min(spool_bytes, expected_s * SAMPLE_RATE * SAMPLE_BYTES)
    needed = rows * BYTES_PER_ROW + expected_s * BYTES_PER_S + spool + lines + largest_part
    if needed <= free:
        return None
    return (
        f"the disk of {out} has {free / MB:,.0f} MB free, and this run may take up to {needed / MB:,.0f} MB of it "
        f"({spool / MB:,.0f} MB for decoded audio, see audio.spool_mb): make room"
    )
