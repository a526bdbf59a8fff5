"""Parquet tables: any record comes back as it was, and no library is loaded that the files do not need."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model import Attempt, Failure, Segment, Transcript, Word
from pipeline.sink import FolderStore
from pipeline.sink.parquet import Table
from pipeline.sink.schema import SCHEMAS, as_table

text = st.text(st.characters(codec="utf-8"), max_size=12)
number = st.floats(allow_nan=False, allow_infinity=False)
small = st.integers(-(2**15), 2**15 - 1)
count = st.integers(-(2**31), 2**31 - 1)
instant = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)).map(
    lambda found: found.replace(tzinfo=UTC)
)
metadata = st.dictionaries(text, text, max_size=3)
texts = st.lists(text, max_size=3).map(tuple)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


words = st.builds(
    Word,
    text=text, start_s=number, stop_s=maybe(number), channel=small, stream_id=maybe(count), clip=count,
    timing=st.sampled_from(["exact", "spread"]),
)  # fmt: skip
segments = st.builds(Segment, text=text, start_s=number, stop_s=maybe(number), channel=small)
transcripts = st.builds(
    Transcript,
    id=text, audio=text, text=text, words=st.lists(words, max_size=3).map(tuple),
    segments=st.lists(segments, max_size=3).map(tuple), duration_s=number, offset_s=number, span_s=maybe(number),
    channel=maybe(small), sample_rate=maybe(count), channels=maybe(count), status=st.sampled_from(["ok", "suspect"]),
    issues=texts, language=maybe(text), model=maybe(text), service=maybe(text), audio_hash=text, config_hash=text,
    request_ids=texts, attempts=count, latency_s=number, credits=number, run_id=text, finished_at=instant,
    reference=maybe(text), wer=maybe(number), metadata=metadata,
)  # fmt: skip
failures = st.builds(
    Failure,
    id=text, audio=text, error=text, message=text, retryable=st.booleans(), attempts=count, first_seen=instant,
    last_seen=instant, run_id=text, http_status=maybe(count), code=maybe(count), clip=maybe(count), metadata=metadata,
    kept=st.booleans(),
)  # fmt: skip
attempts = st.builds(
    Attempt,
    id=text, clip=count, attempt=count, run_id=text, started_at=instant, latency_s=number, outcome=text,
    billed=st.sampled_from(["yes", "no", "maybe"]), credits=number, bytes_sent=st.integers(0, 2**62),
    http_status=maybe(count), code=maybe(count), request_id=maybe(text),
)  # fmt: skip


@settings(deadline=None)
@given(st.one_of(*(st.lists(kind, max_size=4) for kind in (transcripts, failures, attempts))))
def test_a_table_has_what_the_records_have(records: list[Any]) -> None:
    kind = type(records[0]) if records else Transcript
    rows = msgspec.to_builtins(records, builtin_types=(datetime,))
    for row in rows:
        if "metadata" in row:
            row["metadata"] = msgspec.json.encode(row["metadata"]).decode()
    assert as_table(records, kind).equals(pa.Table.from_pylist(rows, schema=SCHEMAS[kind]))


@pytest.mark.slow
@settings(deadline=None)
@given(records=st.lists(transcripts, min_size=1, max_size=4))
def test_records_are_read_as_they_were_written(tmp_path_factory: Any, records: list[Transcript]) -> None:
    table = Table(FolderStore(tmp_path_factory.mktemp("out")), "part.parquet", Transcript)
    table.write([records])
    assert [*table.rows()] == records


def test_pandas_is_not_loaded_where_nobody_asked_for_it(tmp_path: Path) -> None:
    """Arrow loads it for many of its functions: 40 MB, and as long as a short run takes."""
    script = """
import sys
from pathlib import Path
from pipeline.sink import FolderStore, Sink
from tests.records import transcript
sink = Sink(FolderStore(Path(sys.argv[1])))
sink.publish([transcript("a"), transcript("b")], 1, 0)
sink.replace(1, {"a"}.intersection, [transcript("a", "new")], 2, lambda ids: [*range(len(ids))])
assert [row.text for row in sink.rows(1)] == ["hello world", "new"]
sink.write_errors(lambda: iter(()))
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True)
