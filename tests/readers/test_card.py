"""README.md, views.sql and .huggingface.yaml: who writes them when, and what of a user's stays."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pipeline.sink.describe import CARD, STATE, VIEWS
from tests.batch import Corpus, batch
from tests.earlier import archive, corpus
from tests.readers.conftest import Load
from tests.readers.outputs import attempts, full, write_output
from tests.readers.test_duckdb import Session
from tests.servers import RunningServer


def run(calls: Corpus, out: Path, server: RunningServer, *args: str) -> None:
    done = batch("run", calls.folder, "--out", out, *args, server=server)
    assert done.exit == 0, done.stderr


def state_of(out: Path) -> dict[str, tuple[int, bytes]]:
    """Files that no run may touch without need, with their mtimes and contents."""
    names = [CARD, VIEWS, STATE, "errors.jsonl", "errors.parquet", "transcripts.jsonl"]
    paths = [*(out / name for name in names), *out.glob("*/part-*.parquet")]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths if path.exists()}


@pytest.fixture
def calls(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path / "audio", count=3)


@pytest.mark.slow
def test_a_run_describes_its_output_and_later_ones_keep_it(
    calls: Corpus, out: Path, server: RunningServer, load_dataset: Load
) -> None:
    run(calls, out, server)
    assert {row["id"]: row["text"] for row in load_dataset(str(out))} == calls.texts
    assert dict(Session(out / VIEWS).rows("SELECT id, text FROM utterances")) == calls.texts
    before = state_of(out)
    assert {str(out / name) for name in (CARD, VIEWS, STATE)} < set(before)
    run(calls, out, server)
    assert state_of(out) == before
    calls.add(7)
    run(calls, out, server)
    assert {row["id"]: row["text"] for row in load_dataset(str(out))} == calls.texts
    assert (out / CARD).read_bytes() == before[str(out / CARD)][1]


def test_json_lines_alone_load_as_well(calls: Corpus, out: Path, server: RunningServer, load_dataset: Load) -> None:
    formats = ("--set", 'sink.formats=["jsonl"]')
    run(calls, out, server, *formats)
    before = state_of(out)
    run(calls, out, server, *formats)
    assert state_of(out) == before
    assert {row["id"]: row["text"] for row in load_dataset(str(out))} == calls.texts
    assert dict(Session(out / VIEWS).rows("SELECT id, text FROM transcripts")) == calls.texts
    assert re.findall("config_name: (.*)", (out / CARD).read_text("utf-8").split("dataset_info")[0]) == [
        "errors",
        "transcripts",
    ]
    assert Session(out / VIEWS).count("attempts") == 3


def test_what_the_user_wrote_stays(calls: Corpus, out: Path, server: RunningServer) -> None:
    out.mkdir()
    own = {CARD: b"# My calls\r\n\xff", VIEWS: b"SELECT 1;", STATE: b""}
    for name, content in own.items():
        (out / name).write_bytes(content)
        os.utime(out / name, (1, 1))
    run(calls, out, server)
    calls.add(7)
    run(calls, out, server)
    for name, content in own.items():
        assert (out / name).read_bytes() == content
        assert (out / name).stat().st_mtime == 1


def test_changes_stay_where_the_first_line_says_so(calls: Corpus, out: Path, server: RunningServer) -> None:
    run(calls, out, server)
    lines = (out / VIEWS).read_text("utf-8").splitlines(keepends=True)
    own = "".join([*lines[1:], "CREATE VIEW mine AS SELECT 1 AS x;\n"])
    (out / VIEWS).write_text(own, "utf-8")
    (out / STATE).write_text("# changed behind the first line\n", "utf-8")
    run(calls, out, server)
    assert (out / VIEWS).read_text("utf-8") == own
    (out / VIEWS).write_text("".join([lines[0], "SELECT;"]), "utf-8")  # as an older version, or another place, had it
    run(calls, out, server)
    assert (out / VIEWS).read_text("utf-8") == "".join(lines)


def test_deleted_ones_are_written_anew(calls: Corpus, out: Path, server: RunningServer) -> None:
    run(calls, out, server)
    before = state_of(out)
    for name in (CARD, VIEWS, STATE):
        (out / name).unlink()
    run(calls, out, server)
    assert {name: content for name, (_, content) in state_of(out).items()} == {
        name: content for name, (_, content) in before.items()
    }


def test_a_run_in_which_all_failed_tells_of_its_errors(
    tmp_path: Path, out: Path, server: RunningServer, load_dataset: Load
) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/broken.wav").write_bytes(b"RIFF no more")
    assert batch("run", tmp_path / "audio", "--out", out, server=server).exit == 3
    assert [row["id"] for row in load_dataset(str(out), "errors")] == ["broken.wav"]
    assert Session(out / VIEWS).rows("SELECT id, text, error IS NULL FROM utterances") == [("broken.wav", None, False)]
    assert Session(out / VIEWS).count("spend_by_day") == 0


@pytest.mark.parametrize("kind", archive.KINDS)
def test_a_converted_output_loads(tmp_path: Path, server: RunningServer, load_dataset: Load, kind: str) -> None:
    manifest, out = archive.unpack(kind, tmp_path)
    done = batch("run", manifest, "--out", out, *corpus.SETTINGS, *archive.FORMATS[kind], "--id", "one", server=server)
    assert done.exit == 0, done.stderr
    loaded = {row["id"]: row["text"] for row in load_dataset(str(out))}
    assert {"one", "call", "late-0"} < set(loaded)
    assert dict(Session(out / VIEWS).rows("SELECT id, text FROM transcripts")) == loaded
    assert Session(out / VIEWS).count("attempts") > len(loaded)


def test_the_card_names_each_column(tmp_path: Path) -> None:
    out = write_output(tmp_path / "out", [full(1)], attempts=attempts("a"))
    text = (out / CARD).read_text("utf-8")
    columns = [name for view in ("transcripts", "errors", "attempts") for name in names_of(out, view)]
    assert [name for name in (*columns, *names_of(out, "words")) if f"`{name}`" not in text] == ["position"]


def names_of(out: Path, view: str) -> list[str]:
    return [name for name, *_ in Session(out / VIEWS).rows(f"DESCRIBE {view}")]
