"""What of a folder is wanted as recordings, and what was left out, counted by what the names end in. Pure."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence

from pipeline.forms import AUDIO_EXTENSIONS
from pipeline.manifest.patterns import compiled, ending
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
        kind = os.path.splitext(name)[1].lower()
        is_odd = not kind.isprintable() or len(kind) > LONGEST or " " in kind
        is_one_too_many = kind not in self.files and len(self.files) >= MOST
        self.files[OTHER if is_odd or is_one_too_many else kind or NO_ENDING] += 1

    def counts(self) -> dict[str, int]:
        """Files by what they are, the most first."""
        return dict(sorted(self.files.items(), key=lambda one: (one[0] in LAST, -one[1], one[0])))

    def __str__(self) -> str:
        """`ignored 3 files: .txt 2, .mkv~ 1`; empty where nothing was."""
        groups = []
        if self.files:
            named = [(name, count) for name, count in self.counts().items() if name != OTHER]
            shown = [one for one in named if one[0] not in LAST][:SHOWN] + [one for one in named if one[0] in LAST]
            parts = [f"{name} {count:,}" for name, count in shown]
            if rest := self.files.total() - sum(count for _, count in shown):
                parts.append(f"{OTHER} {rest:,}")
            groups.append(f"{plural(self.files.total(), 'file')}: {', '.join(parts)}")
        if self.folders:
            parts = [f"{name} {count:,}" for name, count in self.folders.items()]
            groups.append(f"{plural(self.folders.total(), 'folder')}: {', '.join(parts)}")
        return f"ignored {'; '.join(groups)}" if groups else ""


class Search:
    """What is looked for below a folder, and what of it was left out."""

    def __init__(
        self,
        *,
        glob: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        on_step: Callable[[], None] = lambda: None,
        ignored: Ignored | None = None,
    ) -> None:
        """Without patterns everything is wanted that is audio by its name and not hidden. A glob names files as a shell
        would expand it, and all below the folders that it names. `on_step` is called for each folder and for every
        thousand entries of one; it may raise to end the search. Raises ManifestError for a pattern that cannot be one.
        """
        naming = [*include] if glob is None else [*include, glob]
        self.endings = AUDIO_EXTENSIONS + tuple({found for one in naming if (found := ending(one))})
        """A pattern may name others: such files are recordings to it, whatever else has that ending."""
        self.wants_hidden = any("/." in f"/{one.removeprefix('./')}" for one in naming)
        self.has_glob, self.is_narrow = glob is not None, bool(glob is not None or include or exclude)
        self.on_step = on_step
        self.ignored = Ignored() if ignored is None else ignored
        self._include = compiled(include, hides_dots=True)
        self._exclude = compiled(exclude, hides_dots=False)
        self._glob, self._folders = None, []
        if glob is not None:
            self._glob = compiled([f"/{glob}"], hides_dots=True)
            names = glob.strip("/").split("/")
            known = names[: names.index("**")] if "**" in names else names
            self._folders = [compiled([f"/{'/'.join(known[: n + 1])}"], hides_dots=True) for n in range(len(known))]

    def asks_for(self, path: str) -> bool:
        """Whether the file of this path below the folder would be found, were it there."""
        is_hidden = "/." in f"/{path}" and not self.wants_hidden
        return not is_hidden and path.lower().endswith(self.endings) and self.is_named(path) and self.takes(path)

    def is_named(self, path: str) -> bool:
        """Whether the glob names a file; what it does not name is not left out, but was never meant."""
        return self._glob is None or bool(self._glob.match(path))

    def takes(self, path: str) -> bool:
        """Whether a file is included, and not excluded."""
        if self._exclude is not None and self._exclude.match(path):
            return False
        return self._include is None or bool(self._include.match(path))

    def skips(self, folder: str) -> bool:
        """Whether nothing below a folder is wanted; asked of the folders above it before. One that is excluded is left
        out, one that the glob cannot name was never meant."""
        depth = folder.count("/")
        if depth < len(self._folders) and (one := self._folders[depth]) and not one.match(folder):
            return True
        if self._exclude is not None and self._exclude.match(f"{folder}/"):
            self.ignored.folders[EXCLUDED] += 1
            return True
        return False
