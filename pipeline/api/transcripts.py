"""The transcripts of an output, as records and as tables."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.api.arguments import PathLike, path_of
from pipeline.api.raising import raised
from pipeline.model import Transcript
from pipeline.run.reading import OutputReader

if TYPE_CHECKING:
    import pyarrow as pa


class Transcripts:
    """The transcripts of an output folder, in the order of its manifest: iterate over it for one `Transcript` after the
    other (with flat memory, also of a million), or take all as a table. Each look reads the files anew, and may be
    taken while a run is at work. Raises OutputError where a file is damaged."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._reader = OutputReader(out)

    def __iter__(self) -> Iterator[Transcript]:
        with raised():
            yield from self._reader.rows()

    def __len__(self) -> int:
        with raised():
            return self._reader.count()

    def __bool__(self) -> bool:
        return True  # without counting; an empty output is one as well

    def __repr__(self) -> str:
        return f"Transcripts({str(self.out)!r})"

    def arrow(self) -> pa.Table:
        """A pyarrow.Table with the columns of docs/output.md, `metadata` as JSON text."""
        with raised():
            return self._reader.table()

    def to_pandas(self) -> Any:
        """`arrow()` as a pandas.DataFrame. Raises ImportError where pandas is not installed."""
        _require("pandas", "to_pandas")
        return self.arrow().to_pandas()

    def to_polars(self) -> Any:
        """`arrow()` as a polars.DataFrame. Raises ImportError where Polars is not installed."""
        _require("polars", "to_polars")
        import polars

        return polars.from_arrow(self.arrow())

    def words(self) -> pa.Table:
        """A pyarrow.Table with a row for each word: the `id` of its transcript, its `index` there (from 0), `text`,
        `start_s`, `stop_s`, `channel`, `stream_id`, `clip` and `timing`."""
        import pyarrow as pa

        with raised():
            rows = self._reader.table(["words"])
        batches = rows.to_batches() or [pa.RecordBatch.from_pylist([], rows.schema)]
        return pa.concat_tables(map(_words, batches))


def read(out: PathLike) -> Transcripts:
    """The transcripts of an output folder. Raises UsageError where the folder is none."""
    with raised():
        return Transcripts(Path(path_of("out", out)))


def _words(rows: pa.RecordBatch) -> pa.Table:
    """The words of the rows, whose columns are `id` and `words`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from pipeline.sink.schema import indices

    lengths = pc.list_value_length(rows["words"]).to_pylist()
    words = rows["words"].flatten()
    named = {words.type.field(place).name: column for place, column in enumerate(words.flatten())}
    of = indices(chain.from_iterable(repeat(number, length) for number, length in enumerate(lengths)))
    place = indices(chain.from_iterable(map(range, lengths)))
    return pa.table({"id": rows["id"].take(of), "index": place.cast(pa.int32()), **named})


def _require(library: str, method: str) -> None:
    if find_spec(library) is None:
        raise ImportError(f"{method} needs {library}, which is not installed: pip install {library}", name=library)
