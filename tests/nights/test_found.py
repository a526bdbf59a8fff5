"""Sequences that the long form of these tests found, each as short as it could be made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.checkpoint import Checkpoint, Finished, Store
from pipeline.run.delay import DelayCorrection
from pipeline.run.publish import Publisher
from pipeline.sink import FolderStore, Sink
from tests.nights.life import Life
from tests.nights.names import ORDERS
from tests.nights.night import Kill, Night
from tests.nights.outputs import Output
from tests.nights.recordings import sound
from tests.nights.service import Faults, Service
from tests.nights.world import Form, Kind, Listed
from tests.records import scanned, transcript


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.close()


@pytest.fixture
def kind() -> Kind:
    return "short"


@pytest.fixture
def life(service: Service, form: Form, kind: Kind) -> Iterator[Life]:
    found = Life(service, form, kind=kind)
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


@pytest.mark.parametrize("form", ["ids"])
@pytest.mark.parametrize(("fault", "tried"), [("internal", [1, 1, 0, 1, 0, 0, 0, 1]), ("refused", [1, 0, 0, 0])])
def test_what_fails_is_let_alone_until_it_is_due_while_ids_shift(life: Life, fault: str, tried: list[int]) -> None:
    life.world.write("archive/disk1/bad.wav", sound(2))
    seed = 3
    failing = life.world.identity_of(sound(2))
    every = int(failing.content, 16)  # the one content that is hit
    found = []
    for _ in tried:
        life.world.write(f"archive/disk1/new{seed}.wav", sound(seed))
        seed += 1
        paths = [f"archive/disk1/new{number}.wav" for number in range(seed - 1, 2, -1)]
        life.world.listed = [Listed(f"call-{n}", path) for n, path in enumerate([*paths, "archive/disk1/bad.wav"])]
        ended = life.night(Night(faults=Faults(kind=fault, every=every)))
        found.append(int(failing in {one.identity for one in ended.asked}))
    assert found == tried


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
        journal = Store(checkpoint)
        try:
            sink = Sink(FolderStore(tmp_path), ("parquet", "jsonl"))
            publisher = Publisher(journal, sink, rows_per_part=2, delay=DelayCorrection("auto", Path()))
            await publisher.tidy()
            await publisher.finish()
        finally:
            journal.release()

    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        checkpoint.scan([scanned(id_) for id_ in "abc"], "m.csv")
        checkpoint.merge(())
        numbers = {selected.utterance.id: selected.n for selected in checkpoint.next_rows(None, 10)}
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


@pytest.mark.parametrize("kind", ["many"])
@pytest.mark.parametrize(
    ("form", "order"),
    [
        pytest.param(form, order, marks=() if form == "ids" or order == at else pytest.mark.slow)
        for at, form in enumerate(("folder", "paths", "ids"))
        for order in range(len(ORDERS))
    ],
)
def test_names_that_change_places_pay_nothing_whatever_the_order(life: Life, order: int) -> None:
    life.move("add_many", 0, 0)
    life.night(Night())
    life.move("permute", order, 1)
    assert life.night(Night()).asked == []


@pytest.mark.slow
@pytest.mark.parametrize("form", ["folder", "paths", "ids"])
@pytest.mark.parametrize("kind", ["many"])
def test_names_that_change_places_pay_nothing_in_nights_that_do_a_few_each_or_are_killed(life: Life) -> None:
    life.move("add_many", 0, 0)
    life.night(Night())
    life.move("permute", 1, 5)
    for night in (Night(limit=3), Night(kill=Kill(step=9)), Night(limit=3), Night()):
        life.night(night)


@pytest.mark.parametrize("form", ["folder", pytest.param("paths", marks=pytest.mark.slow), "ids"])
@pytest.mark.parametrize("kind", ["many"])
def test_a_row_put_in_at_the_top_pays_for_itself_only(life: Life) -> None:
    life.move("add_many", 0, 0)
    life.night(Night())
    life.move("shift", 0, 44)
    assert len(life.night(Night()).asked) == 1


@pytest.mark.parametrize("form", ["ids"])
def test_settings_that_are_changed_back_are_paid_once_each(life: Life) -> None:
    life.move("add_many", 0, 0)
    life.night(Night())
    life.move("language", 1, 0)
    life.night(Night())
    life.move("settings_back", 0, 0)
    assert life.night(Night()).asked == []


@pytest.mark.parametrize("form", ["ids", "folder"])
def test_an_id_that_names_other_audio_in_another_manifest_is_refused_and_nothing_changes(life: Life) -> None:
    life.move("add", 0, 1)
    life.move("add", 2, 2)
    life.night(Night())
    life.move("clash", 0, 1)
    assert life.night(Night(manifest="other")).exit == 2
    life.move("no_clash", 0, 0)
    life.move("share", 0, 0)
    assert life.night(Night(manifest="other")).exit == 0


@pytest.mark.parametrize("form", ["ids"])
@pytest.mark.parametrize("kind", ["many"])
def test_what_always_fails_keeps_nobody_waiting_behind_a_limit(life: Life) -> None:
    life.move("add_many", 0, 0)
    for _ in range(4):
        life.night(Night(limit=1, faults=Faults("internal", every=3)))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["ids"])
@pytest.mark.parametrize("kind", ["many"])
def test_failed_and_suspect_ones_are_done_again_in_turn(life: Life) -> None:
    life.move("add_many", 0, 0)
    life.night(Night(faults=Faults("internal", every=2)))
    for _ in range(2):
        life.night(Night(only=("failed",), limit=1, faults=Faults("internal", every=2)))
    life.night(Night(only=("failed",)))
    for _ in range(2):
        life.night(Night(only=("suspect",), limit=2))


@pytest.mark.parametrize("form", ["ids"])
def test_what_fits_a_budget_is_sent_behind_what_does_not(life: Life) -> None:
    life.move("add_many", 9, 94)
    for _ in range(3):
        life.night(Night(budget=0.3))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["paths"])
def test_what_was_only_told_to_wait_while_others_used_the_budget_has_not_failed(life: Life) -> None:
    life.move("add_many", 158, 127)
    for _ in range(4):
        life.night(Night(budget=0.3, faults=Faults("busy", every=1, times=1)))


@pytest.mark.parametrize("form", ["ids"])
@pytest.mark.parametrize("kind", ["long"])
def test_no_sample_is_paid_twice_where_the_cuts_move(life: Life) -> None:
    life.move("add", 0, 4)
    life.world.max_clip_s = 2.2
    life.night(Night(faults=Faults("internal", every=2)))
    life.world.max_clip_s = 1.0
    life.night(Night(faults=Faults("internal", every=2)))
    life.world.max_clip_s = 300.0
    life.night(Night())


@pytest.mark.parametrize("form", ["folder", "ids"])
def test_what_has_one_channel_is_paid_once_whatever_is_done_with_several(life: Life) -> None:
    life.move("add_many", 0, 0)
    life.night(Night(limit=4))
    life.move("channels", 0, 0)
    life.night(Night())
    life.move("permute", 0, 1)
    life.move("channels", 0, 0)
    assert life.night(Night()).asked == []


@pytest.mark.parametrize("form", ["ids"])
@pytest.mark.parametrize("kind", ["long"])
def test_no_sample_is_paid_twice_for_a_scrap_beside_it(life: Life) -> None:
    life.move("add", 0, 0)
    life.world.max_clip_s = 1.0
    life.night(Night(faults=Faults("internal", every=3)))
    life.world.max_clip_s = 1.5
    life.night(Night(faults=Faults("internal", every=3)))
    life.world.max_clip_s = 300.0
    life.night(Night())


@pytest.mark.parametrize("form", ["ids"])
@pytest.mark.parametrize("kind", ["long"])
def test_no_sample_is_paid_twice_where_channels_are_split_mixed_and_split_again(life: Life) -> None:
    life.move("add", 0, 3)
    life.world.channels = "split"
    life.night(Night(faults=Faults("internal", every=2)))
    life.move("channels", 0, 0)
    life.night(Night())
    life.move("channels", 0, 0)
    life.night(Night())


@pytest.mark.parametrize("form", ["ids"])
def test_a_check_foretells_recordings_of_less_than_half_a_second(life: Life) -> None:
    life.move("add", 0, 1)
    life.night(Night())


@pytest.mark.parametrize("form", ["folder", "ids"])
@pytest.mark.parametrize("kind", ["long"])
def test_answered_clips_are_used_also_where_their_row_got_another_recording(life: Life) -> None:
    life.move("add", 0, 3)
    life.move("add", 2, 4)
    life.night(Night(faults=Faults("internal", every=2)))
    life.move("permute", 0, 1)
    for _ in range(2):
        life.night(Night(limit=1))


@pytest.mark.parametrize("form", ["folder"])
def test_a_check_beside_an_output_whose_first_run_was_killed_at_once_is_as_of_a_new_one(life: Life) -> None:
    life.move("add", 0, 1)
    life.world.out.mkdir()
    (life.world.out / "checkpoint.sqlite").touch()
    life.night(Night())


@pytest.mark.parametrize("form", ["ids"])
def test_what_was_refused_is_not_sent_by_itself_after_it_was_asked_for_in_a_bad_night(life: Life) -> None:
    life.move("add", 0, 1)
    life.night(Night(faults=Faults("refused")))
    life.night(Night(only=("failed",), faults=Faults("unavailable")))
    assert life.night(Night()).asked == []
    life.move("touch", 0, 0)  # what was refused is its content
    life.night(Night(only=("failed",), faults=Faults("unavailable")))
    assert life.night(Night()).asked == []
    life.move("change", 0, 5)
    assert len(life.night(Night()).asked) == 1
