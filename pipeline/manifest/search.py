"""What of a folder is wanted as recordings, and what was left out, counted by what the names end in. Pure."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

from pipeline.forms import AUDIO_EXTENSIONS
from pipeline.manifest.patterns import Glob, Pick
from pipeline.sentences import plural

MOST, SHOWN = 1_000, 8
"""So many endings are counted by name, and so many are named; the rest is one sum."""
LONGEST = 16
HIDDEN, EXCLUDED, NO_ENDING, OTHER = "hidden", "excluded", "without an ending", "other"
LAST = (OTHER, EXCLUDED, HIDDEN)


class Ignored:
    """Files and folders that are no rows."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        """By ending, or by why they were left out."""
        self.folders: Counter[str] = Counter()

    def note(self, name: str) -> None:
        """Counts a file that is no recording by its name."""
        ending = os.path.splitext(name)[1].lower()
        is_odd = not ending.isprintable() or len(ending) > LONGEST or " " in ending
        is_one_too_many = ending not in self.files and len(self.files) >= MOST
        if is_odd or is_one_too_many:
            ending = OTHER
        self.files[ending or NO_ENDING] += 1

    def counts(self) -> dict[str, int]:
        """Files by what they are, the most first."""
        return dict(sorted(self.files.items(), key=lambda one: (one[0] in LAST, -one[1], one[0])))

    def __str__(self) -> str:
        """`ignored 3 files: .txt 2, .mkv~ 1`; empty where nothing was."""
        told = []
        if self.files:
            named = [(name, count) for name, count in self.counts().items() if name != OTHER]
            shown = [one for one in named if one[0] not in LAST][:SHOWN] + [one for one in named if one[0] in LAST]
            parts = [f"{name} {count:,}" for name, count in shown]
            if rest := self.files.total() - sum(count for _, count in shown):
                parts.append(f"{OTHER} {rest:,}")
            told.append(f"{plural(self.files.total(), 'file')}: {', '.join(parts)}")
        if self.folders:
            parts = [f"{name} {count:,}" for name, count in self.folders.items()]
            told.append(f"{plural(self.folders.total(), 'folder')}: {', '.join(parts)}")
        return f"ignored {'; '.join(told)}" if told else ""


def go_on() -> None:
    """The step of a search that nobody wants to end."""


class Search:
    """What is looked for below a folder, and what of it was left out."""

    def __init__(
        self,
        *,
        glob: Glob | None = None,
        pick: Pick | None = None,
        on_step: Callable[[], None] = go_on,
        ignored: Ignored | None = None,
    ) -> None:
        """Without `glob` and `pick` everything is wanted that is audio by its name and not hidden. `on_step` is called
        for each folder and for every thousand entries of one; it may raise to end the search."""
        self.glob, self.pick = glob, pick
        self.on_step = on_step
        self.ignored = Ignored() if ignored is None else ignored
        self.wants_hidden = any(one is not None and one.wants_hidden for one in (glob, pick))
        self.endings = AUDIO_EXTENSIONS + (glob.endings if glob else ()) + (pick.endings if pick else ())

    def asks_for(self, path: str) -> bool:
        """Whether the file of this path below the folder would be found, were it there."""
        is_hidden = "/." in f"/{path}" and not self.wants_hidden
        return not is_hidden and path.lower().endswith(self.endings) and self.is_named(path) and self.takes(path)

    def is_named(self, path: str) -> bool:
        """Whether the glob names a file; what it does not name is not left out, but was never meant."""
        return self.glob is None or self.glob.takes(path)

    def takes(self, path: str) -> bool:
        """Whether a file is picked."""
        return self.pick is None or self.pick.takes(path)

    def skips(self, folder: str) -> bool:
        """Whether nothing below a folder is wanted; where that is for the pick, it is left out."""
        if self.glob is not None and not self.glob.may_hold(folder):
            return True
        if self.pick is not None and self.pick.skips(folder):
            self.ignored.folders[EXCLUDED] += 1
            return True
        return False
