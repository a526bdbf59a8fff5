"""Hugging Face data sets as manifests: Parquet files with recordings, their shards in a folder, and AudioFolders."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import EmptyFolder, ManifestError
from pipeline.manifest import Ignored
from pipeline.model import BadRow, NamedByPath, Utterance
from pipeline.source import Sources
from tests.data_sets import Row, damaged, write_rows, write_shards
from tests.manifest.reading import bad, good, read_manifest
from tests.manifest.test_directory import fill


def rows_of(path: Path, **options: Any) -> list[Utterance]:
    return good(list(read_manifest(str(path), **options)))


def ids(path: Path) -> list[str]:
    return [row.id for row in rows_of(path)]


def few(count: int, first: int = 0) -> list[Row]:
    return [Row(f"{n}.flac", b"%d" % n, f"text {n}") for n in range(first, first + count)]


# -- a file ------------------------------------------------------------------------------------------------------------


def test_rows_of_a_file_have_their_audio_in_it(tmp_path: Path) -> None:
    more = {
        "speaker": pa.array([3, None, 4], pa.int64()),
        "tags": [["a"], [], None],
        "picture": [b"\x89PNG"] * 3,
        "other": [{"bytes": b"\0", "path": "o.wav"}] * 3,
        "": ["unnamed"] * 3,
        "language": ["de", None, "fr"],
        "offset_s": [None, 1.5, None],
        "duration_s": [None, 2.0, None],
    }
    path = write_rows(tmp_path / "x.parquet", few(3), more=more)
    first, second, third = rows_of(path)
    assert first == NamedByPath(
        id="0.flac",
        audio=f"{path}#row=0",
        reference="text 0",
        language="de",
        metadata={"": "unnamed", "speaker": "3", "tags": '["a"]'},
        line=1,
    )
    assert (second.id, second.audio, second.offset_s, second.duration_s) == (
        "1.flac#t=1.5,3.5",
        f"{path}#row=1",
        1.5,
        2.0,
    )
    assert third.metadata == {"": "unnamed", "speaker": "4"}


@pytest.mark.parametrize(
    ("columns", "reference", "kept"),
    [
        ({"sentence": ["s"], "transcript": ["t"]}, "s", {"transcript": "t"}),
        ({"transcript": ["t"]}, "t", {}),
        ({"transcription": ["n"], "sentence": [["no", "text"]]}, "n", {"sentence": '["no","text"]'}),
        ({"text": ["x"], "sentence": ["s"]}, "x", {"sentence": "s"}),
        ({"reference": ["r"], "text": ["x"]}, "r", {"text": "x"}),
        ({"label": [1]}, None, {"label": "1"}),
    ],
)
def test_the_reference_is_the_first_column_there_is(
    tmp_path: Path, columns: dict[str, Any], reference: str | None, kept: dict[str, str]
) -> None:
    pq.write_table(pa.table({"audio": [{"bytes": b"1", "path": "a.flac"}]} | columns), tmp_path / "x.parquet")
    (row,) = rows_of(tmp_path / "x.parquet")
    assert (row.reference, row.metadata) == (reference, kept)


def test_a_column_of_another_name_is_known_by_the_features(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "x.parquet", few(2), column="speech")
    assert [row.audio for row in rows_of(path)] == [f"{path}#row=0", f"{path}#row=1"]
    plain = pq.read_table(path).replace_schema_metadata(None)
    pq.write_table(plain, path)
    with pytest.raises(ManifestError, match="there is no column `audio`"):
        rows_of(path)


def test_rows_are_named_by_id_then_by_path_then_by_number(tmp_path: Path) -> None:
    names = ["a.wav", "a.wav", None, " b ", "c\nd", "", "a.wav"]
    rows = [Row(name, b"1") for name in names]
    path = write_rows(tmp_path / "x.parquet", rows)
    assert ids(path) == ["a.wav", "x.parquet#row=1", "x.parquet#row=2", "b", *(f"x.parquet#row={n}" for n in (4, 5, 6))]
    with_ids = write_rows(tmp_path / "y.parquet", rows, more={"id": [3, 1, 4, 1, 5, 9, 2]})
    assert ids(with_ids) == ["3", "1", "4", "1", "5", "9", "2"]


def test_recordings_without_a_path(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    for more in ({}, {"text": ["a", "b"]}):
        pq.write_table(pa.table({"audio": [{"bytes": b"1"}, {"bytes": b"2"}]} | more), path)
        rows = rows_of(path)
        assert [(row.id, row.audio) for row in rows] == [(f"x.parquet#row={n}", f"{path}#row={n}") for n in range(2)]


def test_without_bytes_the_path_is_the_recording(tmp_path: Path) -> None:
    rows = [Row("sub/a.wav", None), Row("b.wav", b"1"), Row("/c.wav", None), Row(None, None)]
    for group_rows in (1, 4):
        path = write_rows(tmp_path / "x.parquet", rows, group_rows)
        found = [*read_manifest(str(path))]
        assert bad(found) == [(4, "`audio` is empty; name the recording's file.")]
        assert [(row.id, row.audio) for row in found if isinstance(row, Utterance)] == [
            ("sub/a.wav", f"{tmp_path}/sub/a.wav"),
            ("b.wav", f"{path}#row=1"),
            ("/c.wav", "/c.wav"),
        ]


def test_audio_is_not_read(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "x.parquet", [row._replace(audio=random.randbytes(200)) for row in few(5)])
    chunk = pq.read_metadata(path).row_group(0).column(0)
    assert chunk.path_in_schema == "audio.bytes"
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"."):
        pq.read_table(path, columns=["audio.bytes"])
    assert ids(path) == [f"{n}.flac" for n in range(5)]


@settings(max_examples=15, deadline=None)
@given(count=st.integers(0, 60), group_rows=st.integers(1, 20), seed=st.integers(0, 1000))
def test_each_row_has_its_own_audio(
    tmp_path_factory: pytest.TempPathFactory, count: int, group_rows: int, seed: int
) -> None:
    chance = random.Random(seed)
    rows = [Row(chance.choice([None, f"{n}.wav"]), chance.randbytes(n), f"text {n}") for n in range(count)]
    path = write_rows(tmp_path_factory.mktemp("rows") / "x.parquet", rows, group_rows)
    found = rows_of(path)
    assert [row.reference for row in found] == [row.text for row in rows]
    with Sources() as sources:
        for row, wanted in zip(found, rows, strict=True):
            with (path.parent / "copy").open("wb", buffering=0) as file:
                sources.fetch(row.audio, file, 1 << 20)
            assert (path.parent / "copy").read_bytes() == wanted.audio


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 30), kind=st.sampled_from(["cut", "flip", "zeros", "footer"]))
def test_a_damaged_file_is_an_error_of_the_manifest(
    tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str
) -> None:
    chance = random.Random(seed)
    more = {"id": [str(n) for n in range(12)], "speaker": [n % 3 for n in range(12)], "tags": [["a"]] * 12}
    path = write_rows(tmp_path_factory.mktemp("rows") / "x.parquet", few(12), 5, more=more)
    path.write_bytes(damaged(path.read_bytes(), kind, chance))
    error = None
    try:
        found = [*read_manifest(str(path))]
    except ManifestError as raised:
        error = str(raised)
    assert error is None or error.startswith(str(path)), error
    assert error is not None or len(found) <= 12


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"offset_s": ["1"]}, "x.parquet: column `offset_s` is string; it must be numbers"),
        ({"language": [1]}, "x.parquet: column `language` is int64; it must be text"),
    ],
)
def test_known_columns_have_their_types(tmp_path: Path, more: dict[str, Any], words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        rows_of(write_rows(tmp_path / "x.parquet", few(1), more=more))


# -- a folder of shards ------------------------------------------------------------------------------------------------


def test_shards_are_one_manifest_in_their_order(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        write_rows(tmp_path / f"data/train-{number:05d}-of-00003.parquet", few(4, 4 * number), 3)
    (tmp_path / "README.md").touch()
    ignored = Ignored()
    rows = rows_of(tmp_path, ignored=ignored)
    assert [row.id for row in rows] == [f"{n}.flac" for n in range(12)]
    assert rows[5] == NamedByPath(
        id="5.flac", audio=f"{tmp_path}/data/train-00001-of-00003.parquet#row=1", reference="text 5"
    )
    assert str(ignored) == "ignored 1 file: .md 1"
    assert [row.id for row in rows_of(tmp_path / "data")] == [row.id for row in rows]


def test_splits_and_configurations_are_metadata_where_there_are_several(tmp_path: Path) -> None:
    write_rows(tmp_path / "data/train-00000-of-00001.parquet", [Row(None, b"1")])
    assert [(row.id, row.metadata) for row in rows_of(tmp_path)] == [("train-00000-of-00001.parquet#row=0", {})]
    write_rows(tmp_path / "data/test-00000-of-00001-0123456789abcdef.parquet", [Row("t.wav", b"2")])
    write_rows(tmp_path / "fr/train-00000.parquet", [Row(None, b"3")], more={"split": ["own"]})
    write_rows(tmp_path / "other.parquet", [Row("no.wav", b"4")])
    assert [(row.id, row.metadata) for row in rows_of(tmp_path)] == [
        ("t.wav", {"split": "test"}),
        ("train-00000-of-00001.parquet#row=0", {"split": "train"}),
        ("fr/train-00000.parquet#row=0", {"config": "fr", "split": "own"}),
    ]
    assert [row.id for row in rows_of(tmp_path, exclude=["fr/", "data/test-*"])] == [
        "train-00000-of-00001.parquet#row=0"
    ]


def test_plain_files_in_a_folder(tmp_path: Path) -> None:
    write_rows(tmp_path / "b.parquet", [Row("b.wav", b"1")])
    write_rows(tmp_path / "a.parquet", [Row("a.wav", b"1")])
    write_rows(tmp_path / "below/c.parquet", [Row("c.wav", b"1")])
    assert ids(tmp_path) == ["a.wav", "b.wav"]


def test_a_folder_with_recordings_stays_what_it_is(tmp_path: Path) -> None:
    write_rows(tmp_path / "data/train-00000-of-00001.parquet", few(2))
    fill(tmp_path, "z/deep/a.wav")
    assert ids(tmp_path) == ["z/deep/a.wav"]


def test_a_folder_of_other_tables_has_no_audio(tmp_path: Path) -> None:
    pq.write_table(pa.table({"audio": ["x.wav"], "text": ["an output of ours"]}), tmp_path / "errors.parquet")
    (tmp_path / "damaged.parquet").write_text("damaged")
    with pytest.raises(EmptyFolder, match=r"no audio below this folder \(ignored 2 files: .parquet 2\)"):
        rows_of(tmp_path)


def test_a_shard_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for number in (0, 2):
        write_rows(folder / f"train-{number:05d}-of-00003.parquet", few(4, 4 * number))
    warnings: list[str] = []
    assert len(rows_of(tmp_path, warn=warnings.append)) == 8
    assert warnings == [f"{tmp_path}: only 2 of the 3 files of train are there"]
    damaged = folder / "train-00001-of-00003.parquet"
    damaged.write_bytes(b"PAR1 damaged")
    found = read_manifest(str(tmp_path))
    assert [next(found).id for _ in range(4)] == [f"{n}.flac" for n in range(4)]
    with pytest.raises(ManifestError, match=r"train-00001-of-00003\.parquet: not readable as Parquet: .*; write or"):
        next(found)
    pq.write_table(pa.table({"audio": ["x.wav"]}), damaged)
    with pytest.raises(ManifestError, match=r"data/train-00001-of-00003\.parquet has no column of recordings"):
        rows_of(tmp_path)


def test_a_bad_row_of_a_shard_is_named(tmp_path: Path) -> None:
    write_rows(tmp_path / "data/train-00000-of-00001.parquet", few(3), more={"offset_s": [0.0, -1.0, 0.0]})
    rows = [*read_manifest(str(tmp_path))]
    assert [str(row) for row in rows if isinstance(row, BadRow)] == [
        f"{tmp_path}: data/train-00000-of-00001.parquet: row 2: `offset_s` is -1.0; it must be 0 or more."
    ]


@pytest.mark.slow
def test_what_datasets_writes(tmp_path: Path) -> None:
    rows = few(250)
    write_shards(tmp_path, rows, 3, speaker=[n % 7 for n in range(250)], tags=[["a", str(n)] for n in range(250)])
    found = rows_of(tmp_path)
    assert [(row.id, row.reference) for row in found] == [(row.path, row.text) for row in rows]
    assert found[9].metadata == {"speaker": "2", "tags": '["a","9"]'}
    with Sources() as sources:
        for row, wanted in zip(found, rows, strict=True):
            with (tmp_path / "copy").open("wb", buffering=0) as file:
                sources.fetch(row.audio, file, 1 << 20)
            assert (tmp_path / "copy").read_bytes() == wanted.audio


# -- AudioFolder -------------------------------------------------------------------------------------------------------


def test_metadata_says_more_of_the_recordings_of_a_folder(tmp_path: Path) -> None:
    fill(tmp_path, "b.wav", "a.wav", "sub/c.wav", "notes.txt")
    assert ids(tmp_path) == ["a.wav", "b.wav", "sub/c.wav"]
    (tmp_path / "metadata.csv").write_text(
        "file_name,transcription,who\nsub/c.wav,see,Ann\n./b.wav,bee,Bo\ngone.wav,,\n"
    )
    ignored = Ignored()
    rows = rows_of(tmp_path, ignored=ignored)
    assert rows == [
        NamedByPath(id="sub/c.wav", audio=f"{tmp_path}/sub/c.wav", reference="see", metadata={"who": "Ann"}),
        NamedByPath(id="b.wav", audio=f"{tmp_path}/b.wav", reference="bee", metadata={"who": "Bo"}),
        NamedByPath(id="gone.wav", audio=f"{tmp_path}/gone.wav", metadata={"who": ""}),
        NamedByPath(id="a.wav", audio=f"{tmp_path}/a.wav"),  # not named: as without metadata
    ]
    assert str(ignored) == "ignored 1 file: .txt 1"


FILES = st.sampled_from(["a.wav", "b.wav", "sub/a.wav", "sub/b.wav", "sub/deep/a.wav", "other/a.wav", "gone.wav"])


@settings(max_examples=40, deadline=None)
@given(
    st.sets(FILES, min_size=1),
    st.dictionaries(st.sampled_from(["", "sub/", "sub/deep/"]), st.lists(FILES, unique=True), max_size=3),
)
def test_metadata_takes_no_recording_away_and_doubles_none(
    tmp_path_factory: pytest.TempPathFactory, files: set[str], tables: dict[str, list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("folder")
    fill(folder, *files)
    before = {row.id: row.audio for row in rows_of(folder)}
    for prefix, names in tables.items():
        (folder / prefix).mkdir(parents=True, exist_ok=True)
        (folder / prefix / "metadata.csv").write_text("".join(f"{name}\n" for name in ["file_name", *names]))
    after = rows_of(folder)
    assert len({row.id for row in after}) == len(after)
    assert before.items() <= {row.id: row.audio for row in after}.items()
    assert all(row.audio == f"{folder}/{row.id}" for row in after)
    named = {prefix + name for prefix, names in tables.items() for name in names}
    assert {row.id for row in after} == before.keys() | named
    if tables.get(""):
        assert [row.id for row in after][: len(tables[""])] == tables[""]


def test_metadata_of_folders_below(tmp_path: Path) -> None:
    fill(tmp_path, "train/a.wav", "train/b.wav", "test/a.wav")
    for name, rows in (("train", ["b.wav", "a.wav"]), ("test", ["a.wav"])):
        lines = [json.dumps({"file_name": row, "text": f"{name} {row}"}) for row in rows]
        (tmp_path / name / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    wanted = [("test/a.wav", "test a.wav"), ("train/b.wav", "train b.wav"), ("train/a.wav", "train a.wav")]
    assert [(row.id, row.reference) for row in rows_of(tmp_path)] == wanted
    # what is named above is not named again below
    pq.write_table(pa.table({"file_name": ["train/a.wav"], "sentence": ["above"]}), tmp_path / "metadata.parquet")
    assert [(row.id, row.reference) for row in rows_of(tmp_path)] == [("train/a.wav", "above"), *wanted[:2]]


def test_ids_and_spans_of_metadata(tmp_path: Path) -> None:
    fill(tmp_path, "sub/a.wav", "b.wav")
    (tmp_path / "sub" / "metadata.csv").write_text(
        "file_name,id,offset_s,duration_s\na.wav,,1,2\na.wav,,3,\na.wav,own,,\n../b.wav,,,\n"
    )
    rows = [*read_manifest(str(tmp_path))]
    (problem,) = bad(rows)
    assert problem[1].startswith(f"sub/metadata.csv:5: {tmp_path}/b.wav is not below the folder of this file; name")
    assert [(row.id, row.audio) for row in rows if isinstance(row, Utterance)] == [
        ("b.wav", f"{tmp_path}/b.wav"),
        ("sub/a.wav#t=1,3", f"{tmp_path}/sub/a.wav"),
        ("sub/a.wav#t=3", f"{tmp_path}/sub/a.wav"),
        ("own", f"{tmp_path}/sub/a.wav"),
    ]


def test_a_search_chooses_among_the_rows_of_metadata(tmp_path: Path) -> None:
    fill(tmp_path, "a.wav", "b.wav", "c.mp3")
    (tmp_path / "metadata.csv").write_text("file_name,text\nc.mp3,see\na.wav,ay\n")
    assert [row.id for row in rows_of(tmp_path, include=["*.wav"])] == ["a.wav", "b.wav"]
    assert [(row.id, row.reference) for row in rows_of(tmp_path / "[ac].*")] == [("c.mp3", "see"), ("a.wav", "ay")]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "audio,file_name\nx.wav,y.wav\n",
        "LJ001-0001|Printing|printing\n",
        "path,text\na.wav,x\n",
        "\0\xff",
        '{"a": 1}\n',
    ],
)
@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_other_tables_of_that_name_are_ignored_as_before(tmp_path: Path, name: str, content: str) -> None:
    fill(tmp_path, "a.wav")
    (tmp_path / name).write_text(content, "latin-1")
    ignored = Ignored()
    assert [row.id for row in rows_of(tmp_path, ignored=ignored)] == ["a.wav"]
    assert ignored.files.total() == 1


def test_problems_of_metadata_name_their_line(tmp_path: Path) -> None:
    fill(tmp_path, "train/a.wav")
    (tmp_path / "train" / "metadata.csv").write_text("file_name,offset_s\na.wav,x\n,1\n")
    rows = [*read_manifest(str(tmp_path))]
    assert [str(row) for row in rows if isinstance(row, BadRow)] == [
        f"{tmp_path}: train/metadata.csv:2: `offset_s` is 'x'; it must be a number of seconds, such as 12.5.",
        f"{tmp_path}: train/metadata.csv:3: `audio` is empty; name the recording's file.",
    ]
    assert [row.id for row in rows if isinstance(row, Utterance)] == ["train/a.wav"]


def test_the_metadata_is_a_manifest_itself(tmp_path: Path) -> None:
    fill(tmp_path, "a.wav", "b.wav")
    for name, content in (
        ("metadata.csv", "file_name;transcription\nb.wav;bee\n"),
        ("metadata.jsonl", '{"file_name": "b.wav", "transcription": "bee"}\n'),
    ):
        (tmp_path / name).write_text(content)
        assert rows_of(tmp_path / name) == [
            NamedByPath(id="b.wav", audio=f"{tmp_path}/b.wav", reference="bee", line=2 if name.endswith("csv") else 1)
        ]
