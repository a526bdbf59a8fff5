"""What each row of a forecast would take, by the header of its recording.

Reads whole files only where their content decides whether they are sent: one is as long as another, or as it was when
it was transcribed. Remote recordings are never fetched: of these such a row counts as sent.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pipeline.audio.probe import Probe, length_of, probe, read_recording, refuse_truncated_copy
from pipeline.audio.remote import probe_by_size, probe_remote
from pipeline.audio.upload import Estimate, estimate, is_one_channel
from pipeline.checkpoint import UNKNOWN, UNREADABLE, Identity
from pipeline.checkpoint.alike import Todo
from pipeline.checkpoint.lookup import AnswerIndex
from pipeline.config import Settings
from pipeline.errors import AttemptError, AudioMissing, AudioUnavailable, SourceChanged
from pipeline.run.settings_hash import SettingsHash
from pipeline.source import FileInfo, Sources
from pipeline.source.addresses import is_address, is_row, scheme_of

MOST_BYTES = 1 << 30
"""Of a row of a local Parquet file, which is copied to be looked at."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A row with what it would take."""

    todo: Todo
    takes: Estimate | AttemptError | None
    """Or why it cannot be sent; None where it is unchanged."""
    identities: Sequence[Identity] = ()
    """Those that its transcript may have, where its content decides what a run does."""
    key: str | None = None
    """Equal for rows with the same audio under the same settings."""
    is_uncompared: bool = False
    """Its content would decide, and was not read."""


class Measuring:
    """Measures rows. For several threads."""

    def __init__(
        self,
        settings: Settings,
        hashes: SettingsHash,
        answers: AnswerIndex,
        sources: Sources | None,
        stopped: threading.Event,
    ) -> None:
        """Without `sources` nothing is read of remote recordings: their lengths are estimated from their sizes."""
        self._settings = settings
        self._hashes = hashes
        self._answers = _Answers(answers, hashes)
        self._sources = sources
        self._stopped = stopped

    def measure(self, todo: Todo) -> Measured:
        """Raises Stopped, and where a source is out for too long or refuses everybody SourceOut, SourceRefusesAll."""
        audio = todo.utterance.audio
        try:
            if not is_address(audio):
                return self._by_content(todo, audio)
            if self._sources is not None and is_row(audio) and not scheme_of(audio):
                with _copied(self._sources, audio) as copy:
                    return self._by_content(todo, copy)
            return self._by_header(todo)
        except AttemptError as error:
            return Measured(todo=todo, takes=error.bare())

    def _by_content(self, todo: Todo, path: str) -> Measured:
        """By a local file."""
        identities: Sequence[Identity] = ()
        keys: set[str] = set()
        try:
            # the sizes of rows of Parquet files are means, so that equal ones say nothing
            may_be_known = todo.may_be_known or _is_shorter(todo) or is_row(todo.utterance.audio)
            if not may_be_known and todo.is_known_if_one_channel:
                may_be_known = is_one_channel(todo.utterance, probe(path))
            if may_be_known or self._answers.may_be_of(todo):
                found = read_recording(path, self._stopped)
                all_identities = self._hashes.identities(todo.utterance, found)
                keys = self._answers.to(todo, all_identities)
                if may_be_known:
                    if not self._settings.audio.allow_truncated:
                        refuse_truncated_copy(found.prefix_hashes, todo.prefix_hashes)
                    identities = all_identities
                    if todo.done in identities:
                        return Measured(todo=todo, takes=None, identities=identities)
            takes: Estimate | AttemptError = self._estimate(todo, probe(path), keys)
        except AttemptError as error:
            takes = error
        return Measured(todo=todo, takes=takes, identities=identities, key=identities[0].key if identities else None)

    def _by_header(self, todo: Todo) -> Measured:
        found = self._probe(todo)
        may_be_known = todo.may_be_known or _is_shorter(todo)
        if not may_be_known and todo.is_known_if_one_channel:
            may_be_known = found.channels in (0, 1)
        audio, version = todo.utterance.audio, todo.version
        return Measured(
            todo=todo,
            takes=self._estimate(todo, found),
            key=f"{audio}\n{version}\n{todo.config_hash}" if may_be_known else None,
            is_uncompared=may_be_known or self._answers.may_be_of(todo),
        )

    def _probe(self, todo: Todo) -> Probe:
        """The header of a remote recording."""
        audio = todo.utterance.audio
        is_known = todo.version not in (None, UNREADABLE, UNKNOWN)
        info = FileInfo(todo.version or "", todo.size, 0.0)
        if self._sources is None:
            if not is_known:
                kind = AudioMissing if todo.version is None else AudioUnavailable
                raise kind(f"{audio} was not found when the manifest was read")
            return probe_by_size(audio, info)
        if not is_known:
            info = self._sources.stat(audio)
        try:
            return probe_remote(self._sources, audio, info, failed_before=todo.failed_before)
        except SourceChanged:  # since the manifest was read
            return probe_remote(self._sources, audio, self._sources.stat(audio), failed_before=todo.failed_before)

    def _estimate(self, todo: Todo, found: Probe, answered: set[str] | None = None) -> Estimate:
        settings = self._settings
        return estimate(todo.utterance, found, settings.audio, settings.request_price, answered or ())


def _is_shorter(todo: Todo) -> bool:
    """Whether it has fewer bytes than what was transcribed: it may be the beginning of that."""
    return todo.size is not None and todo.prefix_hashes is not None and todo.size < length_of(todo.prefix_hashes)


@contextmanager
def _copied(sources: Sources, audio: str) -> Iterator[str]:
    """The path of a copy of a row of a local Parquet file."""
    with tempfile.TemporaryDirectory(prefix="gradium-batch-") as folder:
        path = Path(folder) / "recording"
        with path.open("wb", buffering=0) as file:
            sources.fetch(audio, file, MOST_BYTES)
        yield str(path)


class _Answers:
    """The answered clips of a checkpoint, by recording and settings."""

    def __init__(self, index: AnswerIndex, settings: SettingsHash) -> None:
        self._index = index
        self._settings = settings

    def may_be_of(self, todo: Todo) -> bool:
        """Whether some may be of this recording; only its content decides."""
        return todo.utterance.id in self._index.ids or todo.size in self._index.sizes

    def to(self, todo: Todo, names: Sequence[Identity]) -> set[str]:
        """The keys of those of the recording with these names, under settings that give the same answers."""
        by_samples = names[0].with_settings(self._settings.of_answers(todo.utterance))
        found = [one for name in (by_samples, *names) for one in self._index.spans.get(name.key, ())]
        # a done row that is sent again uses only answers of the current settings
        return {span for span, config_hash in found if todo.done not in names or config_hash == names[0].config_hash}
