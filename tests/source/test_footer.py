"""Footers of Parquet files: what pyarrow says of a column, and no harm done by damaged ones."""

from __future__ import annotations

import io
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.source.footer import Chunk, chunks_of
from tests.data_sets import AUDIO

VALUE = st.none() | st.fixed_dictionaries(
    {"bytes": st.none() | st.binary(max_size=40), "path": st.none() | st.text(max_size=9)}
)


def written(values: list[Any], group_rows: int, **options: Any) -> bytes:
    columns = {f"c{n}": [n] * len(values) for n in range(20)} | {
        "audio": pa.array(values, AUDIO),
        "lists": [[1]] * len(values),
    }
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, row_group_size=group_rows, **options)
    return file.getvalue()


@settings(max_examples=20, deadline=None)
@given(st.lists(VALUE, min_size=1, max_size=20), st.integers(1, 7), st.booleans())
def test_it_says_what_pyarrow_says(values: list[Any], group_rows: int, with_statistics: bool) -> None:
    data = written(values, group_rows, write_statistics=with_statistics, write_page_index=True)
    metadata = pq.read_metadata(io.BytesIO(data))
    at = metadata.schema.names.index("bytes")
    wanted = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        column = group.column(at)
        assert column.path_in_schema == "audio.bytes"
        nulls = column.statistics.null_count if with_statistics else None
        wanted.append(Chunk(group.num_rows, column.total_compressed_size, nulls))
    assert chunks_of(io.BytesIO(data), "audio.bytes") == wanted
    if with_statistics:
        assert sum(chunk.nulls or 0 for chunk in wanted) == sum((one or {}).get("bytes") is None for one in values)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 30))
def test_damage_is_a_value_error(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(WHOLE)
    size = int.from_bytes(data[-8:-4], "little") + 8
    for _ in range(chance.randrange(1, 6)):
        at = len(data) - chance.randrange(1, size)
        data[at] = chance.randrange(256)
    if chance.random() < 0.2:
        data = data[: chance.randrange(len(data))] + data[-8:]
    error = None
    try:
        found = chunks_of(io.BytesIO(data), "audio.bytes")
    except ValueError as raised:
        error = raised
    assert error is not None or len(found) < 1_000


WHOLE = written([{"bytes": b"%d" % n, "path": f"{n}.wav"} for n in range(30)], 4)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1PAR1", b"\xff\xff\xff\x7fPAR1", b"\0" * 40, WHOLE[:-1]])
def test_what_is_no_parquet_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="as a Parquet file does"):
        chunks_of(io.BytesIO(data), "audio.bytes")


def test_a_column_that_is_not_there_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"has no column audio\.path2"):
        chunks_of(io.BytesIO(WHOLE), "audio.path2")
