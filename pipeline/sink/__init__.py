"""The output files: Parquet parts, transcripts.jsonl, errors. Each is written atomically.

`store` files by name, today in a folder · `schema` the columns · `parquet` and `lines` the formats · `rows` what both
share · `parts` numbered files, and the spend ledger · `sink` writes and reads an output · `salvage` a damaged one ·
`describe` tells readers how to load it: `card`, `features`, `views`.
"""

from pipeline.sink.sink import Sink
from pipeline.sink.store import FolderStore

__all__ = ["FolderStore", "Sink"]
