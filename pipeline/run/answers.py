"""Which clips of what would be sent have an answer already, for `check`; the run asks the checkpoint for each."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.checkpoint import Identity
from pipeline.checkpoint.alike import Todo
from pipeline.checkpoint.lookup import AnswerIndex
from pipeline.run.settings_hash import SettingsHash


class Answers:
    """The answered clips of a checkpoint, by what they answer to."""

    def __init__(self, index: AnswerIndex, settings: SettingsHash) -> None:
        self._index = index
        self._settings = settings

    def may_be_of(self, todo: Todo) -> bool:
        """Whether some of them may be of this very recording, which only its content tells."""
        return todo.utterance.id in self._index.ids or todo.size in self._index.sizes

    def to(self, todo: Todo, names: Sequence[Identity]) -> set[str]:
        """The keys of those that are of the recording, which is known by these names, under settings that give the same
        answers."""
        by_samples = names[0].with_settings(self._settings.of_answers(todo.utterance))
        found = [one for name in (by_samples, *names) for one in self._index.spans.get(name.key, ())]
        # what is done and is sent again uses only what that was begun with
        return {span for span, config_hash in found if todo.done not in names or config_hash == names[0].config_hash}
