"""The spend ledger: parts of attempts, which hold every request that was sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from pipeline.model import Attempt
from pipeline.sink.parts import Parts
from pipeline.sink.rows import decoding
from pipeline.sink.store import Store


class AttemptParts(Parts[Attempt]):
    """The parts of attempts of an output. Methods block and raise OutputError."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, "attempts", Attempt)

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

    def sums(self, parts: Iterable[int]) -> tuple[dict[int, int], dict[str, float], float]:
        """The rows of these parts, their credits by calendar month (UTC), as `2026-11`, and how many of the credits
        only may have been billed."""
        counts, months, maybe = dict.fromkeys(parts, 0), defaultdict[str, float](float), 0.0
        for part in counts:
            for table in self.table(part).tables(["started_at", "credits", "billed"]):
                counts[part] += table.num_rows
                with decoding(self._store, self.name(part)):
                    for row in table.to_pylist():
                        months[f"{row['started_at']:%Y-%m}"] += row["credits"]
                        maybe += row["credits"] if row["billed"] != "yes" else 0.0
        return counts, months, maybe
