"""Publishing: parts and lines appear whole, rows are replaced, and a crash at any step is made good by the next run."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.checkpoint import Checkpoint, Failed, Finished, Sent, Store
from pipeline.config import Settings
from pipeline.errors import OutputError
from pipeline.gradium.request import request_settings
from pipeline.run.delay import DelayCorrection
from pipeline.run.publish import Publisher
from pipeline.run.settings_hash import SettingsHash
from pipeline.sink import FolderStore, Sink
from tests.records import attempt, failure, scanned, transcript

FORMATS = ("parquet", "jsonl")


class Crash(Exception):
    """The machine stops here."""


class Output:
    """An output folder with its checkpoint, opened anew for each step like a run does."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.out.mkdir()

    def step(self, action: Callable[[Checkpoint, Publisher], Awaitable[None]], rows_per_part: int = 3) -> None:
        async def whole() -> None:
            with Checkpoint(self.out / "checkpoint.sqlite") as checkpoint:
                journal = Store(checkpoint)
                try:
                    sink = Sink(FolderStore(self.out), FORMATS)
                    await action(checkpoint, Publisher(journal, sink, rows_per_part, DelayCorrection("auto", Path())))
                finally:
                    journal.release()

        asyncio.run(whole())

    def finish(self, texts: dict[str, str | None], publish: bool = True) -> None:
        """Transcribes (or fails, for None) these ids, and publishes as a run does."""

        async def action(checkpoint: Checkpoint, publisher: Publisher) -> None:
            checkpoint.scan([scanned(id_, config=str(texts)) for id_ in texts], "m.csv")
            checkpoint.merge(("all",))
            events: list[Any] = []
            for selected in checkpoint.next_rows(None, 1000):
                id_ = selected.utterance.id
                text = texts[id_]
                events.append(Sent(attempt=attempt(id_)))
                if text is None:
                    events.append(Failed(n=selected.n, failure=failure(id_)))
                else:
                    events.append(Finished(n=selected.n, transcript=transcript(id_, text)))
            checkpoint.apply(events)
            if publish:
                await publisher.finish()

        self.step(action)

    def recover(self) -> None:
        async def action(_: Checkpoint, publisher: Publisher) -> None:
            await publisher.tidy()
            await publisher.finish()

        self.step(action)

    def read(self) -> dict[str, str]:
        rows = pq.read_table(self.out / "transcripts").select(["id", "text"]).to_pylist()
        lines = [json.loads(line) for line in (self.out / "transcripts.jsonl").read_text().splitlines()]
        texts = {row["id"]: row["text"] for row in rows}
        assert len(texts) == len(rows), "an id stands twice in the parts"
        assert {line["id"]: line["text"] for line in lines} == texts
        assert len(lines) == len(texts), "an id stands twice in the JSONL"
        return texts


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(tmp_path / "out")


FIRST: dict[str, str | None] = {f"id{n}": f"text {n}" for n in range(7)}
SECOND: dict[str, str | None] = {"id1": "other one", "id5": "other five", "new": "brand new"}


def test_a_redone_row_replaces_the_old_one_where_it_stands(output: Output) -> None:
    output.finish(FIRST)
    output.finish(SECOND)
    assert output.read() == FIRST | SECOND
    assert len(list((output.out / "transcripts").iterdir())) == 4


def test_rows_of_a_part_are_in_the_order_of_the_manifest_also_when_some_were_replaced(output: Output) -> None:
    output.finish({id_: FIRST[id_] for id_ in reversed(FIRST)})
    output.finish(SECOND)
    parts = sorted((output.out / "transcripts").iterdir())
    assert [pq.read_table(part)["id"].to_pylist() for part in parts] == [
        ["id6", "id5", "id4"],
        ["id3", "id2", "id1"],
        ["id0"],
        ["new"],
    ]
    lines = (output.out / "transcripts.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [*reversed(FIRST), "new"]


def test_a_row_stays_until_another_one_takes_its_place(output: Output) -> None:
    output.finish(FIRST)
    output.finish({"id2": None})
    assert output.read() == FIRST
    output.finish({"id2": "again"})
    assert output.read() == FIRST | {"id2": "again"}


# each step between a result in the checkpoint and the note that it is published
STEPS = (
    "pipeline.sink.sink.Sink.publish",
    "pipeline.sink.parquet.Table.write",
    "pipeline.sink.lines.Lines.append",
    "pipeline.sink.parquet.Table.replace",
    "pipeline.sink.lines.Lines.write",
    "pipeline.checkpoint.checkpoint.Checkpoint.results_published",
    "pipeline.checkpoint.checkpoint.Checkpoint.rewritten",
    "pipeline.sink.parts.AttemptParts.publish",
    "pipeline.checkpoint.checkpoint.Checkpoint.attempts_published",
)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("texts", [{"x": "ex", "y": "why"}, SECOND], ids=["new", "replacing"])
def test_a_crash_at_any_step_is_mended(
    output: Output, monkeypatch: pytest.MonkeyPatch, step: str, before: bool, texts: dict[str, str | None]
) -> None:
    output.finish(FIRST)
    with monkeypatch.context() as patch:
        _crash_at(patch, step, before=before)
        try:
            output.finish(texts)
        except Crash:
            pass
        else:
            assert step.endswith(("replace", "append", "Lines.write", "rewritten")), "the step was never reached"
    output.recover()
    assert output.read() == FIRST | texts
    attempts = pq.read_table(output.out / "attempts")
    assert attempts.num_rows == len(FIRST) + len(texts)


def _crash_at(patch: pytest.MonkeyPatch, step: str, *, before: bool) -> None:
    import importlib

    module_name, _, name = step.rpartition(".")
    try:
        owner: Any = importlib.import_module(module_name)
    except ModuleNotFoundError:
        module_name, _, class_name = module_name.rpartition(".")
        owner = getattr(importlib.import_module(module_name), class_name)
    real = getattr(owner, name)

    def crash(*args: Any, **kwargs: Any) -> None:
        if not before:
            real(*args, **kwargs)
        raise Crash

    patch.setattr(owner, name, crash)


def test_a_torn_line_is_cut_at_the_last_committed_byte(output: Output) -> None:
    output.finish(FIRST)
    with (output.out / "transcripts.jsonl").open("ab") as file:
        file.write(b'{"id": "id9", "text": "half a li')
    output.finish({"z": "last"})
    assert output.read() == FIRST | {"z": "last"}


def test_what_a_crash_leaves_is_removed(output: Output) -> None:
    output.finish(FIRST)
    (output.out / "transcripts" / "part-000004.parquet").write_bytes(b"PAR1, not noted")
    (output.out / "transcripts" / ".part-000004.parquet.tmp").write_bytes(b"PA")
    output.recover()
    assert output.read() == FIRST


def test_a_damaged_part_is_told_and_nothing_is_lost(output: Output) -> None:
    output.finish(FIRST)
    part = output.out / "transcripts" / "part-000001.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OutputError, match=r"part-000001.parquet is damaged"):
        output.finish({"id0": "redone"})
    part.write_bytes(whole)
    output.recover()
    assert output.read() == FIRST | {"id0": "redone"}


def test_a_part_that_no_crash_leaves_is_somebodys_and_stops_the_run(output: Output) -> None:
    output.finish(FIRST)
    stray = output.out / "transcripts" / "part-000099.parquet"
    stray.write_bytes(b"PAR1")
    with pytest.raises(OutputError, match=r"a part is not in the checkpoint .*part-000099"):
        output.recover()
    assert stray.exists()


def test_a_part_that_is_gone_is_told_before_anything_is_sent(output: Output) -> None:
    output.finish(FIRST)
    (output.out / "transcripts" / "part-000002.parquet").unlink()
    with pytest.raises(OutputError, match=r"a published part is missing .*part-000002"):
        output.recover()


@pytest.mark.parametrize("harm", ["gone", "cut short"])
def test_a_jsonl_that_is_gone_or_cut_short_is_written_anew_from_the_parts(output: Output, harm: str) -> None:
    output.finish(FIRST)
    path = output.out / "transcripts.jsonl"
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:200])
    output.recover()
    assert output.read() == FIRST
    output.finish({"z": "last"})
    assert output.read() == FIRST | {"z": "last"}


def test_long_rows_make_smaller_parts(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.run.publish.PART_BYTES", 300)
    output.finish(FIRST)
    assert output.read() == FIRST
    assert len(list((output.out / "transcripts").iterdir())) > 3


def test_full_parts_are_published_while_the_run_goes_on_and_the_rest_at_its_end(output: Output) -> None:
    async def action(checkpoint: Checkpoint, publisher: Publisher) -> None:
        journal = publisher._store
        checkpoint.scan([scanned(id_) for id_ in FIRST], "m.csv")
        checkpoint.merge(("all",))
        found = checkpoint.next_rows(None, 100)
        keeping = [asyncio.create_task(journal.keep()), asyncio.create_task(publisher.keep())]
        journal.add(
            *(Sent(attempt=attempt(one.utterance.id)) for one in found),
            *(Finished(n=one.n, transcript=transcript(one.utterance.id, FIRST[one.utterance.id])) for one in found),
        )
        for _ in range(500):
            if len(await journal.call(checkpoint.parts, "attempts")) == 2:
                break
            await asyncio.sleep(0.01)
        assert await journal.call(checkpoint.parts, "transcripts") == {1: 3, 2: 3}
        journal.close()
        publisher.close()
        await asyncio.gather(*keeping)
        assert checkpoint.parts("attempts") == {1: 3, 2: 3}
        await publisher.finish()
        assert checkpoint.parts("transcripts") == {1: 3, 2: 3, 3: 1}

    output.step(action)
    assert output.read() == FIRST


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_on_a_full_disk_all_is_left_for_the_end_of_the_run(
    output: Output, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    async def action(checkpoint: Checkpoint, publisher: Publisher) -> None:
        publisher._store.results_added = (3, 6)
        await asyncio.wait_for(publisher.keep(), 5)

    output.finish(FIRST, publish=False)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        if number == errno.EROFS:
            with pytest.raises(OutputError, match="Read-only file system"):
                output.step(action)
        else:
            output.step(action)
    output.recover()
    assert output.read() == FIRST


def test_rows_get_the_metadata_of_now_and_keep_their_transcripts(output: Output) -> None:
    async def action(checkpoint: Checkpoint, publisher: Publisher) -> None:
        rows = [scanned(id_, config=str(FIRST), metadata={"speaker": "x"}) for id_ in FIRST]
        checkpoint.scan(rows, "m.csv")
        checkpoint.merge(())
        assert not checkpoint.has_selected()
        settings = Settings()
        await publisher.finish(SettingsHash(settings, request_settings(settings.service)), lambda: True)
        assert metadata(output.out) == {()}, "a run that is stopped leaves it to the next one"
        await publisher.finish(SettingsHash(settings, request_settings(settings.service)))

    output.finish(FIRST)
    output.step(action)
    assert output.read() == FIRST
    assert metadata(output.out) == {(("speaker", "x"),)}


def metadata(out: Path) -> set[tuple[tuple[str, str], ...]]:
    in_lines = [json.loads(line)["metadata"].items() for line in (out / "transcripts.jsonl").read_text().splitlines()]
    in_parts = [json.loads(one).items() for one in pq.read_table(out / "transcripts")["metadata"].to_pylist()]
    return {tuple(map(tuple, found)) for found in (*in_lines, *in_parts)}
