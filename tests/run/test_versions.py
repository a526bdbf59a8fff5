"""Versions of recordings that lie elsewhere: many asked for at a time, in the order of rows; no answer, no change."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.checkpoint import UNKNOWN, UNREADABLE, Checkpoint, Finished, ScannedRow
from pipeline.errors import (
    AddressRefused,
    AttemptError,
    AudioForbidden,
    AudioMissing,
    SourceOut,
    SourceTimeout,
    SourceUnreachable,
)
from pipeline.model import BadRow, Utterance
from pipeline.run.versions import AHEAD, NOT_ASKED, Found, Versions
from pipeline.source import FileInfo, Sources
from tests.records import transcript

ERRORS: dict[str, AttemptError] = {
    "missing": AudioMissing("none"),
    "forbidden": AudioForbidden("no"),
    "refused": AddressRefused("no"),
    "unreachable": SourceUnreachable("down"),
    "late": SourceTimeout("late"),
}


class Scripted(Sources):
    def __init__(self, at_once: int = 1) -> None:
        super().__init__()
        self.asked = Counter[str]()
        self._together = threading.Barrier(at_once)

    def stat(self, path: str) -> FileInfo:
        self.asked[path] += 1
        self._together.wait(10)
        name = path.rsplit("/", 1)[-1]
        if name == "out":
            raise SourceOut("out")
        if name in ERRORS:
            raise ERRORS[name]
        return FileInfo(f"v{name}", 7, 2.0)


def rows(*names: str) -> Iterator[Utterance | BadRow]:
    for name in names:
        yield Utterance(id=name, audio=f"s3://b/{name}") if name else BadRow(manifest="m", line=1, message="bad")


def test_each_row_has_its_version_in_order_and_each_recording_is_asked_for_once() -> None:
    sources = Scripted()
    names = [*(f"{n % 700}" for n in range(3 * AHEAD)), "", "missing"]
    found = [(row, one) for row, one in Versions(sources, lambda: None).of(rows(*names))]
    assert [row.id for row, _ in found] == [name or None for name in names]
    expected = [Found(f"v{name}", 7, 2.0) if name.isdigit() else NOT_ASKED for name in names]
    assert [one for _, one in found] == expected
    assert set(sources.asked.values()) == {1}


def test_many_are_asked_for_at_a_time() -> None:
    names = [f"{n}" for n in range(64)]
    assert len([*Versions(Scripted(at_once=32), lambda: None).of(rows(*names))]) == 64


def test_what_a_source_says_is_told_apart() -> None:
    found = [one.version for _, one in Versions(Scripted(), lambda: None).of(rows(*ERRORS))]
    assert found == [None, UNKNOWN, UNREADABLE, UNKNOWN, UNKNOWN]
    with pytest.raises(SourceOut):
        [*Versions(Scripted(), lambda: None).of(rows("a", "out"))]


def test_waiting_for_a_source_can_be_stopped() -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        [*Versions(Scripted(at_once=2), stop).of(rows("a"))]


def scanned(version: str, audio: str = "s3://b/a") -> ScannedRow:
    return ScannedRow(
        utterance=Utterance(id="a", audio=audio), config_hash="c1", expected_s=1.0, version=version, size=7
    )


@pytest.mark.parametrize(
    ("version", "audio", "selected"),
    [("1", "s3://b/a", 0), (UNKNOWN, "s3://b/a", 0), ("2", "s3://b/a", 1), (UNKNOWN, "s3://b/other", 1)],
)
def test_what_is_done_stays_done_where_its_source_does_not_answer(
    tmp_path: Path, version: str, audio: str, selected: int
) -> None:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        checkpoint.scan([scanned("1")], "m")
        checkpoint.merge(())
        checkpoint.apply([Finished(n=1, transcript=transcript("a"))])
        checkpoint.scan([scanned(version, audio)], "m")
        assert checkpoint.merge(()).selected == selected
        checkpoint.scan([scanned("1" if audio == "s3://b/a" and version != "2" else "3", audio)], "m")
        assert checkpoint.merge(()).selected == selected


def test_parts_of_a_recording_that_is_fetched_come_together_after_all_others(tmp_path: Path) -> None:
    def row(id_: str, seconds: float, *, remote_span: bool) -> ScannedRow:
        utterance = Utterance(id=id_, audio=f"s3://b/{id_[0]}")
        return ScannedRow(
            utterance=utterance, config_hash="c", expected_s=seconds, version="1", size=7, remote_span=remote_span
        )

    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        given = [
            row("a1", 20.0, remote_span=True), row("a2", 200.0, remote_span=True), row("b", 1.0, remote_span=False),
            row("c1", 90.0, remote_span=True), row("c2", 1.0, remote_span=True), row("d", 50.0, remote_span=False),
        ]  # fmt: skip
        checkpoint.scan(given, "m")
        checkpoint.merge(())
        order = [one.utterance.id for one in checkpoint.next_rows(None, 100)]
        assert order == ["d", "b", "a1", "a2", "c1", "c2"]
        assert [one.utterance.id for one in checkpoint.next_rows((0, "", 1, 2), 100)] == order[-2:]
