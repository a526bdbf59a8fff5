"""`forget`: takes the words of recordings out of an output, for good, and keeps them from being sent again.

Reads and writes the output folder; reads local recordings whose hash is not known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from pipeline.audio.probe import read_recording
from pipeline.built import built
from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.schema import FORGOTTEN
from pipeline.errors import AttemptError, UsageError
from pipeline.run.removal import Removal, held_checkpoint, kept_copies, read_forgotten, strangers
from pipeline.sink import FolderStore, Sink
from pipeline.sink.forgotten import NAME, Forgotten
from pipeline.source.addresses import SCHEMES, address_of, is_address, scheme_of
from pipeline.source.signatures import Signatures
from pipeline.texts import nearest_few, plural, shown_id, visible

NAMED = 5
_HASH = re.compile("[0-9a-f]{32}")


@built
class Forgetting(msgspec.Struct, frozen=True, kw_only=True):
    """What is forgotten, and whether that was done."""

    out: str
    done: bool
    """False where it only says what would be done."""
    ids: tuple[str, ...]
    """All utterances, those with the same audio included."""
    copies: tuple[str, ...]
    """Damaged files that `rebuild` has kept, which are removed."""
    others: tuple[str, ...] = ()
    """Other files in the folder, which are changed only if `export` wrote them."""
    unchanged: tuple[str, ...] = ()
    """A sentence for each file that could not be changed, and may still have their words."""


def forget(out: Path, *, ids: Sequence[str] = (), audio: Sequence[str] = (), yes: bool = False) -> Forgetting:
    """Forgets the utterances of these ids, and all that have the audio of these recordings: paths, or hashes of audio.
    Without `yes` it only says what would be done.

    Raises UsageError where one is unknown, or where other ids have the audio of one of the `ids`; OutputHeld,
    OutputError, CheckpointError.
    """
    if not ids and not audio:
        raise UsageError("forget needs an utterance: name one by --id, or a recording by --audio")
    with held_checkpoint(out, only_read=not yes) as checkpoint:
        removal = Removal(out, checkpoint)
        finished = removal.finish() if yes else None
        rows = _Rows(out, checkpoint, removal.forgotten).of(ids, audio, was_finished=finished is not None)
        about = {"copies": (*kept_copies(FolderStore(out)),), "others": (*strangers(out),)}
        found = Forgetting(out=str(out), done=False, ids=(*rows,), **about)
        if not yes:
            return found
        unchanged = removal.forget(removal.forgotten.add(FolderStore(out), rows), found.ids) if rows else finished or []
        return msgspec.structs.replace(found, done=True, unchanged=tuple(unchanged))


def allow(out: Path, *, ids: Sequence[str] = (), audio: Sequence[str] = ()) -> int:
    """Lets the next run send these again: the reverse of `forget`, but for the words. Returns how many utterances that
    are. Raises UsageError where none was forgotten, OutputHeld, OutputError, CheckpointError."""
    store = FolderStore(out)
    with held_checkpoint(out, only_read=False) as checkpoint:
        Removal(out, checkpoint).finish()
        before = read_forgotten(out, checkpoint)
        if remote := [*filter(is_address, audio)]:
            raise UsageError(
                f"{visible(_without_signature(remote[0]))} lies elsewhere, and is not fetched to learn what it "
                "holds: name its utterances by --id, or the hash of its audio by --audio"
            )
        hashes = [found for one in audio if (found := one if _HASH.fullmatch(one) else _hash_of(one)) is not None]
        if not audio and (others := before.others_with_audio(ids)):
            raise UsageError(
                f"{out}: {plural(others, 'other forgotten utterance')} with the same audio, which would not be sent "
                "therefore: allow the recording by --audio, or all of them by --id"
            )
        now = before.allow(store, ids, hashes)
        if now.count == before.count:
            raise UsageError(f"{out}: nothing of this was forgotten")
        checkpoint.set_fact(FORGOTTEN, now.digest)
        return before.count - now.count


class _Rows:
    """Finds what is to be forgotten in one output."""

    def __init__(self, out: Path, checkpoint: Checkpoint, forgotten: Forgotten) -> None:
        self._out = out
        self._checkpoint = checkpoint
        self._forgotten = forgotten

    def of(self, ids: Sequence[str], audio: Sequence[str], *, was_finished: bool) -> Mapping[str, Collection[str]]:
        """All ids, with the hashes of their audio."""
        checkpoint = self._checkpoint
        with_audio = self._with_audio(audio, was_finished=was_finished)
        for id_ in ids:
            self._check_known(id_)
        wanted = [*dict.fromkeys((*ids, *with_audio))]
        hashes = {id_: {*known} or self._hashed(id_) for id_, known in checkpoint.audio_of_ids(wanted).items()}
        named = {*wanted}
        if others := self._others({audio_hash for id_ in ids for audio_hash in hashes[id_]}, named):
            shown = ", ".join(map(shown_id, others[:NAMED])) + (", …" if len(others) > NAMED else "")
            raise UsageError(
                f"{plural(len(others), 'other utterance')} with the same audio: {shown}; their words are the same: "
                "name them as well, or the recording by --audio, which takes all of them"
            )
        earlier = checkpoint.earlier_audio_of(wanted)
        every = {id_: known | earlier[id_] for id_, known in hashes.items()}
        having = checkpoint.ids_of_audio(set().union(*every.values()))
        of_others = {one for one, ids_ in having.items() if not named.issuperset(ids_)}
        return {id_: known - of_others for id_, known in every.items()}

    def _with_audio(self, audio: Sequence[str], *, was_finished: bool) -> list[str]:
        """The ids that have the audio of these recordings."""
        checkpoint, found = self._checkpoint, dict[str, None]()
        paths = {one: _paths_of(one) for one in audio}
        at = checkpoint.ids_at(set().union(*paths.values())) if paths else {}
        for one in audio:
            ids = [id_ for path in paths[one] for id_ in at.get(path, ())]
            hashes = {audio_hash for known in checkpoint.audio_of_ids(ids).values() for audio_hash in known}
            if not hashes:
                hashes = {one} if _HASH.fullmatch(one) else {found for found in [_hash_of(one)] if found}
            same = [id_ for ids_ in checkpoint.ids_of_audio(hashes).values() for id_ in ids_]
            if not ids and not same and not was_finished and not any(map(self._forgotten.has_audio, hashes)):
                raise UsageError(f"{self._out}: no utterance has the recording {visible(paths[one][0])}")
            found |= dict.fromkeys((*ids, *same))
        return [*found]

    def _check_known(self, id_: str) -> None:
        checkpoint = self._checkpoint
        if checkpoint.number_of(id_) is not None or self._forgotten.has_id(id_) or checkpoint.is_in_bad_row(id_):
            return
        if Sink(FolderStore(self._out)).attempts.of(id_, checkpoint.parts("attempts")):
            return  # a former name
        near = nearest_few(id_, checkpoint.ids_near(id_))
        hint = f"; did you mean {' or '.join(map(shown_id, near))}?" if near else ""
        raise UsageError(f"{self._out} has no id {shown_id(id_)}{hint}")

    def _hashed(self, id_: str) -> set[str]:
        """The hash of a recording that was never sent, where it can be read."""
        row = self._checkpoint.rows_of([id_]).get(id_)
        return set() if row is None or not row.audio else {found for found in [_hash_of(row.audio)] if found}

    def _others(self, hashes: Collection[str], ids: Collection[str]) -> list[str]:
        having = self._checkpoint.ids_of_audio(hashes)
        return [*dict.fromkeys(id_ for ids_ in having.values() for id_ in ids_ if id_ not in ids)]


def _paths_of(audio: str) -> Sequence[str]:
    """What rows may call a recording."""
    if scheme_of(audio) in SCHEMES:
        return [_without_signature(audio)]
    return audio, os.path.abspath(audio), os.path.realpath(audio)  # noqa: PTH100


def _without_signature(address: str) -> str:
    """As rows have it."""
    try:
        return Signatures().take(address_of(address))
    except ValueError as error:
        raise UsageError(f"--audio: {error}") from None


def _hash_of(path: str) -> str | None:
    """Of a local recording; None where it cannot be read, or lies elsewhere: it is not fetched for that."""
    if is_address(path):
        return None
    try:
        return read_recording(os.path.abspath(path)).audio_hash  # noqa: PTH100
    except (AttemptError, ValueError):
        return None


def as_lines(found: Forgetting) -> list[str]:
    """It for a person."""
    will = "is" if found.done else "would be"
    if found.done and len(found.ids) > 1:
        will = "are"
    shown = ", ".join(map(shown_id, found.ids[:NAMED])) + (", …" if len(found.ids) > NAMED else "")
    lines = [f"{plural(len(found.ids), 'utterance')} {will} forgotten: {shown}"] if found.ids else []
    lines.append(
        f"the words go from every file of {visible(found.out)}, what was spent stays in the ledger, and {NAME} keeps "
        "them from being sent again"
    )
    if found.copies:
        lines.append(f"removed as well, because they may hold the words: {', '.join(map(visible, found.copies))}")
    if found.others:
        shown = ", ".join(map(visible, found.others[:NAMED])) + (", …" if len(found.others) > NAMED else "")
        lines.append(f"other files in the folder, which are changed only if they are exports: {shown}")
    if not found.done:
        lines.append("nothing was changed: this cannot be undone, so say --yes to do it")
    lines += found.unchanged
    if found.unchanged:
        lines.append("once that is mended, forget them again, by --id")
    return lines
