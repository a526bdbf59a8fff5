"""What is done, what is left and what it cost: one SQLite file per output folder, with one writer at a time.

`schema` states and tables · `lock` one run per folder · `store` the asynchronous interface of a run, over `journal`,
which groups commits · `checkpoint` the blocking interface, composed of: `scan` reads a manifest · `plan` compares it
with the known rows · `merge` updates them · `selection` hands out work · `lookup` finds earlier results · `applying`
state transitions by `events` · `failing` when failed rows are tried again · `publishing`, `replaced` rows for the
output files, and transcripts that left them · `figures`, `facts`, `bills` totals, single values, and what runs cost ·
`sharing` manifests with one output · `rebuilding` a new checkpoint from what `salvage` reads of a damaged one.
"""

from pipeline.checkpoint.checkpoint import Checkpoint
from pipeline.checkpoint.events import ClipAnswered, Finished, Missing, Moved, Noted, Partly, Reused, Sent, Started
from pipeline.checkpoint.failing import Failed
from pipeline.checkpoint.identity import Identity
from pipeline.checkpoint.lock import OutputLock, Owner, at_work, hold_output
from pipeline.checkpoint.lookup import Placed
from pipeline.checkpoint.patience import Patience
from pipeline.checkpoint.plan import Plan
from pipeline.checkpoint.replaced import Stored
from pipeline.checkpoint.scan import Place, Repeated, ScannedRow, Scope
from pipeline.checkpoint.schema import UNKNOWN, UNREADABLE, State
from pipeline.checkpoint.selection import Selected
from pipeline.checkpoint.store import Store

__all__ = [
    "UNKNOWN",
    "UNREADABLE",
    "Checkpoint",
    "ClipAnswered",
    "Failed",
    "Finished",
    "Identity",
    "Missing",
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
    "Store",
    "Stored",
    "at_work",
    "hold_output",
]
