"""views.sql: DuckDB views of an output. Pure: no I/O.

It names the files by absolute path, because a script of DuckDB does not know where it lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

MOST_OBJECT_BYTES = 256 << 20
"""The longest line DuckDB reads: a day of speech takes about 30 MB, and its own limit is 16."""
_VIEWS = """\
-- one row per word, with its place in the utterance, from 1
CREATE OR REPLACE VIEW words AS
SELECT id, position, word.*
FROM (SELECT id, generate_subscripts(words, 1) AS position, unnest(words) AS word FROM transcripts);

-- one row per segment, likewise
CREATE OR REPLACE VIEW segments AS
SELECT id, position, segment.*
FROM (SELECT id, generate_subscripts(segments, 1) AS position, unnest(segments) AS segment FROM transcripts);

-- one row per utterance: its transcript, its error, or both where an earlier transcript was kept
CREATE OR REPLACE VIEW utterances AS
SELECT
    id,
    coalesce(t.audio, e.audio) AS audio,
    t.* EXCLUDE (id, audio, metadata),
    e.error, e.message, e.http_status, e.code, e.retryable, e.kept, e.first_seen, e.last_seen,
    coalesce(e.metadata, t.metadata) AS metadata
FROM transcripts AS t FULL JOIN errors AS e USING (id);

-- days in UTC; credits_maybe_billed is the part of credits of which is not known whether it was billed
CREATE OR REPLACE VIEW spend_by_day AS
SELECT
    make_timestamp(epoch_us(started_at))::DATE AS day,
    count(*) AS requests,
    count(*) FILTER (outcome = 'ok') AS answered,
    round(sum(credits), 6) AS credits,
    round(coalesce(sum(credits) FILTER (billed = 'maybe'), 0), 6) AS credits_maybe_billed
FROM attempts GROUP BY day ORDER BY day;
"""
_TYPES = {
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "double": "DOUBLE",
    "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
}


def views(location: str, tables: Mapping[str, str | None]) -> str:
    """The script for the output at `location`, an absolute path, with these tables and their files; None for one
    without a file, whose view is empty."""
    return f"""\
-- Views of this output for DuckDB: `duckdb -init views.sql`, or `connection.execute(open("views.sql").read())`.

{"".join(_view(location, name, file) for name, file in tables.items())}{_VIEWS}"""


def _view(location: str, name: str, file: str | None) -> str:
    metadata = "" if name == "attempts" else " REPLACE (metadata::JSON AS metadata)"
    return f"CREATE OR REPLACE VIEW {name} AS\nSELECT *{metadata} FROM {_source(location, name, file)};\n\n"


def _source(location: str, name: str, file: str | None) -> str:
    """What a view selects from. DuckDB fails where no file matches, and finds out the types of JSON from the first
    rows, where lists may be empty."""
    if file is None:
        nulls = ", ".join(f"NULL::{kind} AS {column}" for column, kind in _columns(name).items())
        return f"(SELECT {nulls}) WHERE false"
    path = _quoted(f"{_escaped(location)}/{file}")
    if file.endswith(".parquet"):
        return f"read_parquet({path})"
    columns = ", ".join(f"{column}: {_quoted(kind)}" for column, kind in _columns(name).items())
    return (
        f"read_json(\n    {path}, format = 'newline_delimited', maximum_object_size = {MOST_OBJECT_BYTES},\n"
        f"    columns = {{{columns}}}\n)"
    )


def _columns(name: str) -> dict[str, str]:
    """The columns of a table and their types in DuckDB."""
    from pipeline.sink.schema import ATTEMPTS, ERRORS, TRANSCRIPTS  # with pyarrow, which takes long to import

    schema = {"transcripts": TRANSCRIPTS, "errors": ERRORS, "attempts": ATTEMPTS}[name]
    return {field.name: "JSON" if field.name == "metadata" else _type(field.type) for field in schema}


def _type(kind: pa.DataType) -> str:
    from pyarrow import types

    if types.is_list(kind):
        return f"{_type(kind.value_type)}[]"
    if types.is_struct(kind):
        return f"STRUCT({', '.join(f'{field.name} {_type(field.type)}' for field in kind)})"
    return _TYPES[str(kind)]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _escaped(path: str) -> str:
    """A path as a pattern that matches only itself."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in path)
