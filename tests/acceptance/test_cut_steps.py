"""The command stopped or killed at steps of planning, publishing, migrating and rebuilding, and the command after it.

At the step the process marks that it has come there, and does no more; the test ends it by a real signal.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.schema import VERSION
from tests.batch import Corpus, Finished, batch, environment, finish, jsonl_of, jsonl_rows_of, rows_of, table_of
from tests.checkpoint.test_migration import make, told
from tests.earlier import archive
from tests.earlier import rows as earlier
from tests.earlier.corpus import SETTINGS
from tests.forked import Started
from tests.servers import RunningServer

SMALL_PARTS = ("--set", "sink.rows_per_part=4", "--progress", "off")
STOPS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}
PROMISED_S = 3.0
PUBLISHING_S = 20.0
"""What a run that has sent something may take to write down what came."""
AT_STEP = """
import pathlib, sys, time
import pipeline.cli, pipeline.checkpoint.connection, pipeline.checkpoint.merge
import pipeline.run.recovery, pipeline.run.rebuild, pipeline.sink.salvage
from pipeline.checkpoint import Checkpoint
from pipeline.sink.lines import Lines
from pipeline.sink.parquet import Table
from pipeline.sink.sink import Sink

mark, when, nth, owner, name = {mark!r}, {when!r}, {nth}, {owner}, {name!r}
real, reached = getattr(owner, name), 0

def stay(*args):
    pathlib.Path(mark).touch()
    time.sleep(100)

def aimed(*args, **kwargs):
    global reached
    reached += 1
    if reached == nth and when == "before":
        stay()
    result = real(*args, **kwargs)
    if reached == nth:
        stay()
    return result

setattr(owner, name, aimed)
{more}
pipeline.cli.main()
"""
IN_MIGRATION = """
def with_stay(connection, version):
    connection.create_function("stay", 0, stay)
    real(connection, version)

pipeline.checkpoint.connection.migrate = with_stay
scripts = dict(pipeline.checkpoint.migrations.MIGRATIONS)
scripts[{at}] += "; SELECT stay();"
pipeline.checkpoint.migrations.MIGRATIONS = scripts
"""
Step = tuple[str, str, str, int]
"""(whose, the function, before or after it, the time it is reached)."""
EndAt = Callable[..., str]


@pytest.fixture
def end_at(tmp_path: Path) -> Iterator[EndAt]:
    """Starts the command, and ends it by a signal at a step; returns what it said."""
    started: list[Started] = []

    def end_at(
        step: Step,
        number: signal.Signals,
        *args: str | Path,
        server: RunningServer | None = None,
        within_s: float = PROMISED_S,
        more: str = "",
    ) -> str:
        mark = tmp_path / f"reached-{len(started)}"
        owner, name, when, nth = step
        text = AT_STEP.format(mark=str(mark), when=when, nth=nth, owner=owner, name=name, more=more)
        process = Started([text, *map(str, args)], environment(server), kind="python")
        started.append(process)
        deadline = time.monotonic() + 30
        while not mark.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "the step was not reached"
            time.sleep(0.01)
        begun = time.monotonic()
        process.send_signal(number)
        result = finish(process)
        assert time.monotonic() - begun < within_s
        assert result.exit == STOPS[number], result.stderr
        return result.stderr

    yield end_at
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def slow(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


PLANNING = [
    (("Checkpoint", "merge", "before", 1), signal.SIGTERM),
    slow(("Checkpoint", "scan", "after", 1), signal.SIGINT),
    slow(("pipeline.checkpoint.merge", "_rename_settings", "after", 1), signal.SIGTERM),
    slow(("pipeline.checkpoint.merge", "_rename_settings", "after", 1), signal.SIGKILL),
    slow(("Checkpoint", "merge", "after", 1), signal.SIGKILL),
]


@pytest.mark.slow
@pytest.mark.parametrize(("step", "number"), PLANNING)
def test_while_it_plans(
    tmp_path: Path, out: Path, server: RunningServer, end_at: EndAt, step: Step, number: signal.Signals
) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    args = ("run", corpus.folder, "--out", out, *SMALL_PARTS)
    assert batch(*args, server=server).exit == 0
    corpus.add(3)
    before = server.stats()["requests"]
    end_at(step, number, *args, server=server)
    assert batch(*args, server=server).exit == 0
    assert server.stats()["requests"] - before == 1
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


PUBLISHING = [
    (("Lines", "append", "after", 3), signal.SIGKILL),
    slow(("Table", "write", "before", 1), signal.SIGKILL),
    slow(("Table", "write", "after", 2), signal.SIGKILL),
    slow(("Lines", "append", "after", 1), signal.SIGKILL),
    slow(("Checkpoint", "results_published", "before", 3), signal.SIGKILL),
    slow(("Checkpoint", "results_published", "after", 1), signal.SIGKILL),
    slow(("Checkpoint", "attempts_published", "before", 1), signal.SIGKILL),
    slow(("Sink", "write_errors", "before", 1), signal.SIGKILL),
    slow(("Table", "write", "before", 1), signal.SIGTERM),
    slow(("Checkpoint", "results_published", "before", 3), signal.SIGTERM),
    slow(("Sink", "write_errors", "before", 1), signal.SIGINT),
]


@pytest.mark.parametrize(("step", "number"), PUBLISHING)
def test_while_it_publishes_what_came(
    tmp_path: Path, out: Path, server: RunningServer, end_at: EndAt, step: Step, number: signal.Signals
) -> None:
    corpus = Corpus(tmp_path / "audio", count=10)
    args = ("run", corpus.folder, "--out", out, *SMALL_PARTS)
    before = server.stats()["requests"]
    told = end_at(step, number, *args, server=server, within_s=PUBLISHING_S + PROMISED_S)
    if number != signal.SIGKILL:
        last = Finished(STOPS[number], "", told)
        assert last.figures["done"] > 0, last.last_line
        assert last.figures["credits"] == 1.5 * last.figures["done"] == 3 * last.figures["audio_s"]
    assert batch(*args, server=server).exit == 0
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
    assert table_of(out, "attempts").num_rows == server.stats()["requests"] - before == 10


BOTH, LINES = '["parquet","jsonl"]', '["jsonl"]'
REPLACING = [
    (BOTH, ("Lines", "write", "before", 1), signal.SIGTERM),
    slow(BOTH, ("Table", "replace", "after", 1), signal.SIGKILL),
    slow(BOTH, ("Table", "replace", "after", 2), signal.SIGINT),
    slow(BOTH, ("Checkpoint", "rewritten", "after", 1), signal.SIGKILL),
    slow(BOTH, ("Lines", "write", "after", 1), signal.SIGKILL),
    slow(LINES, ("Lines", "replace", "before", 1), signal.SIGTERM),
    slow(LINES, ("Lines", "replace", "after", 1), signal.SIGKILL),
    slow(LINES, ("Checkpoint", "rewritten", "after", 1), signal.SIGKILL),
]


@pytest.mark.slow
@pytest.mark.parametrize(("formats", "step", "number"), REPLACING)
def test_while_it_replaces_rows(
    tmp_path: Path, out: Path, server: RunningServer, end_at: EndAt, formats: str, step: Step, number: signal.Signals
) -> None:
    corpus = Corpus(tmp_path / "audio", count=10)
    manifest = tmp_path / "m.csv"
    args = ("run", manifest, "--out", out, *SMALL_PARTS, "--set", f"sink.formats={formats}")

    def write(about: str) -> None:
        rows = "".join(f"{name},{corpus.folder}/{name},{about}\n" for name in corpus.texts)
        manifest.write_text(f"id,audio,about\n{rows}")

    write("old")
    assert batch(*args, server=server).exit == 0
    before = server.stats()["requests"]
    write("new")
    end_at(step, number, *args, server=server)
    assert batch(*args, server=server).exit == 0
    assert server.stats()["requests"] == before
    assert jsonl_rows_of(out) == corpus.texts
    assert {row["metadata"]["about"] for row in jsonl_of(out)} == {"new"}
    if formats == BOTH:
        assert rows_of(out) == corpus.texts


CONVERTING = [
    ("both", ("Table", "replace", "after", 2), signal.SIGKILL),
    slow("both", ("pipeline.checkpoint.connection", "migrate", "after", 1), signal.SIGKILL),
    slow("both", ("Table", "replace", "before", 1), signal.SIGTERM),
    slow("both", ("Table", "replace", "after", 1), signal.SIGINT),
    slow("both", ("Checkpoint", "recount", "after", 2), signal.SIGKILL),
    slow("both", ("Sink", "rewrite_lines", "before", 1), signal.SIGKILL),
    slow("both", ("Lines", "write", "after", 1), signal.SIGKILL),
    slow("both", ("Checkpoint", "convert_results", "before", 1), signal.SIGKILL),
    slow("both", ("Checkpoint", "convert_results", "after", 1), signal.SIGKILL),
    slow("both", ("Checkpoint", "results_published", "before", 1), signal.SIGKILL),
    slow("parts", ("Table", "replace", "after", 2), signal.SIGTERM),
    slow("parts", ("Table", "replace", "after", 3), signal.SIGKILL),
    ("lines", ("Lines", "write", "after", 1), signal.SIGKILL),
    slow("lines", ("Checkpoint", "recount", "after", 1), signal.SIGKILL),
    slow("lines", ("Lines", "write", "before", 1), signal.SIGTERM),
    slow("lines", ("Lines", "append", "after", 1), signal.SIGKILL),
    slow("lines", ("Checkpoint", "convert_results", "after", 1), signal.SIGINT),
]


@pytest.mark.parametrize(("kind", "step", "number"), CONVERTING)
def test_while_it_converts_an_earlier_output(
    tmp_path: Path, server: RunningServer, end_at: EndAt, kind: str, step: Step, number: signal.Signals
) -> None:
    manifest, out = archive.unpack(kind, tmp_path)
    before, requests = earlier.rows(out), server.stats()["requests"]
    args = ("run", manifest, "--out", out, *SETTINGS, *archive.FORMATS[kind], "--id", "one")
    end_at(step, number, *args, server=server)
    assert earlier.rows(out, same=False).keys() >= before.keys(), "nothing is lost on the way"
    assert batch(*args, server=server).exit == 0
    assert server.stats()["requests"] == requests
    earlier.assert_converted(before, earlier.rows(out))
    assert earlier.rows(out).keys() - before.keys() == {"late-0", "late-1", "late-2"}


MIGRATING = [
    (1, 1, signal.SIGTERM),
    slow(1, 3, signal.SIGKILL),
    slow(2, 2, signal.SIGKILL),
    slow(3, 4, signal.SIGINT),
    slow(5, VERSION - 1, signal.SIGKILL),
]


@pytest.mark.slow
@pytest.mark.parametrize(("version", "at", "number"), MIGRATING)
def test_while_it_migrates_an_older_checkpoint(
    tmp_path: Path, out: Path, server: RunningServer, end_at: EndAt, version: int, at: int, number: signal.Signals
) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    out.mkdir()
    make(path := out / "checkpoint.sqlite", version)
    step = ("pipeline.checkpoint.connection", "migrate", "after", 9)
    end_at(step, number, "run", corpus.folder, "--out", out, server=server, more=IN_MIGRATION.format(at=at))
    with Checkpoint(path) as checkpoint:
        totals = checkpoint.totals()
        assert (totals.done, totals.failed, totals.left, totals.suspect, totals.vanished) == (2, 3, 2, 1, 2)
        assert totals.credits == 12.5
        assert told(checkpoint)["ServerFault"] == ("passing", 1)


REBUILDING = [
    (("pipeline.run.rebuild", "put_in_place", "before", 1), signal.SIGTERM),
    slow(("pipeline.run.rebuild", "set_aside", "after", 1), signal.SIGINT),
    slow(("Checkpoint", "adopt_transcribed", "after", 1), signal.SIGKILL),
    slow(("Checkpoint", "adopt_replaced", "before", 1), signal.SIGTERM),
    slow(("pipeline.run.rebuild", "put_in_place", "after", 1), signal.SIGKILL),
    slow(("Lines", "write", "after", 1), signal.SIGKILL),
]


@pytest.mark.parametrize(("step", "number"), REBUILDING)
def test_while_it_rebuilds(
    tmp_path: Path, out: Path, server: RunningServer, end_at: EndAt, step: Step, number: signal.Signals
) -> None:
    corpus = Corpus(tmp_path / "audio", count=10)
    args = ("run", corpus.folder, "--out", out, *SMALL_PARTS)
    assert batch(*args, server=server).exit == 0
    before = server.stats()["requests"]
    said = end_at(step, number, "rebuild", out, "--force")
    if number != signal.SIGKILL:
        assert "run the same command again" in said
    if not (out / "checkpoint.sqlite").exists():
        refused = batch(*args, server=server)
        assert refused.exit == 1
        assert "rebuild" in refused.stderr
    assert batch("rebuild", out, "--force").exit == 0
    assert batch(*args, server=server).exit == 0
    assert server.stats()["requests"] == before
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
    assert table_of(out, "attempts").num_rows == 10


TAKING_OUT = [
    ("prune", ("Checkpoint", "drop_answers", "before", 1), signal.SIGTERM),
    ("forget", ("Table", "drop", "after", 1), signal.SIGINT),
]


@pytest.mark.slow
@pytest.mark.parametrize(("command", "step", "number"), TAKING_OUT)
def test_while_it_takes_rows_out(
    tmp_path: Path, out: Path, server: RunningServer, end_at: EndAt, command: str, step: Step, number: signal.Signals
) -> None:
    corpus = Corpus(tmp_path / "audio", count=10)
    args = ("run", corpus.folder, "--out", out, *SMALL_PARTS)
    assert batch(*args, server=server).exit == 0
    if command == "prune":
        (corpus.folder / "00003.wav").unlink()
        assert batch(*args, server=server).exit == 0
    named = ("--id", "00003.wav") if command == "forget" else ()
    assert "run the same command again" in end_at(step, number, command, out, *named, "--yes")
    assert batch(*args, server=server).exit == 0
    del corpus.texts["00003.wav"]
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
