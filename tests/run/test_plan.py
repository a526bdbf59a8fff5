"""The station `plan`: real small manifests into a real checkpoint."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pipeline.checkpoint import Checkpoint, Patience, Plan, ScannedRow, Store
from pipeline.config import Settings
from pipeline.errors import ConfigError, EmptyFolder, ManifestError, Stopped
from pipeline.gradium.request import request_settings
from pipeline.model import Utterance
from pipeline.run.context import RunOptions
from pipeline.run.plan import ManifestRows, make_plan, many_missing
from pipeline.run.problems import problem_of
from pipeline.run.settings_hash import SettingsHash
from pipeline.source import Sources

SETTINGS = Settings()
HASHES = SettingsHash(SETTINGS, request_settings(SETTINGS.service))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "calls").mkdir()
    for name in ("a.wav", "b.wav", "notes.txt"):
        (tmp_path / "calls" / name).write_bytes(bytes(32_000))
    return tmp_path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with Checkpoint(tmp_path / "checkpoint.sqlite") as checkpoint:
        yield checkpoint


def options(folder: Path, *manifests: str, **others: object) -> RunOptions:
    names = tuple(str(folder / name) for name in manifests)
    return RunOptions(manifests=names, out=folder / "out", **({"shared_out": True} | others))  # type: ignore[arg-type]


def rows_of(asked: RunOptions, on_step: object = lambda: None) -> ManifestRows:
    return ManifestRows(
        asked,
        HASHES,
        Sources(),
        model="default",
        run_id="run",
        skip_bad_rows=asked.skip_bad_rows,
        on_step=on_step,  # type: ignore[arg-type]
    )


def read(asked: RunOptions) -> list[ScannedRow]:
    return [*rows_of(asked).read()]


@pytest.mark.parametrize(("model", "is_taken"), [("default", True), ("stt-translate", False)])
def test_a_row_that_is_translated_names_its_language(model: str, is_taken: bool) -> None:
    row = Utterance(id="a", audio="/a.wav", language="any")
    assert (problem_of(row, model) is None) == is_taken
    assert problem_of(msgspec.structs.replace(row, language="fr"), model) is None


def plan(checkpoint: Checkpoint, asked: RunOptions, rows: ManifestRows | None = None) -> Plan:
    store = Store(checkpoint, Patience(1.0, lambda: False), lambda: None)
    try:
        return asyncio.run(make_plan(rows or rows_of(asked), asked, store, threading.Event()))
    finally:
        store.release()


def test_rows_are_selected_by_what_is_known_of_their_recordings(folder: Path, checkpoint: Checkpoint) -> None:
    found = plan(checkpoint, options(folder, "calls"))
    assert (found.rows, found.new, found.selected) == (2, 2, 2)
    (folder / "calls" / "b.wav").unlink()
    found = plan(checkpoint, options(folder, "calls"))
    assert (found.rows, found.vanished, found.selected) == (1, 1, 1)


def test_a_row_says_what_its_source_says_of_the_recording(folder: Path) -> None:
    (folder / "m.jsonl").write_text('{"audio": "calls/a.wav"}\n{"audio": "none.wav", "duration": 1, "offset": 2}\n')
    one, other = read(options(folder, "m.jsonl"))
    assert (one.size, one.expected_s, one.utterance.id) == (32_000, 1.0, "calls/a.wav")
    assert one.version == f"32000:{(folder / 'calls' / 'a.wav').stat().st_mtime_ns}"
    assert (other.size, other.version, other.expected_s) == (None, None, 1.0)


def test_bad_rows_are_refused_together_or_come_as_failures(folder: Path, checkpoint: Checkpoint) -> None:
    (folder / "m.csv").write_text(
        "id,audio,language,keywords\n1,a.wav,xx,\n2,a.wav,,two words;[\n3,calls/a.wav,,\n4,,,\n"
    )
    with pytest.raises(ManifestError) as caught:
        plan(checkpoint, options(folder, "m.csv"))
    assert [line.partition(": ")[0] for line in str(caught.value).split("\n")[:-1]] == [
        f"{folder}/m.csv:{line}" for line in (2, 5)
    ]
    assert str(caught.value).endswith("2 bad rows, nothing was sent; fix them, or skip them with --skip-bad-rows")
    asked = options(folder, "m.csv", skip_bad_rows=True)
    failures = [row.failure.id for row in read(asked) if row.failure is not None]
    assert failures == ["m.csv:2", "m.csv:5"]
    assert plan(checkpoint, asked).selected == 2


def test_no_error_of_a_bad_row_has_a_signature(folder: Path) -> None:
    (folder / "m.csv").write_text("audio,language\ncalls/a.wav,https://h/a.wav?token=t0psecret\n")
    [row] = read(options(folder, "m.csv", skip_bad_rows=True))
    assert row.failure is not None
    assert "https://h/a.wav?token=***" in row.failure.message
    assert "t0psecret" not in repr(row)


def test_an_id_of_two_rows_is_never_skipped(folder: Path, checkpoint: Checkpoint) -> None:
    (folder / "m.csv").write_text("id,audio\n1,calls/a.wav\n1,calls/b.wav\n")
    with pytest.raises(ManifestError, match=r"m.csv:3: id '1' is taken by line 2; give each row an id of its own"):
        plan(checkpoint, options(folder, "m.csv", skip_bad_rows=True))


def test_manifests_without_rows_are_refused(folder: Path, checkpoint: Checkpoint) -> None:
    (folder / "m.csv").write_text("audio\n")
    with pytest.raises(ManifestError, match="the manifest has no rows"):
        plan(checkpoint, options(folder, "m.csv"))
    (folder / "empty").mkdir()
    with pytest.raises(EmptyFolder):
        plan(checkpoint, options(folder, "empty"))
    assert plan(checkpoint, options(folder, "empty", "calls")).rows == 2


def test_warnings_are_errors_where_that_is_asked_for(folder: Path, checkpoint: Checkpoint) -> None:
    (folder / "m.csv").write_text("audio,langauge\ncalls\\a.wav,en\n")
    with pytest.raises(ManifestError, match="2 warnings"):
        plan(checkpoint, options(folder, "m.csv", strict=True))
    assert plan(checkpoint, options(folder, "m.csv")).selected == 1


def test_only_rows_that_are_asked_for_are_selected(folder: Path, checkpoint: Checkpoint) -> None:
    assert plan(checkpoint, options(folder, "calls", ids=("b.wav",))).selected == 1
    with pytest.raises(ManifestError, match=r"no row has the id c\.wav"):
        plan(checkpoint, options(folder, "calls", ids=("c.wav",)))


def test_an_output_that_nobody_chose_serves_one_manifest(folder: Path, checkpoint: Checkpoint) -> None:
    plan(checkpoint, options(folder, "calls", shared_out=False))
    (folder / "m.csv").write_text("audio\ncalls/a.wav\n")
    with pytest.raises(ConfigError, match="holds the transcripts of"):
        plan(checkpoint, options(folder, "m.csv", shared_out=False))


def test_a_stop_ends_the_reading_and_leaves_the_checkpoint_as_it_was(folder: Path, checkpoint: Checkpoint) -> None:
    def stop() -> None:
        raise Stopped

    asked = options(folder, "calls")
    assert plan(checkpoint, asked, rows_of(asked, stop)) == Plan()
    assert plan(checkpoint, asked).new == 2


def test_a_row_in_another_spelling_is_the_one_that_is_known_while_its_file_is_missing(folder: Path) -> None:
    (folder / "m.csv").write_text("audio\ncalls\\a.wav\n")
    there = str(folder / "calls" / "a.wav")
    (row,) = read(options(folder, "m.csv"))
    assert (row.utterance.id, row.utterance.audio) == ("calls/a.wav", there)
    (folder / "calls" / "a.wav").unlink()
    for known, id_ in (
        ({}, "calls\\a.wav"),
        ({"calls/a.wav": (there, True)}, "calls/a.wav"),
        ({"calls/a.wav": ("/elsewhere/a.wav", True)}, "calls\\a.wav"),
        ({"calls/a.wav": (there, True), "calls\\a.wav": (f"{folder}/calls\\a.wav", False)}, "calls/a.wav"),
        ({"calls/a.wav": (there, True), "calls\\a.wav": (f"{folder}/calls\\a.wav", True)}, "calls\\a.wav"),
    ):
        (row,) = rows_of(options(folder, "m.csv")).read(known.get)
        assert (row.utterance.id, row.size) == (id_, None)


@pytest.mark.parametrize(
    ("counts", "moved", "is_said"),
    [
        ({"newly_missing": 10}, 0, True),
        ({"newly_missing": 9}, 0, False),
        ({"newly_removed": 12}, 0, True),
        ({"newly_removed": 12}, 3, False),
        ({"newly_missing": 10, "rows": 100}, 0, False),
    ],
)
def test_many_missing_recordings_are_said(counts: dict[str, int], moved: int, is_said: bool) -> None:
    found = Plan(**({"rows": 20, "known": 20} | counts))
    assert (many_missing(found, is_folder=True, moved=moved) is not None) == is_said
