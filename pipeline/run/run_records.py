"""Takes forgotten ids, and what messages may quote of them, out of the figures of runs: summary.json, runs/*.json."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from pipeline.checkpoint.removing import FORGOTTEN_ID
from pipeline.sink.store import Store
from pipeline.texts import shown_id

MOST_IDS = 1_000
"""So many are looked for in sentences; where there are more, all sentences are taken to name one."""
RECORDS = ("summary.json", "runs/*.json")


class Cleaner:
    """Cleans the records of one output."""

    def __init__(self, is_named: Callable[[str], bool], ids: Collection[str]) -> None:
        """`ids` are looked for in sentences; examples of failures are known by `is_named`."""
        self._is_named = is_named
        self._are_many = len(ids) > MOST_IDS
        few = () if self._are_many else ids
        self._ids = [re.compile(rf"(?<!\w){re.escape(text)}(?!\w)") for id_ in few for text in {id_, shown_id(id_)}]

    def clean_files(self, store: Store) -> list[str]:
        """Rewrites the records that name them. Returns a sentence for each that cannot be read."""
        sentences = []
        for name in sorted(name for pattern in RECORDS for name in store.names(pattern)):
            with store.read(name) as file:
                before = file.read()
            after = self.cleaned(before)
            if not after:
                sentences.append(f"{store.location(name)} cannot be read, and may name them: remove it")
            elif after != before:
                with store.put(name) as file:
                    file.write(after + b"\n")
        return sentences

    def cleaned(self, encoded: bytes) -> bytes:
        """The figures of a run without them: as they are where they name none, b"" where they cannot be read."""
        try:
            figures = msgspec.json.decode(encoded, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
            return b""
        changed = self._clean(figures)
        return msgspec.json.format(msgspec.json.encode(figures), indent=2) if changed else encoded

    def _clean(self, figures: dict[str, Any]) -> bool:
        changed = False
        for one in figures.get("failures") or ():
            if isinstance(one, dict) and self._is_named(str(one.get("example_id"))):
                one["example_id"] = one["example_message"] = FORGOTTEN_ID
                changed = True
        for name in ("stopped_by", "many_gone"):
            text = figures.get(name)
            if isinstance(text, str) and (self._are_many or any(pattern.search(text) for pattern in self._ids)):
                figures[name], changed = FORGOTTEN_ID, True
        refusals = figures.get("unknown_refusals")
        # of what they were said is not known, and they may quote it
        if isinstance(refusals, dict) and refusals.keys() - {FORGOTTEN_ID}:
            figures["unknown_refusals"], changed = {FORGOTTEN_ID: sum(refusals.values())}, True
        return changed
