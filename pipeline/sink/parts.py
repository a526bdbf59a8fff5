"""Numbered Parquet files of one kind: their names, which exist, and which one a crash left unrecorded.

pyarrow, which takes long to import, is imported only by `table`: a run that publishes nothing does without it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from pipeline.errors import OutputError
from pipeline.model import Attempt
from pipeline.sink.rows import damaged, decoding
from pipeline.sink.store import Store

if TYPE_CHECKING:
    from pipeline.sink.parquet import Table

MAGIC = b"PAR1"
T = TypeVar("T", bound=msgspec.Struct)


class Parts(Generic[T]):
    """The parts in a folder ("transcripts", "attempts"). Methods raise OutputError."""

    def __init__(self, store: Store, folder: str, kind: type[T]) -> None:
        self._store = store
        self._folder = folder
        self._kind = kind

    def name(self, part: int) -> str:
        return f"{self._folder}/part-{part:06d}.parquet"

    def table(self, part: int) -> Table[T]:
        from pipeline.sink.parquet import Table

        return Table(self._store, self.name(part), self._kind)

    def numbers(self) -> list[int]:
        """Numbers of the parts that exist."""
        start, end = f"{self._folder}/part-", ".parquet"
        names = (name[len(start) : -len(end)] for name in self._store.names(f"{start}*{end}"))
        return sorted(int(name) for name in names if name.isdigit())

    def is_whole(self, part: int) -> bool:
        """Whether a part has the magic bytes of Parquet at both ends, and is as long as its footer length needs."""
        with self._store.read(self.name(part)) as file:
            begins = file.read(len(MAGIC)) == MAGIC
            size = file.seek(0, 2)
            file.seek(max(0, size - 8))
            footer, end = file.read(4), file.read(4)
        return begins and end == MAGIC and int.from_bytes(footer, "little") + 12 <= size

    def unrecorded(self, known: Collection[int]) -> int | None:
        """The part, if any, that a crash left written and not recorded in the checkpoint.

        Raises OutputError where a recorded part is missing, DamagedFile where one is incomplete, and OutputError for
        any other part that the checkpoint does not know, which may be somebody's data.
        """
        existing, next_part = self.numbers(), max(known, default=0) + 1
        for part in sorted(set(known) - set(existing)):
            raise self._refused("a published part is missing", part)
        for part in known:
            if not self.is_whole(part):
                raise damaged(self._store, self.name(part), "its first or last bytes have changed")
        for part in sorted(set(existing) - {*known, next_part}):
            raise self._refused("a part is not in the checkpoint", part)
        return next_part if next_part in existing else None

    def check(self, known: Mapping[int, int]) -> None:
        """Reads the recorded parts. Raises as `unrecorded` does, and where one does not have its recorded rows."""
        self.unrecorded(known)
        for part, had in known.items():
            deque(self.table(part).rows(had=had), 0)

    def check_counts(self, known: Mapping[int, Collection[int]]) -> None:
        """Raises DamagedFile where a part has none of the numbers of rows that it may have: an old file came back."""
        for part, counts in known.items():
            if (found := self.table(part).count()) not in counts:
                raise damaged(self._store, self.name(part), f"it has {found:,} rows and had {max(counts):,}")

    def remove_unrecorded(self, known: Collection[int]) -> None:
        """Removes what a crash left: the part that was not recorded, whose rows are published again, and temporary
        files. Raises as `unrecorded` does, before anything is removed."""
        if (part := self.unrecorded(known)) is not None:
            self._store.remove(self.name(part))
        self._store.remove_unfinished(f"{self._folder}/part-*")

    def _refused(self, what: str, part: int) -> OutputError:
        out = self._store.location()
        return OutputError(
            f"the output folder {out} is not as it was left: {what} ({self._store.location(self.name(part))}); restore "
            f"what was there, or run gradium-batch rebuild {out} to go on with what is there"
        )


class AttemptParts(Parts[Attempt]):
    """The spend ledger: parts with every request that was sent."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, "attempts", Attempt)

    def publish(self, attempts: Sequence[Attempt], part: int) -> None:
        self.table(part).write([attempts])

    def of_earlier_versions(self, parts: Iterable[int]) -> list[int]:
        """Those of the parts that lack columns of today. Many readers take the columns of all parts from one of them,
        or load none where they differ."""
        return [part for part in parts if not self.table(part).has_columns()]

    def convert(self, part: int, had: int) -> None:
        """Rewrites a part, which has `had` rows, with today's columns. Repeated, it does the same."""
        self.table(part).replace(lambda ids: (), (), had, lambda ids: range(len(ids)))

    def rename(self, part: int, is_named: Callable[[str], bool], name: str, had: int) -> None:
        """Gives the requests of some ids another `name`, and takes the service's ids off them, in a part with `had`
        rows. What they cost stays. Repeated, it does the same."""
        table = self.table(part)

        def named(ids: list[str]) -> set[str]:
            return {id_ for id_ in ids if is_named(id_)}

        if any(named(ids["id"].to_pylist()) for ids in table.tables(["id"])):
            nameless = (msgspec.structs.replace(row, id=name, request_id=None) for row in table.rows(named))
            table.replace(named, nameless, had, lambda ids: range(len(ids)))

    def of(self, id_: str, parts: Collection[int]) -> list[Attempt]:
        """The attempts of one utterance. Of parts without one only the ids are read."""
        return [
            attempt
            for part in parts
            if any(id_ in ids["id"].to_pylist() for ids in self.table(part).tables(["id"]))
            for attempt in self.table(part).rows({id_}.intersection)
        ]

    def sums(self, parts: Iterable[int]) -> tuple[dict[int, int], dict[str, float], float]:
        """The number of rows of each part, their credits by calendar month (UTC, `2026-11`), and how many of the
        credits only may have been billed."""
        counts, months, maybe = dict.fromkeys(parts, 0), defaultdict[str, float](float), 0.0
        for part in counts:
            for table in self.table(part).tables(["started_at", "credits", "billed"]):
                counts[part] += table.num_rows
                with decoding(self._store, self.name(part)):
                    for row in table.to_pylist():
                        months[f"{row['started_at']:%Y-%m}"] += row["credits"]
                        maybe += row["credits"] if row["billed"] != "yes" else 0.0
        return counts, months, maybe
