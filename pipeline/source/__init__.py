"""Where recordings are stored: `sources` finds the storage for a path or an address.

Local files (`local`), object stores (`objects`), web servers (`web`), rows of Parquet files (`rows`). To add another,
such as FTP or the members of tar files, implement `protocol.Store` in a module beside them, name it in `Sources`, and
its scheme in `addresses`.
"""

from __future__ import annotations

from pipeline.source.protocol import IRREGULAR, Entry, FileInfo, Listed
from pipeline.source.sources import Sources

__all__ = ["IRREGULAR", "Entry", "FileInfo", "Listed", "Sources"]
