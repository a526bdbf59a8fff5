"""The spend ledger: parts of attempts, which hold every request that was sent. Loads Parquet's library when asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from pipeline.model import Attempt
from pipeline.sink.parts import Parts
from pipeline.sink.rows import decoding
from pipeline.sink.store import Store

if TYPE_CHECKING:
    from pipeline.sink.parquet import Table

_SUMMED = ["started_at", "credits", "billed"]


class AttemptParts(Parts):
    """The parts of attempts of an output. Methods block and raise OutputError."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, "attempts")

    def table(self, part: int) -> Table[Attempt]:
        from pipeline.sink.parquet import Table

        return Table(self._store, self.name(part), Attempt)

    def publish(self, attempts: Sequence[Attempt], part: int) -> None:
        self.table(part).write([attempts])

    def of(self, id_: str, parts: Collection[int]) -> list[Attempt]:
        """The attempts of one utterance. Most parts have none: only the ids of those are read."""
        return [
            attempt
            for part in parts
            if any(id_ in ids["id"].to_pylist() for ids in self.table(part).tables(["id"]))
            for attempt in self.table(part).rows({id_}.intersection)
        ]

    def sums(self, part: int) -> tuple[int, dict[str, float], float]:
        """Rows of a part, their credits by calendar month (UTC), as `2026-11`, and how many of the credits only may
        have been billed."""
        import pyarrow as pa
        import pyarrow.compute as pc

        from pipeline.sink.schema import ATTEMPTS

        rows = pa.concat_tables([ATTEMPTS.empty_table().select(_SUMMED), *self.table(part).tables(_SUMMED)])
        with decoding(self._store, self.name(part)):
            started_at = rows["started_at"].cast(pa.timestamp("us"))  # in UTC, and needs no list of time zones
            month = pc.add(pc.multiply(pc.year(started_at), 100), pc.month(started_at))
            sums = (
                pa.table({"month": month, "credits": rows["credits"]}).group_by("month").aggregate([("credits", "sum")])
            )
            months = {
                f"{row['month'] // 100:04}-{row['month'] % 100:02}": row["credits_sum"] for row in sums.to_pylist()
            }
            maybe = pc.sum(rows["credits"].filter(pc.not_equal(rows["billed"], "yes"))).as_py() or 0.0
        return rows.num_rows, months, maybe
