"""The output files: Parquet parts, transcripts.jsonl, errors. Every one appears whole or not at all.

`schema` says what the columns are, `folder` what the parts are called, `parts` writes Parquet, `lines` writes JSONL,
`read` reads rows back, `damage` tells which cannot be, `salvage` reads past them, `publish` puts them together. What is
to be written, and what was, is told by the caller.
"""

from pipeline.sink.publish import Sink

__all__ = ["Sink"]
