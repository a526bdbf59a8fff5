"""The run's memory: what is done, what is left, what it cost. One SQLite file per output folder, one owner at a time.

`tables` what it holds · `schema` the states · `lock` one run per folder · `scan` takes a manifest in ·
`plan` compares it with what is known · `events` what happens to utterances · `replaced` transcripts that no row has ·
`rewriting` rows that are written anew ·
`known_failures` what was paid for in vain · `store` reads and writes · `journal` groups writes into durable commits ·
`patience` waits until they can be made.
"""

from pipeline.checkpoint.events import ClipAnswered, Gone, Moved, Noted, Reused, Sent, Started
from pipeline.checkpoint.failed import Failed
from pipeline.checkpoint.identity import Identity
from pipeline.checkpoint.journal import Journal
from pipeline.checkpoint.lock import OutputLock, Owner, at_work, hold_output
from pipeline.checkpoint.patience import Patience
from pipeline.checkpoint.plan import Plan, plan_counts
from pipeline.checkpoint.replaced import Stored
from pipeline.checkpoint.results import Finished, Partly
from pipeline.checkpoint.scan import UNREADABLE, Place, Repeated, ScannedRow, Scope, scan_manifest
from pipeline.checkpoint.schema import State
from pipeline.checkpoint.store import Checkpoint, Placed, Selected

__all__ = [
    "UNREADABLE",
    "Checkpoint",
    "ClipAnswered",
    "Failed",
    "Finished",
    "Gone",
    "Identity",
    "Journal",
    "Moved",
    "Noted",
    "OutputLock",
    "Owner",
    "Partly",
    "Patience",
    "Place",
    "Placed",
    "Plan",
    "Repeated",
    "Reused",
    "ScannedRow",
    "Scope",
    "Selected",
    "Sent",
    "Started",
    "State",
    "Stored",
    "at_work",
    "hold_output",
    "plan_counts",
    "scan_manifest",
]
