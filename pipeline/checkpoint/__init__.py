"""The run's memory: what is done, what is left, what it cost. One SQLite file per output folder, one owner at a time.

`schema` the states and the tables · `lock` one run per folder · `store` what a run asks and tells, asynchronously ·
`checkpoint` the same for who may block, in parts: `scan` takes a manifest in · `plan` compares it with what is known ·
`merge` makes it the truth · `selection` hands work out · `lookup` finds what was done before · `events` what happens to
utterances · `failing` when they are tried again · `publishing`, `replaced` what goes into parts, and what
leaves them · `figures`, `facts` how the output stands · `rebuilding` makes a new one of what `salvage` can still read.
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
from pipeline.checkpoint.schema import UNREADABLE, State
from pipeline.checkpoint.selection import Selected
from pipeline.checkpoint.store import Store

__all__ = [
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
