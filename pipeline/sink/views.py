"""views.sql: DuckDB views of an output. Pure: no I/O.

It names the files by absolute path, because a script of DuckDB does not know where it lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Form = Literal["parquet", "jsonl"]
"""How a table is stored."""
MARK = "-- Written by gradium-batch, anew whenever it differs; delete this line to keep changes of your own."
MOST_OBJECT_BYTES = 256 << 20
"""The longest line DuckDB reads: a day of speech takes about 30 MB, and its own limit is 16."""
_FILES = {
    "transcripts": {"parquet": "transcripts/part-*.parquet", "jsonl": "transcripts.jsonl"},
    "errors": {"parquet": "errors.parquet", "jsonl": "errors.jsonl"},
    "attempts": {"parquet": "attempts/part-*.parquet"},
}
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
    sum(credits) AS credits,
    coalesce(sum(credits) FILTER (billed = 'maybe'), 0) AS credits_maybe_billed
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


def views(location: str, stored: dict[str, Form | None]) -> str:
    """The script for the output at `location`, an absolute path, whose tables transcripts, errors and attempts are
    `stored` so; None for one without a file, whose view is empty."""
    tables = "".join(
        f"CREATE OR REPLACE VIEW {name} AS\nSELECT *{_as_json(name)} FROM {_source(location, name, form)};\n\n"
        for name, form in stored.items()
    )
    return f"""\
{MARK}
-- Views of this output for DuckDB: `duckdb -init views.sql`, or `connection.execute(open("views.sql").read())`.

{tables}{_VIEWS}"""


def _as_json(name: str) -> str:
    return "" if name == "attempts" else " REPLACE (metadata::JSON AS metadata)"


def _source(location: str, name: str, form: Form | None) -> str:
    """What a view selects from. DuckDB fails for a pattern that matches no file, and finds out the types of JSON from
    the first rows, where lists may be empty."""
    if form is None:
        return (
            f"(SELECT {', '.join(f'NULL::{kind} AS {column}' for column, kind in _columns(name).items())}) WHERE false"
        )
    file = _quoted(f"{_escaped(location)}/{_FILES[name][form]}")
    if form == "parquet":
        return f"read_parquet({file})"
    columns = ", ".join(f"{column}: {_quoted(kind)}" for column, kind in _columns(name).items())
    return (
        f"read_json(\n    {file}, format = 'newline_delimited', maximum_object_size = {MOST_OBJECT_BYTES},\n"
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
