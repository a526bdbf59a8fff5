"""An output folder as a run finds it: writable, begun with these formats, and, where nobody chose it, for one manifest.

Writes two facts of the checkpoint, and makes the folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.checkpoint import Checkpoint, OutputLock, hold_output
from pipeline.checkpoint.store import FORMATS, MANIFEST
from pipeline.errors import ConfigError, OutputError, UsageError
from pipeline.run.manifests import is_there, name_of, place_of

CHECKPOINT = "checkpoint.sqlite"


@contextmanager
def output_folder(out: Path) -> Iterator[OutputLock]:
    """Makes the folder where there is none, and holds it. Where the run is refused before it began, what it made is
    taken away again, while the folder is held, and nothing else. Raises OutputHeld or OutputError."""
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise OutputError(
            f"the output folder {out} cannot be written: {error.strerror}; choose another --out or mend its rights"
        ) from None
    with hold_output(out) as held:
        is_first = not (out / CHECKPOINT).exists()
        try:
            yield held
        except UsageError:
            if is_first:
                with suppress(OSError):  # a folder that is not empty has something of somebody else's
                    _remove_own(out, held, made)
            raise


def _remove_own(out: Path, held: OutputLock, made: Collection[Path]) -> None:
    """`made` are the folders that were made for the run, the innermost first."""
    for suffix in ("-wal", "-shm", ""):
        (out / f"{CHECKPOINT}{suffix}").unlink(missing_ok=True)
    if held.is_new:
        held.remove_lock()
    for folder in made:
        folder.rmdir()


def keep_formats(checkpoint: Checkpoint, formats: Collection[str]) -> None:
    """An output keeps the formats it began with: a file that starts half-way would look whole."""
    told = ",".join(sorted(formats))
    before = checkpoint.fact(FORMATS, str)
    if before is None:
        checkpoint.set_fact(FORMATS, told)
    elif before != told:
        raise ConfigError(
            f"sink.formats: this output was begun with {before}, not {told}; keep that, or choose another --out"
        )


def refuse_another_manifest(checkpoint: Checkpoint, manifest: str, out: Path) -> None:
    """Before the manifest is read: raises ConfigError where a default output serves another one, which is still there.
    One that is gone may have become this one."""
    noted = checkpoint.fact(MANIFEST, str)
    if noted is not None and is_there(str(noted)):
        _refuse(str(noted), manifest, out, ())


def keep_manifest(checkpoint: Checkpoint, manifest: str, out: Path, names_before: Collection[str]) -> None:
    """A default output serves one manifest: another of the same name would replace its rows. `names_before` are other
    names of this one. Raises ConfigError."""
    noted, name = checkpoint.fact(MANIFEST, str), name_of(place_of(manifest))
    if noted is not None:
        _refuse(str(noted), manifest, out, names_before)
    if noted != name:
        checkpoint.set_fact(MANIFEST, name)


def _refuse(noted: str, manifest: str, out: Path, names_before: Collection[str]) -> None:
    if name_of(place_of(manifest)) not in (noted, name_of(noted)) and noted not in names_before:
        raise ConfigError(f"{out} holds the transcripts of {noted}; choose a folder for {manifest} with --out")
