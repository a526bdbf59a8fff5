"""The exports that were made of an output."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path

from pipeline.errors import OutputError, OutputHeld
from pipeline.export.state import SPOOL, ExportState, state_paths
from pipeline.source import Sources
from pipeline.texts import visible


def remove_rows(out: Path, ids: Collection[str], is_audio: Callable[[str], bool]) -> list[str]:
    """Takes rows out of all exports of an output, for good: the files of their recordings, their lines in files of
    many. Beside rows of these ids those that were exported with such audio, whatever they are now. Repeated, it does
    the same. Returns a sentence for each export that could not be changed."""
    failed = []
    for path in state_paths(out):
        try:
            with closing(ExportState(path)) as state:
                shutil.rmtree(path.with_suffix(SPOOL), ignore_errors=True)  # of an export that was killed
                if (made := state.made()) is None:
                    continue
                folder = state.folder(made)
                if folder.is_dir():
                    from pipeline.export.kinds import writer_of  # loads all formats, and pyarrow: few runs need that

                    export = writer_of(state, made, Sources(), overwrite=True)
                    changed = export.remove(state.written_of(ids, is_audio))
                    failed += [
                        f"{visible(str(folder / name))} was changed after it was exported, and may hold what is "
                        "forgotten: look for it, or remove the file"
                        for name in changed
                    ]
                elif next(state.files(), None) is not None and out.resolve() not in folder.parents:
                    failed.append(
                        f"{visible(str(folder))}, an export of this output, is not there: if its disk is not mounted, "
                        f"mount it and run the same command again; if it was removed, remove {path} as well"
                    )
        except (OutputError, OutputHeld) as error:
            failed.append(str(error))
    return failed
