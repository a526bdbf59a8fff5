"""views.sql in DuckDB: for every form of an output, from any working folder, wherever the output lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from tests.readers.outputs import FORMS, GRIN, attempts, failures, full, night, plain, write_output

ROWS = list(night(60, 20))
NAMES = (
    "transcripts", "errors", "attempts", "words", "segments", "utterances", "spend_by_day",
)  # fmt: skip


class Session:
    """A connection in which a script was run."""

    def __init__(self, script: Path) -> None:
        self._connection = duckdb.connect()
        self._connection.execute(script.read_text("utf-8"))

    def rows(self, query: str) -> list[Any]:
        return self._connection.execute(query).fetchall()

    def count(self, name: str) -> int:
        return len(self.rows(f"FROM {name}"))


@pytest.fixture(params=FORMS, ids="+".join)
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    kept, failed = ROWS[30].id, f"failed {GRIN}"
    return write_output(
        tmp_path / "out", ROWS, failures(failed, kept), attempts("a", "b", "c"), formats=request.param, rows_per_part=25
    )


@pytest.fixture
def session(out: Path) -> Session:
    return Session(out / "views.sql")


def test_each_row_is_there(session: Session) -> None:
    found = session.rows("SELECT id, text, issues, wer, finished_at, segments FROM transcripts ORDER BY id")
    assert len(found) == len(ROWS)
    for (id_, text, issues, wer, finished_at, segments), row in zip(found, ROWS, strict=True):
        assert (id_, text, tuple(issues), wer) == (row.id, row.text, row.issues, row.wer)
        assert finished_at == row.finished_at
        assert [one["text"] for one in segments] == [one.text for one in row.segments]


def test_words_and_segments_have_a_row_each(session: Session) -> None:
    expected = [(row.id, n, w.text, w.start_s, w.stop_s) for row in ROWS for n, w in enumerate(row.words, 1)]
    assert session.rows("SELECT id, position, text, start_s, stop_s FROM words ORDER BY id, position") == expected
    turns = [(row.id, n, s.text, s.channel) for row in ROWS for n, s in enumerate(row.segments, 1)]
    assert session.rows("SELECT id, position, text, channel FROM segments ORDER BY id, position") == turns


def test_each_id_is_an_utterance_with_its_error(session: Session) -> None:
    ids = {row.id for row in ROWS} | {f"failed {GRIN}"}
    assert {id_ for (id_,) in session.rows("SELECT id FROM utterances")} == ids
    assert session.count("utterances") == len(ids)
    failing = session.rows("SELECT text IS NULL, audio, kept FROM utterances WHERE error IS NOT NULL ORDER BY kept")
    assert failing == [(True, f"/audio/failed {GRIN}", False), (False, ROWS[30].audio, True)]


def test_metadata_is_json(session: Session) -> None:
    [(speaker, extra)] = session.rows(
        f"FROM transcripts SELECT metadata->>'speaker', metadata->>'$.\"extra 1\"' WHERE id = '{ROWS[40].id}'"
    )
    assert {"speaker": speaker, "extra 1": extra} == ROWS[40].metadata
    assert session.rows("SELECT metadata->>'speaker' FROM utterances WHERE text IS NULL") == [("s1",)]


def test_spend_is_by_day_in_utc(session: Session) -> None:
    session.rows("SET TimeZone = 'Pacific/Auckland'")
    found = session.rows("SELECT day::VARCHAR, requests, answered, credits, credits_maybe_billed FROM spend_by_day")
    assert found == [("2026-11-22", 1, 1, 6.0, 0.0), ("2026-11-23", 1, 1, 6.0, 0.0), ("2026-11-24", 1, 0, 6.0, 6.0)]


@pytest.mark.parametrize("formats", FORMS, ids="+".join)
@pytest.mark.parametrize("holds", ["nothing", "transcripts", "errors", "attempts"])
def test_a_table_without_a_file_is_an_empty_view(tmp_path: Path, formats: tuple[str, ...], holds: str) -> None:
    """The columns are those of the tables that are there."""
    full_out = write_output(tmp_path / "full", ROWS, failures("a"), attempts("a"), formats=formats)
    out = write_output(
        tmp_path / "out",
        ROWS if holds == "transcripts" else (),
        failures("a") if holds == "errors" else (),
        attempts("a") if holds == "attempts" else (),
        formats=formats,
    )
    session, other = Session(out / "views.sql"), Session(full_out / "views.sql")
    for name in NAMES:
        assert session.rows(f"DESCRIBE {name}") == other.rows(f"DESCRIBE {name}")
        session.count(name)
    has_rows = [name for name in ("transcripts", "errors", "attempts") if session.count(name)]
    assert has_rows == ([] if holds == "nothing" else [holds])


@pytest.mark.parametrize(
    "name", ["two words", "it's", "[a]", "a*", "?", '"', "a]b", "{a,b}", "$x", "%", "-- x", GRIN, "\n"]
)
@pytest.mark.parametrize("formats", [("parquet",), ("jsonl",)], ids="+".join)
def test_an_output_may_lie_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, formats: tuple[str, ...]
) -> None:
    for other in ("a", "ab", "b"):  # which a pattern in the name would match
        write_output(tmp_path / other, [plain("another")], formats=formats)
    out = write_output(tmp_path / name, [full(1)], failures("f"), attempts("a"), formats=formats)
    monkeypatch.chdir("/")
    session = Session(out / "views.sql")
    assert session.rows("SELECT id FROM transcripts") == [(full(1).id,)]
    assert session.rows("SELECT id FROM errors") == [("f",)]


def test_a_moved_output_gets_new_views(tmp_path: Path) -> None:
    write_output(tmp_path / "before", [plain("a")])
    out = (tmp_path / "before").rename(tmp_path / "after")
    write_output(tmp_path / "before", [plain("b"), plain("c")])
    write_output(out, [plain("a")])
    assert Session(out / "views.sql").rows("SELECT id FROM transcripts") == [("a",)]


@pytest.mark.slow
def test_a_recording_of_a_day_is_a_long_line(tmp_path: Path) -> None:
    words = full(1).words[:1] * 300_000
    row = msgspec.structs.replace(full(1), words=words)
    out = write_output(tmp_path / "out", [row], formats=("jsonl",))
    assert (out / "transcripts.jsonl").stat().st_size > 16 << 20
    assert Session(out / "views.sql").count("words") == len(words)
