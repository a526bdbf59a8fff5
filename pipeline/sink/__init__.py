"""The output files: Parquet parts, transcripts.jsonl, errors. Every one appears whole or not at all.

`store` keeps files, today in a folder · `schema` the columns · `parquet` and `lines` the formats · `rows` what they
have in common · `parts` and `attempts` numbered files · `sink` writes and reads an output · `salvage` a damaged one.
"""

from pipeline.sink.sink import Sink
from pipeline.sink.store import FolderStore

__all__ = ["FolderStore", "Sink"]
