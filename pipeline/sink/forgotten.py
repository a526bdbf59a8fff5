"""forgotten.jsonl: what `forget` took out of an output, as salted hashes, so that it is not sent again.

Reads and writes the file. The salt keeps hashes of two outputs apart; whoever has the file can still try ids that they
guess, as a run has to. Raises OutputError.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Self

import msgspec

from pipeline.built import built
from pipeline.errors import OutputError
from pipeline.sink.store import Store

NAME = "forgotten.jsonl"


@built
class _Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The salt, an utterance with its audio, or an unchanged recording that has forgotten audio under another id."""

    salt: str | None = None
    id: str | None = None
    audio: tuple[str, ...] = ()
    forgotten_at: datetime | None = None
    copy: str | None = None


_decode, _encode = msgspec.json.Decoder(_Line).decode, msgspec.json.Encoder().encode


class Forgotten:
    """What was forgotten in one output."""

    def __init__(self, lines: Sequence[_Line] = (), digest: str = "") -> None:
        self.digest = digest
        """Of the file; "" where there is none."""
        self._lines = [line for line in lines if line.salt is None]
        self._salt = next((line.salt for line in lines if line.salt is not None), None) or secrets.token_hex(16)
        self._ids = {line.id for line in self._lines if line.id is not None}
        self._audio = {audio for line in self._lines for audio in line.audio}
        self._copies = {line.copy for line in self._lines if line.copy is not None}

    @classmethod
    def read(cls, store: Store) -> Self:
        """Of an output; nothing where it has no such file."""
        if store.size(NAME) is None:
            return cls()
        with store.read(NAME) as file:
            content = file.read()
        try:
            lines = [_decode(line) for line in content.splitlines() if line.strip()]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise OutputError(
                f"{store.location(NAME)} is damaged ({error}); restore it: it says which recordings were forgotten and "
                "must not be sent again"
            ) from error
        return cls(lines, hashlib.blake2b(content, digest_size=16).hexdigest())

    @property
    def count(self) -> int:
        """The number of forgotten utterances."""
        return len(self._ids)

    def __bool__(self) -> bool:
        return bool(self._ids or self._audio or self._copies)

    def has_id(self, id_: str) -> bool:
        return bool(self._ids) and self._hash("id", id_) in self._ids

    def has_audio(self, audio_hash: str) -> bool:
        """Whether audio with this hash was forgotten, under any id."""
        return bool(self._audio) and self._hash("audio", audio_hash) in self._audio

    def has_row(self, id_: str, audio: str, version: str | None) -> bool:
        """Whether a row was forgotten, or is known to have forgotten audio: its recording has the same version."""
        is_copy = bool(self._copies) and self._hash("copy", id_, audio, version or "") in self._copies
        return is_copy or self.has_id(id_)

    def add(self, store: Store, rows: Mapping[str, Collection[str]]) -> Self:
        """Writes that these ids, with the hashes of their audio, were forgotten; returns what was forgotten then."""
        now = datetime.now(UTC).replace(microsecond=0)
        new = [
            _Line(
                id=self._hash("id", id_),
                audio=tuple(sorted(self._hash("audio", audio_hash) for audio_hash in audio)),
                forgotten_at=now,
            )
            for id_, audio in rows.items()
        ]
        again = {line.id for line in new}
        earlier = {line.id: line.audio for line in self._lines if line.id in again}
        new = [msgspec.structs.replace(one, audio=tuple({*one.audio, *earlier.get(one.id, ())})) for one in new]
        return self._written(store, [*(line for line in self._lines if line.id not in again), *new])

    def add_copies(self, store: Store, rows: Iterable[tuple[str, str, str | None]]) -> Self:
        """Writes that the recordings of these rows (id, path, version) have forgotten audio."""
        found = [_Line(copy=self._hash("copy", id_, audio, version or "")) for id_, audio, version in rows]
        return self._written(store, [*self._lines, *found])

    def others_with_audio(self, ids: Collection[str]) -> int:
        """How many others have audio of these ids."""
        hashes = {self._hash("id", id_) for id_ in ids}
        audio = {one for line in self._lines if line.id in hashes for one in line.audio}
        return sum(line.id not in hashes and not audio.isdisjoint(line.audio) for line in self._lines)

    def allow(self, store: Store, ids: Collection[str], audio: Collection[str]) -> Self:
        """Writes that these ids, and what has this audio, are no longer forgotten."""
        hashes = {self._hash("id", id_) for id_ in ids}
        audio_hashes = {self._hash("audio", audio_hash) for audio_hash in audio}
        left = [line for line in self._lines if line.id is not None and line.id not in hashes]
        return self._written(store, [line for line in left if audio_hashes.isdisjoint(line.audio)])

    def _written(self, store: Store, lines: list[_Line]) -> Self:
        with store.put(NAME) as file:
            file.writelines(_encode(line) + b"\n" for line in (_Line(salt=self._salt), *lines))
        return self.read(store)

    def _hash(self, kind: str, *texts: str) -> str:
        content = "\0".join((kind, *texts)).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(content, key=self._salt.encode(), digest_size=16).hexdigest()


NOTHING = Forgotten()
"""What was forgotten in an output in which nothing was."""
