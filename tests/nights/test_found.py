"""Sequences that the long form of these tests found, each as short as it could be made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.checkpoint import Checkpoint, Finished, Journal
from pipeline.run.published import Published
from pipeline.run.publisher import Publisher
from pipeline.sink import Sink
from tests.nights.life import Life
from tests.nights.night import Kill, Night
from tests.nights.outputs import Output
from tests.nights.recordings import sound
from tests.nights.service import Faults, Service
from tests.nights.world import Form
from tests.records import scanned, transcript


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.close()


@pytest.fixture
def life(service: Service, form: Form) -> Iterator[Life]:
    found = Life(service, form)
    yield found
    found.close()


@pytest.mark.parametrize("form", ["folder"])
def test_a_renamed_recording_moves_its_row_also_when_a_copy_of_it_is_asked_for_again(life: Life) -> None:
    for name in ("a", "b"):
        life.world.write(f"archive/disk1/{name}.wav", sound(1))
    life.night(Night())
    life.world.rename("archive/disk1/a.wav", "archive/disk1/c.wav")
    life.night(Night(only=("all",)))


@pytest.mark.parametrize("form", ["folder", "paths", "ids"])
def test_a_disk_that_goes_is_told_also_when_another_manifest_had_the_output_since(life: Life, form: Form) -> None:
    for number in range(24):
        life.move("add", number, number)
    life.move("add_second", 0, 3)
    life.night(Night())
    life.night(Night(manifest="second"))
    life.move("unmount", 0, 0)
    assert life.night(Night()).exit == 3
    assert life.night(Night()).exit == 0


@pytest.mark.parametrize("form", ["folder"])
def test_empty_answers_blame_no_settings_that_a_killed_night_was_answered_with(life: Life) -> None:
    for number in range(12):
        life.move("add", number, number)
    life.night(Night(kill=Kill(request=9, after_s=20.0)))
    life.night(Night(faults=Faults(kind="empty", every=1, times=2)))


def test_a_kill_between_the_lines_and_their_note_doubles_none_whatever_is_answered_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def publish(*ids: str, config: str = "c1") -> None:
        answers = [Finished(n=numbers[id_], transcript=transcript(id_, config=config)) for id_ in ids]
        checkpoint.apply(answers)
        journal = Journal(checkpoint)
        try:
            sink = Sink(tmp_path, ("parquet", "jsonl"))
            publisher = Publisher(journal, sink, Published(sink), rows_per_part=2)
            await publisher.tidy()
        finally:
            journal.release()

    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        checkpoint.scan([scanned(id_) for id_ in "abc"], "m.csv")
        checkpoint.merge(())
        numbers = {selected.utterance.id: selected.n for selected in checkpoint.selected(None, 10)}
        asyncio.run(publish("a"))
        with monkeypatch.context() as patched:
            patched.setattr(Checkpoint, "results_published", _killed)
            with pytest.raises(KeyboardInterrupt):
                asyncio.run(publish("a", "c", config="c2"))  # a is replaced, so that all lines are written anew
        asyncio.run(publish("b", config="c2"))  # comes before c
    lines = Output(tmp_path)
    assert lines.faults == []
    assert sorted(lines.rows) == ["a", "b", "c"]


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
