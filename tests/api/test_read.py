"""`read`: every transcript once, in the order of the manifest, whatever lies in the folder, and during a run."""

from __future__ import annotations

import json
import random
import shutil
import threading
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

import gradium_batch as gb
from pipeline.run.reading import OutputReader
from tests.batch import jsonl_of, rows_of, write_wav
from tests.earlier.archive import KINDS, unpack
from tests.servers import KEY, RunningServer, start_server

ROWS = 23
FORMATS = {"both": ("parquet", "jsonl"), "parts": ("parquet",), "lines": ("jsonl",)}


@pytest.fixture
def settings(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("GRADIUM_API_KEY", KEY)
    return {"service": {"url": server.url}, "sink": {"rows_per_part": 5}, "pool": {"concurrency": 3}}


def manifest_of(folder: Path, numbers: range) -> list[str]:
    """Adds rows of many lengths, none in the order of ids, lengths or names; returns the ids of the whole manifest."""
    path = folder / "m.csv"
    lines = path.read_text().splitlines() if path.exists() else ["id,audio,speaker"]
    for number in numbers:
        name = f"{random.Random(number).randrange(10**6):06d}"
        write_wav(folder / "audio" / f"{name}.wav", seed=number, seconds=0.2 + random.Random(-number).random())
        lines.append(f"{name},audio/{name}.wav,\N{GRINNING FACE} {number}")
    path.write_text("\n".join(lines) + "\n")
    return [line.split(",")[0] for line in lines[1:]]


def ids_in_files(out: Path) -> list[str]:
    if parts := sorted(out.glob("transcripts/*.parquet")):
        return [id_ for part in parts for id_ in pq.read_table(part)["id"].to_pylist()]
    return [row["id"] for row in jsonl_of(out)]


@pytest.mark.parametrize("formats", FORMATS)
def test_rows_come_in_the_order_of_the_manifest(formats: str, tmp_path: Path, settings: dict[str, Any]) -> None:
    out = tmp_path / "out"
    settings["sink"]["formats"] = FORMATS[formats]
    for numbers in (range(ROWS), range(ROWS, ROWS + 4)):
        ids = manifest_of(tmp_path, numbers)
        gb.transcribe(tmp_path / "m.csv", out, settings=settings, ids=ids[-3:])  # which the files have first
        gb.transcribe(tmp_path / "m.csv", out, settings=settings)
        found = gb.read(out)
        assert ids_in_files(out) != ids, "the files are in that order anyhow"
        assert [row.id for row in found] == ids
        assert [row.id for row in found] == ids, "it is read once only"
        assert found.arrow()["id"].to_pylist() == ids
        assert len(found) == len(ids)
    rows = [*found]
    assert [row.metadata["speaker"] for row in rows] == [f"\N{GRINNING FACE} {number}" for number in range(ROWS + 4)]
    with pytest.raises(AttributeError):
        rows[0].text = ""  # type: ignore[misc]
    if formats != "parts":
        written = {row["id"]: row for row in jsonl_of(out)}
        assert [json.loads(msgspec.json.encode(row)) for row in rows] == [written[row.id] for row in rows]
    if formats != "lines":
        written = {row["id"]: row for row in pq.read_table(out / "transcripts").to_pylist()}
        assert found.arrow().to_pylist() == [written[row.id] for row in rows]


def test_tables_for_pandas_and_polars_and_of_words(tmp_path: Path, settings: dict[str, Any]) -> None:
    ids = manifest_of(tmp_path, range(7))
    out = gb.transcribe(tmp_path / "m.csv", tmp_path / "out", settings=settings).out
    found = gb.read(out)
    assert found.to_pandas()["id"].tolist() == ids
    assert found.to_polars()["id"].to_list() == ids
    words = found.words().to_pylist()
    expected = [
        {"id": row.id, "index": index} | msgspec.to_builtins(word)
        for row in found
        for index, word in enumerate(row.words)
    ]
    assert words == expected
    assert len(words) > len(ids)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_missing_library_is_named(
    library: str, tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest_of(tmp_path, range(1))
    out = gb.transcribe(tmp_path / "m.csv", tmp_path / "out", settings=settings).out
    monkeypatch.setattr("pipeline.api.transcripts.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=f"^to_{library} needs {library}, which is not installed: pip install"):
        getattr(gb.read(out), f"to_{library}")()


@pytest.mark.parametrize("formats", ["both", "lines"])
def test_without_a_checkpoint_rows_come_as_the_files_have_them(
    formats: str, tmp_path: Path, settings: dict[str, Any]
) -> None:
    manifest_of(tmp_path, range(ROWS))
    settings["sink"]["formats"] = FORMATS[formats]
    out = gb.transcribe(tmp_path / "m.csv", tmp_path / "out", settings=settings).out
    for path in out.glob("checkpoint*"):
        path.unlink()
    assert [row.id for row in gb.read(out)] == gb.read(out).arrow()["id"].to_pylist() == ids_in_files(out)


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_of_earlier_versions_are_read_as_they_are(kind: str, tmp_path: Path) -> None:
    _, out = unpack(kind, tmp_path)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    found = gb.read(out)
    rows = {row.id: row for row in found}
    assert len(rows) == len(found) == found.arrow().num_rows
    assert rows["one"].metadata["speaker"] == "Ada"
    assert rows["middle"].segments
    order = ["one", "two", "middle", "end", "call", "right", "copy", "long"]
    assert [id_ for id_ in rows if id_ in order] == order
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_it_is_read_while_a_run_is_at_work_and_where_there_is_nothing_yet(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    ids = manifest_of(tmp_path, range(ROWS))
    seen: list[list[str]] = []
    with start_server(faults="[[fault]]\nkind = 'hang'\nfor_s = 0.2\n") as slow:
        settings["service"]["url"] = slow.url
        out = tmp_path / "out"
        work = threading.Thread(target=gb.transcribe, args=(tmp_path / "m.csv", out), kwargs={"settings": settings})
        work.start()
        while work.is_alive():
            try:
                seen.append([row.id for row in gb.read(out)])
            except gb.UsageError:
                assert not seen, "an output became none"
        work.join()
    assert [row.id for row in gb.read(out)] == ids
    for found in seen:
        assert found == [id_ for id_ in ids if id_ in set(found)]
    assert any(0 < len(found) < ROWS for found in seen)


def test_an_output_without_any_transcript_is_empty(tmp_path: Path, settings: dict[str, Any]) -> None:
    (tmp_path / "m.csv").write_text("audio\nmissing.wav\n")
    out = gb.transcribe(tmp_path / "m.csv", tmp_path / "out", settings=settings).out
    found = gb.read(out)
    assert found
    assert ([*found], len(found), found.arrow().num_rows, found.words().num_rows) == ([], 0, 0, 0)
    assert found.words().column_names[:3] == ["id", "index", "text"]


def test_what_is_no_output_is_told(tmp_path: Path, settings: dict[str, Any]) -> None:
    manifest_of(tmp_path, range(2))
    out = gb.transcribe(tmp_path / "m.csv", tmp_path / "out", settings=settings).out
    (tmp_path / "empty").mkdir()
    for place, said in (
        (tmp_path / "nowhere", "there is no such folder"),
        (tmp_path / "m.csv", "it is a file"),
        (tmp_path / "empty", "there is no transcript and no checkpoint in it"),
        (out / "transcripts", "name the folder that it is in"),
    ):
        with pytest.raises(gb.UsageError, match=said):
            gb.read(place)
    with pytest.raises(gb.UsageError, match="out: 3 is no path"):
        gb.read(3)  # type: ignore[arg-type]
    part = out / "transcripts" / "part-000001.parquet"
    part.write_bytes(part.read_bytes()[:-30])
    for look in (list, len, gb.Transcripts.arrow, gb.Transcripts.words):
        with pytest.raises(gb.DamagedFile, match=r"part-000001\.parquet is damaged"):
            look(gb.read(out))


def test_a_row_that_is_replaced_meanwhile_counts_once(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Between two rewritten parts a row may stand in both."""
    ids = manifest_of(tmp_path, range(8))
    out = gb.transcribe(tmp_path / "m.csv", tmp_path / "out", settings=settings).out
    shutil.copy(out / "transcripts/part-000001.parquet", out / "transcripts/part-000009.parquet")
    assert [row.id for row in gb.read(out)] == gb.read(out).arrow()["id"].to_pylist() == ids


def test_rows_in_order_are_not_sorted(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One part is in that order by itself: nothing is copied to a temporary database."""
    ids = manifest_of(tmp_path, range(8))
    settings["sink"]["rows_per_part"] = 100
    out = gb.transcribe(tmp_path / "m.csv", tmp_path / "out", settings=settings).out
    assert [*rows_of(out)] == ids
    monkeypatch.setattr("pipeline.run.reading.sqlite3", None)
    assert [row.id for row in OutputReader(out).rows()] == ids
