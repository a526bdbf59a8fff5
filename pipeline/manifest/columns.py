"""The columns of manifests: found in the header of a table, or in the keys of a row with typed values.

Wrong types are refused and not converted: a list in `language` is a mistake upstream. `rows` interprets the values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from operator import itemgetter
from typing import Any

import msgspec

from pipeline.errors import ManifestError
from pipeline.keywords import KEYWORDS
from pipeline.manifest.rows import RowProblem, Rows, Warn, shown
from pipeline.model import BadRow, Utterance

KNOWN = ("audio", "id", "language", "reference", "offset_s", "duration_s", "channel")
"""In the order of the parameters of `Rows.utterance`."""
NEMO = {"audio": "audio_filepath", "reference": "text", "offset_s": "offset", "duration_s": "duration"}
"""NeMo's names of known columns, used where ours are absent."""
FILE_NAME = "file_name"
"""The audio column of Hugging Face's AudioFolder, used where there is no other."""
REFERENCES = ("sentence", "transcription", "transcript")
"""Names that the reference has in data sets of Hugging Face, beside ours and NeMo's: the first there is counts."""
AUDIO_SYNONYMS = ("path", "file", "filename", "filepath", "file_path", "wav", "recording", "url")
"""Likely other names of the audio column."""
TYPES = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The positions of a table's columns, computed once, so that no row looks up names."""

    width: int
    """Number of fields in the header."""
    known: Callable[[Sequence[str]], tuple[str, ...]]
    """Selects the KNOWN fields of a row to which one "" was appended, which stands for absent columns."""
    names: tuple[str, ...]
    metadata: Callable[[Sequence[str]], tuple[str, ...]]
    """Selects the metadata fields, in the order of `names`, and two more."""
    nemo_duration: bool
    """The duration is NeMo's: of a span where the row has an offset, else of the whole recording."""


def header_of(names: Sequence[str], rows: Rows, line: int) -> Header:
    """The header of a table with these column names. Raises ManifestError as `check`."""
    check(names, rows, line)
    at = {name: index for index, name in enumerate(names) if name}
    spelt = [name if name in at else NEMO.get(name, name) for name in KNOWN]
    if spelt[0] not in at:
        spelt[0], spelt[3] = FILE_NAME, spelt[3] if spelt[3] in at else reference_in(at)
    # pandas writes its row numbers into a column without a name
    other = [(name, index) for name, index in at.items() if name not in spelt]
    return Header(
        width=len(names),
        known=itemgetter(*[at.get(name, len(names)) for name in spelt]),
        names=tuple(name for name, _ in other),
        metadata=itemgetter(*[index for _, index in other], 0, 0),  # itemgetter returns no tuple for a single field
        nemo_duration="duration_s" not in at and "duration" in at,
    )


def check(names: Sequence[str], rows: Rows, line: int | None) -> None:
    """Warns of names that look misspelt. Raises ManifestError for a duplicate name or a missing audio column."""
    where = rows.manifest if line is None else f"{rows.manifest}:{line}"
    seen: set[str] = set()
    for name in names:
        if name and name in seen:
            raise ManifestError(f"{where}: two columns are named `{name}`; rename or drop one.")
        seen.add(name)
    if seen.isdisjoint(("audio", NEMO["audio"], FILE_NAME)):
        raise ManifestError(f"{where}: {_no_audio_column([*filter(None, names)])}")
    warn_of_misspelt(names, rows.warn, f"{where}: column")


def warn_of_misspelt(names: Sequence[str], warn: Warn, what: str, known: Collection[str] = ()) -> None:
    """Warns of metadata columns with a name like that of an absent known column, except those in `known`."""
    from pipeline.texts import nearest  # imports the library of the settings

    absent = [name for name in (*KNOWN, KEYWORDS) if name not in names and NEMO.get(name) not in names]
    right = [*absent, *(NEMO[name] for name in absent if name in NEMO)]
    ours = {*KNOWN, KEYWORDS, *NEMO.values(), *known}
    for name in names:
        if name and name not in ours:
            plain = _plain(name)
            # `uid` is no misspelt `id`
            similar = plain if plain in right else nearest(plain, [one for one in right if len(one) > 3], cutoff=0.8)
            if similar:
                warn(f"{what} `{name[:40]}` is kept as metadata; did you mean `{similar}`?")


def utterance(line: int, row: dict[str, Any], rows: Rows) -> Utterance | BadRow:
    """The record for a row of JSON or Parquet. Removes the known keys from `row`; the others are metadata. null counts
    as absent."""
    take = row.pop
    name = take("id", None)
    try:
        if type(name) is int:  # unambiguous as text
            name = str(name)
        id = text(name, "id")
    except RowProblem as problem:
        return rows.bad(line, str(problem))
    try:
        if "audio" not in row and "audio_filepath" not in row:
            if FILE_NAME not in row:
                raise RowProblem(_no_audio_key(row))
            row |= as_ours(row)
        audio = text(take("audio") if "audio" in row else take("audio_filepath"), "audio")
        reference = text(take("reference") if "reference" in row else take("text", None), "reference")
        language = text(take("language", None), "language")
        offset_s = number(take("offset_s") if "offset_s" in row else take("offset", None), "offset_s")
        if "duration_s" in row:
            duration_s = number(take("duration_s"), "duration_s")
        else:
            length_s = take("duration", None)  # NeMo's: see Header.nemo_duration
            duration_s = None if offset_s is None else number(length_s, "duration")
        channel = number(take("channel", None), "channel")
    except RowProblem as problem:
        return rows.bad(line, str(problem), id.strip())
    other = {key: as_text(value) for key, value in row.items() if value is not None} if row else {}
    return rows.utterance(line, audio, id, language, reference, offset_s, duration_s, channel, other)


def as_ours(row: dict[str, Any]) -> dict[str, Any]:
    """Takes `file_name` and the reference of a row of an AudioFolder out of it; returns them by our names."""
    ours = {"audio": row.pop(FILE_NAME)}
    if "reference" not in row and "text" not in row and (name := reference_in(row)) in row:
        ours["reference"] = row.pop(name)
    return ours


def reference_in(names: Collection[str]) -> str:
    """The column that has the reference of a data set of Hugging Face."""
    return next((name for name in ("reference", "text", *REFERENCES) if name in names), "reference")


def text(value: object, name: str) -> str:
    """The value where it is text, "" where it is null."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    raise RowProblem(f"`{name}` is {kind(value)} ({shown(value)}); it must be text.")


def number(value: object, name: str) -> float | None:
    """The value where it is a number or null."""
    if value is None or type(value) is float or type(value) is int:
        return value
    hint = "; write it without quotes" if isinstance(value, str) else ""
    raise RowProblem(f"`{name}` is {kind(value)} ({shown(value)}); it must be a number{hint}.")


def as_text(value: object) -> str:
    """A metadata value as text: text as it is, anything else as compact JSON."""
    if type(value) is str:
        return value
    written = msgspec.json.encode(value).decode()
    # dates, decimals and the like become JSON strings: drop the quotes
    return msgspec.json.decode(written, type=str) if written.startswith('"') else written


def kind(value: object) -> str:
    """A value's type, in JSON's terms."""
    return TYPES.get(type(value), type(value).__name__)


def _no_audio_column(names: Sequence[str]) -> str:
    """The message for a missing audio column, which suggests a similar one."""
    if (similar := _similar_to_audio(names)) is not None:
        return f"there is no column `audio`; rename `{similar}`, which looks like it."
    found = _listed(names) or "nothing"
    if any("." in name for name in names):
        return f"the first line must name the columns, one of them `audio`, but it holds {found}; add such a line."
    return f"there is no column `audio`, which names each row's recording; the columns are {found}."


def _no_audio_key(row: dict[str, Any]) -> str:
    """The same for the keys of a row."""
    if (similar := _similar_to_audio(row)) is not None:
        return f"the row has no `audio`; rename `{similar}`, which looks like it."
    return f"the row has no `audio`, which names its recording; its other keys: {_listed(row) or 'none'}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name[:40]}`" for name in [*names][:8])


def _similar_to_audio(names: Iterable[str]) -> str | None:
    """The name of what is probably the audio column."""
    from pipeline.texts import nearest  # as above

    plain = {_plain(name): name for name in names}
    for right in ("audio", NEMO["audio"], *AUDIO_SYNONYMS):
        if right in plain:
            return plain[right]
    near = nearest("audio", [*plain], cutoff=0.7) or nearest(NEMO["audio"], [*plain], cutoff=0.7)
    return plain[near] if near else None


def _plain(name: str) -> str:
    """A name in lower case, with underscores for blanks and hyphens."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")
