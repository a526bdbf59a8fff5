"""What a search for recordings left out, counted by what the names end in."""

from __future__ import annotations

import os
from collections import Counter

from pipeline.texts import plural

MOST, SHOWN = 1_000, 8
"""So many endings are counted by name, and so many told; the rest is told together."""
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
        ending = os.path.splitext(name)[1].lower()  # noqa: PTH122
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
