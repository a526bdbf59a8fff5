"""Which split of a data set a row goes into, and how the split is named. Pure: no I/O."""

from __future__ import annotations

from pipeline.model import Transcript

TRAIN = "train"
"""The split of all rows where none is asked for."""
UNASSIGNED = "unassigned"
"""The split of rows without a value: not `train`, where a row of the test set would do harm."""
MOST_SPLITS = 100


class Splits:
    """The splits of one data set. Mutable: it remembers the names it gave, which must stay different."""

    def __init__(self, column: str | None) -> None:
        """`column`: one of the manifest's other columns, or `language`, `model`, `status`, `channel`; None: all rows
        are `train`."""

    def of(self, row: Transcript) -> str:
        """The split of a row. Raises UsageError where its value gives no name, or the name of another value's split,
        and where there are more than MOST_SPLITS."""
        raise NotImplementedError

    def check(self) -> None:
        """After all rows: raises UsageError where rows were seen and none of them has the column."""
        raise NotImplementedError
