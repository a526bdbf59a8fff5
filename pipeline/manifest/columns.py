"""Which columns a manifest may have, which of them a header names, and what a misspelt one was meant to be.

Knows names only: no values, no files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from operator import itemgetter

import msgspec

from pipeline.errors import ManifestError
from pipeline.manifest.rows import Rows, Warn
from pipeline.model import KEYWORDS
from pipeline.texts import nearest

KNOWN = ("audio", "id", "language", "reference", "offset_s", "duration_s", "channel")
"""In the order in which `Rows.utterance` takes them."""
NEMO = {"audio": "audio_filepath", "reference": "text", "offset_s": "offset", "duration_s": "duration"}
"""NeMo's name for a known column; it counts where ours is absent."""
MEANT_AUDIO = ("path", "file", "filename", "file_name", "filepath", "file_path", "wav", "recording", "url")
"""What others call the column of audio paths."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Where a table's columns are, worked out once per header so that no row looks up names."""

    width: int
    """Number of fields in the header."""
    known: Callable[[Sequence[str]], tuple[str, ...]]
    """Picks the KNOWN fields out of a row to which one "" was appended; absent columns point at that one."""
    names: tuple[str, ...]
    metadata: Callable[[Sequence[str]], tuple[str, ...]]
    """Picks the metadata fields, in the order of `names`."""
    nemo_duration: bool
    """The duration is NeMo's: the recording's length, and a span's only where the row has an offset."""


def plan(header: Sequence[str], rows: Rows, line: int) -> Plan:
    """The plan for a header; raises `ManifestError` when it has no audio column or has one name twice."""
    check(header, rows, line)
    at = {name: index for index, name in enumerate(header) if name}
    spelt = [name if name in at else NEMO.get(name, name) for name in KNOWN]
    # a column without a name is what pandas writes for its row numbers
    other = [(name, index) for name, index in at.items() if name not in spelt]
    return Plan(
        width=len(header),
        known=itemgetter(*[at.get(name, len(header)) for name in spelt]),
        names=tuple(name for name, _ in other),
        metadata=picker([index for _, index in other]),
        nemo_duration="duration_s" not in at and "duration" in at,
    )


def picker(indices: Sequence[int]) -> Callable[[Sequence[str]], tuple[str, ...]]:
    """Like itemgetter, which answers no tuple for one index and takes none at all."""
    if len(indices) > 1:
        return itemgetter(*indices)
    if indices:
        (index,) = indices
        return lambda row: (row[index],)
    return lambda row: ()


def check(header: Sequence[str], rows: Rows, line: int | None) -> None:
    """Refuses a header without an audio column or with one name twice; warns of names that look misspelt."""
    where = rows.manifest if line is None else f"{rows.manifest}:{line}"
    seen: set[str] = set()
    for name in header:
        if name and name in seen:
            raise ManifestError(f"{where}: two columns are named `{name}`; rename or drop one.")
        seen.add(name)
    if seen.isdisjoint(("audio", NEMO["audio"])):
        raise ManifestError(f"{where}: {no_audio(header)}")
    warn_of_misspelt(header, rows.warn, f"{where}: column")


def warn_of_misspelt(names: Sequence[str], warn: Warn, what: str, known: Collection[str] = ()) -> None:
    """Warns of names that will be metadata and look like known ones that are absent; not of those that are `known`."""
    for name, meant in misspelt(names):
        if name not in known:
            warn(f"{what} `{name[:40]}` is kept as metadata; did you mean `{meant}`?")


def no_audio(names: Iterable[str]) -> str:
    """Says that `audio` is missing and which of the names was probably meant."""
    names = [name for name in names if name]
    nearest = meant_audio(names)
    if nearest is not None:
        return f"there is no column `audio`; rename `{nearest}`, which looks like it."
    found = ", ".join(f"`{name[:40]}`" for name in names[:8]) or "nothing"
    if any("." in name for name in names):
        return f"the first line must name the columns, one of them `audio`, but it holds {found}; add such a line."
    return f"there is no column `audio`, which names each row's recording; the columns are {found}."


def meant_audio(names: Iterable[str]) -> str | None:
    """The name that was probably meant to be `audio`."""
    plain = {normalized(name): name for name in names}
    for right in ("audio", NEMO["audio"], *MEANT_AUDIO):
        if right in plain:
            return plain[right]
    near = nearest("audio", [*plain], cutoff=0.7) or nearest(NEMO["audio"], [*plain], cutoff=0.7)
    return plain[near] if near else None


def misspelt(names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of a name that will be metadata and the absent known column it is close to."""
    absent = [name for name in (*KNOWN, KEYWORDS) if name not in names and NEMO.get(name) not in names]
    right = [*absent, *(NEMO[name] for name in absent if name in NEMO)]
    pairs = []
    for name in names:
        if name and name not in (*KNOWN, KEYWORDS) and name not in NEMO.values():
            plain = normalized(name)
            # `uid` is no slip for `id`
            meant = plain if plain in right else nearest(plain, [one for one in right if len(one) > 3], cutoff=0.8)
            pairs += [(name, meant)] if meant else []
    return pairs


def normalized(name: str) -> str:
    """A name without what spelling habits change: case, blanks, hyphens."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")
