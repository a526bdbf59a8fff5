"""What an export leaves alone, refuses and says; names of files; conditions."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import sqlite3
from pathlib import Path

import msgspec
import pytest

import gradium_batch as gb
from pipeline.cli.export import FORMATS as NAMED_BY_HELP
from pipeline.errors import OutputError, OutputHeld, UsageError
from pipeline.export.exported import Exported
from pipeline.export.kinds import FORMATS
from pipeline.export.known import remove_rows
from pipeline.export.state import ExportState, state_paths
from pipeline.model import Transcript
from tests.earlier.archive import unpack
from tests.export.nights import Output, exported, spoken, tree

CALLS = "/calls/monday"


@pytest.fixture
def out(tmp_path: Path) -> Output:
    return Output(tmp_path / "out")


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "to"


def write(out: Output, *rows: Transcript) -> None:
    out.write({1: rows}, [row.id for row in rows])


def texts(folder: Path) -> dict[str, str]:
    return {name: held.decode() for name, held in sorted(tree(folder).items())}


def test_files_mirror_the_folders_of_their_recordings(out: Output, to: Path) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", "one"), spoken("2", "/calls/friday/x/b.flac", "two"))
    assert exported(out.folder, "txt", to) == Exported(where=str(to), unit="file", total=2, written=2, removed=0)
    assert texts(to) == {"monday/a.txt": "one\n", "friday/x/b.txt": "two\n"}


def test_no_two_recordings_get_one_name(out: Output, to: Path) -> None:
    names = ("a.wav", "a.mp3", "A.flac", "A.wav", "a.wav.ogg", "Cafe\u0301.wav", "Caf\u00e9.wav", "b.wav", "b")
    write(out, *(spoken(name, f"{CALLS}/{name}", name.replace(".", " ")) for name in names))
    assert exported(out.folder, "txt", to).total == len(names)
    found = texts(to)
    assert sorted(text.strip().replace(" ", ".") for text in found.values()) == sorted(names)
    assert len({name.casefold() for name in found}) == len(names)
    assert "a.mp3.txt" in found


def test_another_recording_of_that_name_gives_both_their_endings(out: Output, to: Path) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", "one"))
    exported(out.folder, "txt", to)
    assert texts(to) == {"a.txt": "one\n"}
    write(out, spoken("1", f"{CALLS}/a.wav", "one"), spoken("2", f"{CALLS}/a.mp3", "two"))
    done = exported(out.folder, "txt", to)
    assert (done.written, done.removed) == (2, 1)
    assert texts(to) == {"a.mp3.txt": "two\n", "a.wav.txt": "one\n"}


def test_a_long_name_is_cut(out: Output, to: Path) -> None:
    long = "\u00e9" * 120
    write(out, *(spoken(end, f"{CALLS}/{long}{end}.wav", end) for end in "ab"))
    exported(out.folder, "textgrid", to)
    assert len(texts(to)) == 2
    assert all(len(os.fsencode(name)) <= 255 for name in texts(to))


def test_spans_of_a_recording_share_a_file_unless_they_overlap(out: Output, to: Path) -> None:
    audio = f"{CALLS}/a.wav"
    rows = [
        spoken("3", audio, "again", offset_s=5.0),
        spoken("2", audio, "two", offset_s=5.0),
        spoken("1", audio, "one"),
    ]
    write(out, *rows)
    exported(out.folder, "txt", to)
    assert texts(to) == {"a.txt": "one\nagain\n", "a~2.txt": "two\n"}
    write(out, *rows[1:])
    done = exported(out.folder, "txt", to)
    assert (done.written, done.removed) == (1, 1)
    assert texts(to) == {"a.txt": "one\ntwo\n"}


def test_files_lie_beside_their_recordings(out: Output, tmp_path: Path) -> None:
    folder = tmp_path / "calls" / "monday"
    folder.mkdir(parents=True)
    (folder / "a.wav").write_bytes(b"")
    write(out, spoken("1", str(folder / "a.wav"), "one"))
    assert exported(out.folder, "txt", None, beside=True).total == 1  # type: ignore[arg-type]
    assert texts(tmp_path / "calls") == {"monday/a.txt": "one\n", "monday/a.wav": ""}


@pytest.mark.parametrize(("format_", "name"), [("txt", "a.txt"), ("csv", "transcripts.csv")])
def test_a_file_of_somebody_else_is_not_overwritten(out: Output, to: Path, format_: str, name: str) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", "one"), spoken("2", f"{CALLS}/b.wav", "two"))
    to.mkdir()
    (to / name).write_text("mine")
    with pytest.raises(UsageError, match=rf"{name} would be overwritten, .*--overwrite"):
        exported(out.folder, format_, to)
    assert texts(to) == {name: "mine"}
    exported(out.folder, format_, to, overwrite=True)
    assert "mine" not in texts(to)[name]


def test_a_corrected_file_stays_and_is_counted(out: Output, to: Path) -> None:
    rows = [spoken("1", f"{CALLS}/a.wav", "one"), spoken("2", f"{CALLS}/b.wav", "two")]
    write(out, *rows)
    exported(out.folder, "txt", to)
    (to / "a.txt").write_text("ONE, corrected\n")
    write(out, *(spoken(row.id, row.audio, f"{row.text} new") for row in rows))
    done = exported(out.folder, "txt", to)
    assert texts(to) == {"a.txt": "ONE, corrected\n", "b.txt": "two new\n"}
    assert done.written == 1
    assert [*done.left.values()] == [1]
    assert exported(out.folder, "txt", to, only_ok=True).left == done.left, "also where all is written anew"
    assert texts(to)["a.txt"] == "ONE, corrected\n"
    exported(out.folder, "txt", to, overwrite=True)
    assert texts(to) == {"a.txt": "one new\n", "b.txt": "two new\n"}


def test_a_table_that_was_changed_is_refused(out: Output, to: Path) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", "one"))
    exported(out.folder, "csv", to)
    with (to / "transcripts.csv").open("a") as file:
        file.write("mine\n")
    with pytest.raises(UsageError, match="--overwrite"):
        exported(out.folder, "csv", to)


def test_a_removed_file_is_written_again(out: Output, to: Path) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", "one"), spoken("2", f"{CALLS}/b.wav", "two"))
    for format_, name in (("txt", "a.txt"), ("csv", "transcripts.csv"), ("lhotse", "recordings.jsonl.gz")):
        exported(out.folder, format_, to)
        before = tree(to)
        (to / name).unlink()
        exported(out.folder, format_, to)
        assert tree(to) == before


def test_a_table_has_the_columns_and_any_text(out: Output, to: Path) -> None:
    metadata = {"note": 'a "quoted", b\nc', "speaker": "\u65e5\u672c"}
    row = msgspec.structs.replace(
        spoken("id, 1", f"{CALLS}/a b.wav", 'say "hi", now'), metadata=metadata, reference="say\nhi", wer=0.5,
        issues=("odd", "late"), status="suspect",
    )  # fmt: skip
    write(out, row, spoken("2", f"{CALLS}/b.wav", "two"))
    exported(out.folder, "csv", to)
    [found, other] = csv.DictReader(io.StringIO((to / "transcripts.csv").read_bytes().decode(), newline=""))
    assert (found["id"], found["text"], found["reference"], found["wer"]) == (row.id, row.text, row.reference, "0.5")
    assert json.loads(found["metadata"]) == metadata
    assert (found["issues"], found["status"], other["wer"], other["metadata"]) == ("odd; late", "suspect", "", "")


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("wer > 0.3", "2"),
        ("wer IS NULL OR wer < 0.3", "13"),
        ("metadata ->> 'speaker' = 'ann'", "1"),
        ("text LIKE '%three%' -- a comment", "3"),
        ("id IN ('1', '2') AND duration_s BETWEEN 0 AND 9", "12"),
    ],
)
def test_a_condition_chooses_rows(out: Output, to: Path, where: str, ids: str) -> None:
    rows = [spoken("1", f"{CALLS}/a.wav", "one", wer=0.1, metadata={"speaker": "ann"})]
    rows += [spoken("2", f"{CALLS}/b.wav", "two", wer=0.5), spoken("3", f"{CALLS}/c.wav", "three")]
    write(out, *rows)
    done = exported(out.folder, "nemo", to, where=where)
    found = [json.loads(line) for line in (to / "manifest.jsonl").read_text().splitlines()]
    assert ("".join(row["id"] for row in found), done.total) == (ids, len(ids))
    exported(out.folder, "nemo", to)
    assert len((to / "manifest.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("wr > 0.3", "no column 'wr'; did you mean wer"),
        ("speaker = 'x'", "metadata ->> 'speaker'"),
        ("", "give a condition"),
        ("wer >", "syntax error"),
        ("wer > 0.3)", "syntax error"),
        ("1) UNION SELECT 1 FROM sqlite_master WHERE (1", ""),
        ("id IN (SELECT name FROM pragma_database_list)", "only the columns"),
        ("load_extension('x') = 1", ""),
    ],
)
def test_a_condition_that_is_none_is_refused(out: Output, to: Path, where: str, message: str) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", "one"))
    if not message:
        try:
            exported(out.folder, "txt", to, where=where)
        except UsageError:
            return
        assert set(texts(to)) <= {"a.txt"}  # it chose among the rows, no more
        return
    with pytest.raises(UsageError, match=message):
        exported(out.folder, "txt", to, where=where)
    assert not to.exists()


@pytest.mark.slow
def test_two_exports_into_one_folder_do_not_meet(out: Output, to: Path) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", "one"))
    exported(out.folder, "txt", to)
    [path] = state_paths(out.folder)
    state = ExportState(path)
    try:
        with pytest.raises(OutputHeld):
            exported(out.folder, "txt", to)
        exported(out.folder, "csv", to)
    finally:
        state.close()


@pytest.mark.parametrize("damage", [b"not a database at all" * 100, b"\0" * 4096])
def test_a_damaged_state_is_named(out: Output, to: Path, damage: bytes) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", "one"))
    exported(out.folder, "txt", to)
    [path] = state_paths(out.folder)
    path.write_bytes(damage)
    with pytest.raises(OutputError, match=r"is damaged.*remove it"):
        exported(out.folder, "txt", to)
    path.unlink()
    exported(out.folder, "txt", to, overwrite=True)
    assert texts(to) == {"a.txt": "one\n"}


@pytest.mark.slow
def test_a_state_holds_no_words(out: Output, to: Path) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", "xylophone zebra", reference="quince"))
    for format_ in ("txt", "srt", "csv", "nemo", "lhotse", "kaldi"):
        exported(out.folder, format_, to / format_)
    held = b"".join(path.read_bytes() for path in state_paths(out.folder))
    assert len(held) > 10_000
    assert not any(word in held for word in (b"xylophone", b"zebra", b"quince"))


@pytest.mark.parametrize("where", [".", "transcripts", "new"])
def test_the_output_itself_is_no_place_for_an_export(out: Output, where: str) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", "one"))
    with pytest.raises(UsageError, match="in the output folder itself"):
        exported(out.folder, "csv", out.folder / where)


def test_what_makes_no_sense_is_refused(out: Output, to: Path, tmp_path: Path) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", "one"))
    to.write_text("")
    for more, message in (
        ({"format_": "srtt", "to": None}, "did you mean srt"),
        ({"format_": "csv", "to": None, "beside": True}, "--beside: csv is not one file for each recording"),
        ({"format_": "srt", "to": to, "beside": True}, "give one of them"),
        ({"format_": "srt", "to": to}, "this is a file"),
        ({"format_": "csv", "to": None, "options": {"fps": 25.0}}, "--fps: --format csv has no such option"),
    ):
        with pytest.raises(UsageError, match=message):
            exported(out.folder, **more)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="is no output of gradium-batch"):
        exported(tmp_path / "nothing", "csv", None)  # type: ignore[arg-type]
    assert not (tmp_path / "nothing").exists()


def test_the_help_names_all_formats() -> None:
    assert sorted(NAMED_BY_HELP.split("|")) == sorted(FORMATS)


def test_an_output_of_an_earlier_version_has_to_be_converted_first(tmp_path: Path) -> None:
    earlier = unpack("both", tmp_path)[1]
    with pytest.raises(UsageError, match=r"before 0\.2"):
        exported(earlier, "csv", tmp_path / "to")


def test_rows_of_which_a_format_has_nothing_are_counted(out: Output, to: Path) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", ""), spoken("2", f"{CALLS}/b.wav", "two"))
    done = exported(out.folder, "kaldi", to)
    assert (done.total, [*done.left.values()]) == (1, [1])


def test_a_run_that_rewrites_a_part_meanwhile_is_seen_by_the_next_export(out: Output, to: Path) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", "one"))
    exported(out.folder, "csv", to)
    write(out, spoken("1", f"{CALLS}/a.wav", "one more"))
    assert exported(out.folder, "csv", to).written == 1
    assert b"one more" in (to / "transcripts.csv").read_bytes()
    with sqlite3.connect(state_paths(out.folder)[0]) as db:
        assert db.execute("SELECT count(*) FROM rows").fetchone() == (1,)


def test_an_export_goes_on_where_the_project_was_moved(tmp_path: Path) -> None:
    (tmp_path / "old" / "runs").mkdir(parents=True)
    out = Output(tmp_path / "old" / "runs" / "out")
    folder = tmp_path / "old" / "calls"
    folder.mkdir()
    write(out, spoken("1", str(folder / "a.wav"), "one"))
    for format_, to in (("csv", "tables"), ("txt", "texts"), ("txt", "runs/out/exports/txt")):
        exported(out.folder, format_, tmp_path / "old" / to)
    exported(out.folder, "srt", None, beside=True)  # type: ignore[arg-type]
    (tmp_path / "old").rename(tmp_path / "new")
    moved = Output.__new__(Output)
    moved.__dict__ |= out.__dict__ | {"folder": tmp_path / "new" / "runs" / "out"}
    for format_, to in (("csv", "tables"), ("txt", "texts"), ("txt", "runs/out/exports/txt")):
        assert exported(moved.folder, format_, tmp_path / "new" / to).written == 0
    again = Output(tmp_path / "new" / "runs" / "again")
    write(again, spoken("1", str(tmp_path / "new" / "calls" / "a.wav"), "one"))
    assert exported(again.folder, "srt", None, beside=True).written == 0, "it holds the same"  # type: ignore[arg-type]


def test_a_recording_whose_folder_is_gone_gets_none(out: Output, tmp_path: Path) -> None:
    (tmp_path / "calls").mkdir()
    rows = [spoken("1", str(tmp_path / "calls" / "a.wav"), "one"), spoken("2", str(tmp_path / "gone" / "b.wav"), "two")]
    write(out, *rows)
    done = exported(out.folder, "txt", None, beside=True)  # type: ignore[arg-type]
    assert (done.written, [*done.left.values()]) == (1, [1])
    assert not (tmp_path / "gone").exists()
    (tmp_path / "gone").mkdir()
    assert exported(out.folder, "txt", None, beside=True).written == 1  # type: ignore[arg-type]
    assert (tmp_path / "gone" / "b.txt").read_text() == "two\n"


def test_a_corrected_file_stays_known_while_its_row_is_not_asked_for(out: Output, to: Path) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", "one"), spoken("2", f"{CALLS}/b.wav", "two"))
    exported(out.folder, "txt", to)
    (to / "a.txt").write_text("corrected\n")
    assert exported(out.folder, "txt", to, where="id = '2'").removed == 0
    assert exported(out.folder, "txt", to).total == 2
    assert texts(to)["a.txt"] == "corrected\n"


def test_a_table_that_somebody_changed_is_named_by_forget_and_stays(out: Output, to: Path) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", "one"), spoken("2", f"{CALLS}/b.wav", "two"))
    exported(out.folder, "csv", to)
    with (to / "transcripts.csv").open("a") as file:
        file.write("mine\n")
    [said] = remove_rows(out.folder, ["1"], lambda audio: False)
    assert str(to / "transcripts.csv") in said
    assert "mine" in (to / "transcripts.csv").read_text()


def test_numbers_in_quotes_are_numbers_where_the_column_has_numbers(out: Output, to: Path) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", "one", wer=0.5), spoken("2", f"{CALLS}/b.wav", "two", wer=0.1))
    assert exported(out.folder, "csv", to, where="wer > '0.3'").total == 1


def test_it_can_be_asked_for_where_an_event_loop_runs(out: Output, to: Path) -> None:
    write(out, spoken("1", f"{CALLS}/a.wav", "one", sample_rate=16_000))

    async def ask() -> list[Exported]:
        return [gb.export(out.folder, format_, to / format_) for format_ in ("hf", "CSV")]

    data_set, table = asyncio.run(ask())
    assert (data_set.total, [*data_set.left.values()], table.total) == (0, [1], 1)


def test_no_path_leads_out_of_the_folder(out: Output, to: Path, tmp_path: Path) -> None:
    audio = ("/calls/a/../x/b.wav", "/calls/a/c.wav", "/calls/a/../../etc/d.wav")
    write(out, *(spoken(str(number), path, "words") for number, path in enumerate(audio)))
    before = {path for path in tmp_path.rglob("*") if to not in path.parents}
    exported(out.folder, "txt", to)
    assert texts(to).keys() == {"calls/x/b.txt", "calls/a/c.txt", "etc/d.txt"}
    outside = {path for path in tmp_path.rglob("*") if to not in path.parents} - before - {to}
    assert all(out.folder in path.parents for path in outside)
