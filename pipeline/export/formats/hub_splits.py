"""Which split of a data set a row goes into, and how it is named. Pure: no I/O."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from pipeline.errors import UsageError
from pipeline.model import Transcript
from pipeline.texts import plural, shown_id

TRAIN = "train"
"""The split of all rows where none is asked for."""
UNASSIGNED = "unassigned"
"""The split of rows without a value: not `train`, where a row of the test set would do harm."""
MOST_SPLITS = 100
MOST_BYTES = 150
"""Of a name, which is a part of a file's."""
OF_ROWS = ("language", "model", "service", "status", "channel")
"""Columns of the output that may name splits; the others are the manifest's."""
_NO_NAME = re.compile(r"\W+")


class Splits:
    """The splits of one data set. Mutable: it remembers which value has which name, so that no two share one."""

    def __init__(self, column: str | None) -> None:
        """`column`: one of the manifest's other columns, or of OF_ROWS; None: all rows are `train`."""
        self._column = column
        self._is_known = column is None or column in OF_ROWS
        """Whether a row has the column, perhaps without a value."""
        self._values: dict[str, tuple[str, str | None]] = {}
        """The name and the value of each split by its name in lower case: file systems may not tell more apart."""

    @property
    def values(self) -> dict[str, str | None]:
        """The value of each split so far, by its name; None for the rows without one."""
        return dict(self._values.values())

    def of(self, row: Transcript) -> str:
        """The split of a row. Raises UsageError where its value gives no name, or that of another value's split, and
        where there are more than MOST_SPLITS."""
        value = self._value(row)
        name = TRAIN if self._column is None else split_name(value)
        if name is None:
            raise UsageError(
                f"the value {_shown(value)} of the column {self._column} gives no name of a split: that needs a letter "
                f"or a digit, at most {MOST_BYTES} bytes, and is not all"
            )
        self._add(name, value)
        return name

    def check(self, others: Mapping[str, str | None]) -> None:
        """To be called after all rows but those that stay as they are; `others` are the `values` of these. Raises
        UsageError as `of`, and where there are no others and no row has the column."""
        for name, value in others.items():
            self._add(name, value)
        if self._values and not self._is_known and not others:
            raise UsageError(
                f"no row has a column {self._column}, which is to name the splits; a column of the manifest can, and "
                f"{', '.join(OF_ROWS)}"
            )

    def _add(self, name: str, value: str | None) -> None:
        known = self._values.setdefault(name.lower(), (name, value))
        if known != (name, value):
            raise UsageError(
                f"the values {_shown(known[1])} and {_shown(value)} of the column {self._column} would both be the "
                f"split {name}; change one of them"
            )
        if len(self._values) > MOST_SPLITS:
            raise UsageError(
                f"the column {self._column} has more than {plural(MOST_SPLITS, 'value')}, and each would be a split; "
                "choose one with few values"
            )

    def _value(self, row: Transcript) -> str | None:
        """The value of a row, without white space around it; None for an empty one."""
        if self._column is None:
            return None
        if self._column in row.metadata or self._column not in OF_ROWS:
            self._is_known |= self._column in row.metadata
            return row.metadata.get(self._column, "").strip() or None
        found = getattr(row, self._column)
        return None if found is None else str(found)


def split_name(value: str | None) -> str | None:
    """The name for a value, as `datasets` takes it: letters, digits and underscores, with single dots between them.
    `test-clean` becomes `test.clean`. None where that leaves no name, a long one, or `all`, which means all splits."""
    if value is None:
        return UNASSIGNED
    name = ".".join(part for part in _NO_NAME.split(unicodedata.normalize("NFC", value)) if part)
    is_name = name and name.lower() != "all" and len(name.encode()) <= MOST_BYTES
    return name if is_name else None


def _shown(value: str | None) -> str:
    return "(none)" if value is None else f'"{shown_id(value)}"'
