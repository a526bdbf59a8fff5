"""Taking rows out of an output, for programs."""

from __future__ import annotations

from pathlib import Path

from pipeline.api.arguments import PathLike, Paths, Texts, path_of, paths_of, seconds_of, texts_of
from pipeline.api.raising import raised
from pipeline.api.records import without_secrets
from pipeline.run import forget as forgetting
from pipeline.run import prune as pruning
from pipeline.run.forget import Forgetting
from pipeline.run.prune import Pruned


def prune(out: PathLike, *, older_than_s: float | None = None, yes: bool = False) -> Pruned:
    """Removes the rows that left their manifest, with `older_than_s` those that have been missing for so many seconds;
    without `yes` it only says which. What was spent stays in the ledger.

    Raises UsageError where nothing was run into `out`, OutputHeld while a run is at work.
    """
    with raised():
        if older_than_s is not None:
            seconds_of("older_than_s", older_than_s)
        return without_secrets(pruning.prune(Path(path_of("out", out)), older_than_s=older_than_s, yes=yes))


def forget(out: PathLike, *, ids: Texts = (), audio: Paths = (), yes: bool = False) -> Forgetting:
    """Takes the words of the utterances of these ids, and of all that have the audio of these recordings (paths, or
    hashes of audio), out of every file of `out`, and keeps them from being sent again; without `yes` it only says
    which.

    Raises UsageError for an unknown one, and where others have the audio of one of the `ids`; OutputHeld while a run is
    at work. What could not be changed is in `unchanged`.
    """
    with raised():
        folder, recordings = Path(path_of("out", out)), paths_of("audio", audio)
        return without_secrets(forgetting.forget(folder, ids=texts_of("ids", ids), audio=recordings, yes=yes))
