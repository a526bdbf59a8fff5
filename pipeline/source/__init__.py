"""Where recordings lie: what is asked of a place (`protocol`), and the places that there are (`local`).

Another one, such as FTP or S3, is a module beside `local` with a class that has the methods of `Source`. `source_of`
then gives it the paths that begin with its scheme, and `manifest.rows.local_path` no longer refuses that scheme.
"""

from __future__ import annotations

from pipeline.errors import AttemptError, AudioMissing
from pipeline.source.local import LocalFiles
from pipeline.source.protocol import IRREGULAR, Entry, Found, Source

__all__ = ["IRREGULAR", "Entry", "Found", "Source", "is_missing", "source_of"]

_LOCAL = LocalFiles()


def source_of(path: str) -> Source:
    """The source that a recording, or a folder of recordings, is read from."""
    del path  # absolute paths of this machine are all that manifests may name today
    return _LOCAL


def is_missing(path: str) -> bool:
    """Whether a recording is not there; one that cannot be read may be."""
    try:
        source_of(path).stat(path)
    except AttemptError as error:
        return isinstance(error, AudioMissing)
    return False
