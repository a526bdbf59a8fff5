"""Files for the readers of an output: README.md, views.sql and .huggingface.yaml. Raises OutputError.

pyarrow, which takes long to import, is imported only where one of them is written.
"""

from __future__ import annotations

import hashlib
import os

from pipeline.sink.store import Store
from pipeline.sink.views import views

CARD, VIEWS, STATE = "README.md", "views.sql", ".huggingface.yaml"
OF_PARTS = {
    "errors": "errors.parquet",  # first: `datasets` takes the format of all tables from it, and it is always there
    "transcripts": "transcripts/part-*.parquet",
    "attempts": "attempts/part-*.parquet",
}
OF_LINES = OF_PARTS | {"errors": "errors.jsonl", "transcripts": "transcripts.jsonl"}
"""The tables of an output, and the files that readers should take: of JSON Lines only where there are no parts."""
MARK = "Written by gradium-batch, anew whenever it differs; delete this line to keep changes of your own."
UTF8 = ("utf-8", "surrogateescape")  # a path may have any bytes


def describe(store: Store, *, has_parts: bool) -> None:
    """Writes the card where there is none, and the others where they differ, unless somebody made them their own."""
    tables = OF_PARTS if has_parts else OF_LINES
    files = {name: sorted(store.names(pattern)) for name, pattern in tables.items()}
    if store.size(CARD) is None:
        from pipeline.sink.card import card

        _write(store, CARD, card(tables).encode())
    state = hashlib.blake2b(digest_size=16)
    for file in (file for of_table in files.values() for file in of_table):
        state.update(f"{file} {store.version(file)}\n".encode())
    _renew(store, STATE, "#", _as_of(state.hexdigest(), has_parts=has_parts))
    existing = {name: pattern if files[name] else None for name, pattern in tables.items()}
    _renew(store, VIEWS, "--", views(os.path.realpath(store.location()), existing))


def _as_of(state: str, *, has_parts: bool) -> str:
    """What .huggingface.yaml adds to the card. `datasets` (5.2) keeps what it once loaded from a folder, and gives it
    for each folder of that name with the same card and the same additions: these change with the files."""
    about = f"  description: as of {state}\n"
    if has_parts:
        return f"dataset_info:\n- config_name: transcripts\n{about}"
    from pipeline.sink.card import types_of_lines

    return types_of_lines() + about


def _renew(store: Store, name: str, comment: str, text: str) -> None:
    mark = f"{comment} {MARK}\n"
    content = (mark + text).encode(*UTF8)
    if store.size(name) is not None:
        with store.read(name) as file:
            before = file.read(len(content) + 1)
        if before == content or not before.startswith(mark.encode()):
            return
    _write(store, name, content)


def _write(store: Store, name: str, content: bytes) -> None:
    with store.put(name) as file:
        file.write(content)
