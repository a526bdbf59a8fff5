"""An output folder as a run finds it: writable, begun with these formats, and, where nobody chose it, for one manifest.

Writes two facts of the checkpoint, and makes the folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.store import FORMATS, MANIFEST
from pipeline.errors import ConfigError, OutputError, UsageError
from pipeline.run.manifests import is_there, name_of


@contextmanager
def output_folder(out: Path) -> Iterator[None]:
    """Makes the folder where there is none; takes it away again when the run was refused before it began."""
    is_new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"the output folder {out} cannot be written: {error.strerror}; choose another --out or mend its rights"
        ) from None
    try:
        yield
    except UsageError:
        if is_new:
            shutil.rmtree(out, ignore_errors=True)
        raise


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
    noted, name = checkpoint.fact(MANIFEST, str), name_of(manifest)
    if noted is not None:
        _refuse(str(noted), manifest, out, names_before)
    if noted != name:
        checkpoint.set_fact(MANIFEST, name)


def _refuse(noted: str, manifest: str, out: Path, names_before: Collection[str]) -> None:
    if name_of(manifest) not in (noted, name_of(noted)) and noted not in names_before:
        raise ConfigError(f"{out} holds the transcripts of {noted}; choose a folder for {manifest} with --out")
