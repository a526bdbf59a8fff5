"""Arguments that name the same files: each file is one row. Asks the file system where links lead."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from pipeline.manifest.arguments import Part
from pipeline.model import BadRow, Utterance


def without_overlaps(parts: Sequence[Part]) -> Iterator[tuple[Part, Iterator[Utterance | BadRow]]]:
    """The rows of each part, each file once: of two folders it is the outer one's, of one folder the first part's."""
    roots = [os.path.realpath(part.place) for part in parts]
    for number, part in enumerate(parts):
        own = roots[number]
        before = [
            (other, os.path.join(root, ""))  # noqa: PTH118  as for the recordings
            for at, (other, root) in enumerate(zip(parts, roots, strict=True))
            if other.is_folder and (own.startswith(os.path.join(root, "")) if own != root else at < number)  # noqa: PTH118
        ]
        yield part, _not_of(before, own, part) if part.is_folder and before else iter(part)


def _not_of(before: Sequence[tuple[Part, str]], own: str, part: Part) -> Iterator[Utterance | BadRow]:
    for row in part:
        path = f"{own}/{row.id}"
        if row.id is None or not any(path.startswith(root) and one.asks_for(path[len(root) :]) for one, root in before):
            yield row
