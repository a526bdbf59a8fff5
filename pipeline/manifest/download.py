"""Remote manifests, copied to be read."""

from __future__ import annotations

import io
import tempfile
from typing import BinaryIO

from pipeline.errors import AttemptError, ManifestError, OutputError, RecordingTooLong, SourceOut
from pipeline.source import Sources

MAX_BYTES = 2 << 30


def downloaded(address: str, sources: Sources) -> BinaryIO:
    """A copy in a file without a name, which is gone once it is closed. Raises ManifestError, NoCloud or Stopped.

    Rows are not read from the network one by one: asking for the versions of their recordings may take hours.
    """
    try:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  the caller closes it
    except OSError as error:
        raise ManifestError(f"{address}: there is no place to copy it to: {error.strerror}; set TMPDIR.") from error
    try:
        sources.fetch(address, file, MAX_BYTES, is_manifest=True)
        file.seek(0)
        return io.BufferedReader(file)
    except RecordingTooLong:
        problem = f"the manifest takes more than {MAX_BYTES >> 30} GiB; divide it"
    except OutputError as error:
        problem = f"the manifest cannot be copied to {tempfile.gettempdir()}: {error.__cause__ or error}; set TMPDIR"
    except (AttemptError, SourceOut) as error:
        problem = f"the manifest cannot be read: {str(error).rstrip('.')}"
    except BaseException:
        file.close()
        raise
    file.close()
    raise ManifestError(f"{address}: {problem}.")
