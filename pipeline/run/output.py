"""Checks and names the output folder of a run: it is writable, keeps its formats, and a default one its manifest.

Writes three facts of the checkpoint, and makes the folder.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from pipeline.audio.tracks import SAMPLE_BYTES, SAMPLE_RATE
from pipeline.checkpoint import Checkpoint, OutputLock, hold_output
from pipeline.checkpoint.schema import CHECKPOINT, FORMATS, MANIFEST, PLACES
from pipeline.errors import ConfigError, OutputError, UsageError
from pipeline.manifest import STDIN, path_of
from pipeline.manifest.tables import suffix_of
from pipeline.run.manifests import copies, is_there, may_be, name_of
from pipeline.source.addresses import is_address, path_in

RUNS = Path("runs")
PLACES_KEPT = 16
BYTES_PER_ROW = 3_000
"""What an utterance takes beside its words, in the checkpoint, a part and the JSONL together."""
BYTES_PER_S = 1_500
"""What the words of a second of audio take there: three, fast speech."""
MB = 1_000_000


@contextmanager
def output_folder(out: Path) -> Iterator[OutputLock]:
    """Makes the folder where there is none, and holds it. Where the run is refused before it began, removes what
    it made, and nothing else, while the folder is held. Raises OutputHeld or OutputError."""
    try:
        made = [folder for folder in (out, *out.parents) if not folder.exists()]
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out) as file:
            os.fsync(file.fileno())  # fails before anything is paid for
    except OSError as error:
        raise OutputError(
            f"the output folder {out} cannot be written: {error.strerror}; choose another --out or fix its permissions"
        ) from None
    with hold_output(out) as held:
        is_first = not (out / CHECKPOINT).exists()
        try:
            yield held
        except UsageError:
            if is_first:
                with suppress(OSError):  # a folder that is not empty holds other files
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
    if refuse_other_formats(checkpoint, formats) is None:
        checkpoint.set_fact(FORMATS, ",".join(sorted(formats)))


def refuse_other_formats(checkpoint: Checkpoint, formats: Collection[str]) -> str | None:
    """The formats that an output was begun with. Raises ConfigError where those are others."""
    formats_, before = ",".join(sorted(formats)), checkpoint.fact(FORMATS, str)
    if before not in (None, formats_):
        raise ConfigError(
            f"sink.formats: this output was begun with {before}, not {formats_}; keep that, or choose another --out"
        )
    return before


def refuse_another_manifest(checkpoint: Checkpoint, manifest: str, out: Path) -> None:
    """Before the manifest is read: raises ConfigError where a default output serves another one, which is still there.
    A missing one may have become this one, and so may one that was copied together with the output."""
    noted, name = checkpoint.fact(MANIFEST, str), name_of(manifest)
    if noted is not None and not may_be(noted, name, copies(checkpoint, name, out)):
        _refuse(noted, manifest, out)


def keep_manifest(checkpoint: Checkpoint, manifest: str | None, out: Path, names_before: Collection[str]) -> None:
    """Notes where the output is, by which a copy of it is known, and which manifest it serves: another of the same name
    would replace its rows. None where it may serve several. `names_before` are other names of this one. Raises
    ConfigError."""
    if manifest is not None:
        noted, name = refuse_unlike_manifest(checkpoint, manifest, out, names_before), name_of(manifest)
        if noted != name:
            checkpoint.set_fact(MANIFEST, name)
    before, here = checkpoint.places(), os.path.realpath(out)
    if before[-1:] != [here]:
        now = [*(place for place in before if place != here), here]
        checkpoint.set_fact(PLACES, "\n".join(now[-PLACES_KEPT:]))


def refuse_unlike_manifest(
    checkpoint: Checkpoint, manifest: str, out: Path, names_before: Collection[str]
) -> str | None:
    """Once the manifest was read: the one that a default output serves. Raises ConfigError where that is another."""
    noted = checkpoint.fact(MANIFEST, str)
    if noted is not None and name_of(manifest) not in (noted, name_of(noted)) and noted not in names_before:
        _refuse(noted, manifest, out)
    return noted


def _refuse(noted: str, manifest: str, out: Path) -> NoReturn:
    raise ConfigError(f"{out} holds the transcripts of {noted}; choose a folder for {manifest} with --out")


def default_out(manifests: Sequence[str], url: str) -> Path:
    """The output folder of those who name none: each manifest has one, and another for what the embedded local
    recognizer makes of it; several in one run have one by the folder that they are in. Raises CheckpointError."""
    end = "-local" if url == "local" else ""
    place = path_of(manifests)
    # of a link its own name: it may lead to another file each night
    name = Path(path_in(place) if is_address(place) else name_of(place)).name
    name = name[: len(name) - len(suffix_of(name))]
    out = RUNS / f"{'stdin' if place == STDIN else name or 'root'}{end}"
    if place != STDIN and not is_address(place) and not is_there(str(out / CHECKPOINT)):
        # the name that it had when links were followed, and whatever stands behind a dot was cut off
        former = RUNS / f"{Path(os.path.realpath(place)).stem}{end}"
        if former != out and _is_of(former, name_of(place)):
            return former
    return out


def _is_of(out: Path, name: str) -> bool:
    """Whether an output of that place is of the manifest of this name."""
    if not is_there(str(out / CHECKPOINT)):
        return False
    with Checkpoint(out / CHECKPOINT, only_read=True) as checkpoint:
        noted = checkpoint.fact(MANIFEST, str)
        names = checkpoint.manifests() if noted is None else [noted]
        copied = copies(checkpoint, name, out)
    return any(Path(known).name == Path(name).name and may_be(known, name, copied) for known in names)


def disk_too_small(out: Path, *, rows: int, expected_s: float, spool_bytes: int) -> str | None:
    """A warning where less is free than `rows` utterances of so much audio may take; None where it is enough, or
    unknown.

    Beside the rows there is decoded audio, `spool_bytes` at most, and a second copy of what is rewritten as a whole.
    """
    try:
        free = shutil.disk_usage(out).free
        lines = sum(path.stat().st_size for path in out.glob("transcripts.jsonl"))
        largest_part = max((path.stat().st_size for path in out.glob("transcripts/*.parquet")), default=0)
    except OSError:
        return None
    spool = min(spool_bytes, expected_s * SAMPLE_RATE * SAMPLE_BYTES)
    needed = rows * BYTES_PER_ROW + expected_s * BYTES_PER_S + spool + lines + largest_part
    if needed <= free:
        return None
    return (
        f"the disk of {out} has {free / MB:,.0f} MB free, and this run may take up to {needed / MB:,.0f} MB of it "
        f"({spool / MB:,.0f} MB for decoded audio, see audio.spool_mb): make room"
    )
