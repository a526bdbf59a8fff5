"""Where recordings are stored: the interface (`protocol`) and its only implementation, local files (`local`).

To add another, such as FTP or S3, implement `Source` in a module beside `local`, return it from `source_of` for paths
with its scheme, and accept that scheme in `manifest.rows.local_path`.
"""

from __future__ import annotations

from pipeline.errors import AttemptError, AudioMissing
from pipeline.source.local import LocalFiles
from pipeline.source.protocol import IRREGULAR, Entry, FileInfo, Source

__all__ = ["IRREGULAR", "Entry", "FileInfo", "Source", "is_missing", "source_of"]

_LOCAL = LocalFiles()


def source_of(path: str) -> Source:
    """The source that a recording, or a folder of recordings, is read from."""
    del path  # manifests may only name local files so far
    return _LOCAL


def is_missing(path: str) -> bool:
    """Whether a recording does not exist; False for one that cannot be read."""
    try:
        source_of(path).stat(path)
    except AttemptError as error:
        return isinstance(error, AudioMissing)
    return False
