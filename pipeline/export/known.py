"""The exports that were made of an output."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from pipeline.errors import OutputError, OutputHeld
from pipeline.export.state import SPOOL, ExportState, state_paths


def remove_rows(out: Path, ids: Collection[str]) -> list[str]:
    """Takes rows out of all exports of an output, for good: the files of their recordings, their lines in files of
    many. Repeated, it does the same. Returns a sentence for each export that could not be changed."""
    failed = []
    for path in state_paths(out):
        try:
            with closing(ExportState(path)) as state:
                shutil.rmtree(path.with_suffix(SPOOL), ignore_errors=True)  # of an export that was killed
                if (made := state.made()) is not None:
                    from pipeline.export.kinds import writer_of  # loads all formats, and pyarrow: few runs need that

                    writer_of(state, made, overwrite=True).remove([*ids])
        except (OutputError, OutputHeld) as error:
            failed.append(str(error))
    return failed
