"""Hugging Face data sets: what `datasets` loads from shards, and the names of splits."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.export.formats import hub
from pipeline.export.formats.hub import AudioBytes, HubRow, row_groups, shard_name, table_of, writer_options
from pipeline.export.formats.hub_card import CARD, STATE, card, state
from pipeline.export.formats.hub_splits import MOST_SPLITS, UNASSIGNED, Splits, split_name
from pipeline.model import Transcript
from tests.readers.conftest import Load
from tests.readers.outputs import as_loaded, night
from tests.records import transcript

SAMPLE = Path("manifests/sample")
RECORDINGS = [SAMPLE / name for name in ("rain-16k.wav", "answer.opus", "street.ogg", "bridge-24bit.wav")]
ROWS = list(night(40, 10))


def with_metadata(id_: str, **metadata: str) -> Transcript:
    return msgspec.structs.replace(transcript(id_), metadata=metadata)


def heard(row: Transcript) -> AudioBytes:
    path = RECORDINGS[sum(row.id.encode()) % len(RECORDINGS)]
    return AudioBytes(data=path.read_bytes(), name=path.name)


def tables(rows: Iterable[HubRow], *, with_audio: bool, at_once: int = 4) -> Iterator[pa.Table]:
    left = iter(rows)
    while some := list(islice(left, at_once)):
        yield table_of(some, with_audio=with_audio)


def write(folder: Path, splits: dict[str, Sequence[HubRow]], *, with_audio: bool, a_shard: int = 15) -> Path:
    """Writes a data set as an export does."""
    shards = []
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        for number, first in enumerate(range(0, max(1, len(rows)), a_shard)):
            name = shard_name(split, number)
            with pq.ParquetWriter(folder / name, **writer_options(with_audio=with_audio)) as writer:
                for table in row_groups(tables(rows[first : first + a_shard], with_audio=with_audio)):
                    writer.write_table(table, row_group_size=table.num_rows)
            shards.append((name, str((folder / name).stat().st_mtime_ns)))
    (folder / CARD).write_text(card(splits, with_audio=with_audio), "utf-8")
    (folder / STATE).write_text(state(splits, shards), "utf-8")
    return folder


def expected(row: Transcript) -> dict[str, Any]:
    return {name: value for name, value in as_loaded(row).items() if name in hub._COLUMNS}


def check(found: dict[str, Any], row: Transcript) -> None:
    assert {name: json.loads(value) if name == "metadata" else value for name, value in found.items()} == expected(row)


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True], ids=["loaded", "streamed"])
def test_a_data_set_with_audio_is_its_rows_and_their_samples(
    tmp_path: Path,
    load_dataset: Load,
    streaming: bool,
) -> None:
    from datasets import Audio

    out = write(tmp_path / "set", {"train": [(row, heard(row)) for row in ROWS]}, with_audio=True)
    loaded = load_dataset(str(out), streaming=streaming)
    assert loaded.features["audio"] == Audio()
    rows = list(loaded.cast_column("audio", Audio(decode=False)))
    for found, row in zip(rows, ROWS, strict=True):
        audio, wanted = found.pop("audio"), heard(row)
        assert (audio["bytes"], audio["path"]) == (wanted.data, wanted.name)
        assert soundfile.read(io.BytesIO(audio["bytes"]))[0].size
        check(found, row)
    assert "torchcodec" not in sys.modules


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True], ids=["loaded", "streamed"])
def test_a_data_set_without_audio_names_its_recordings(tmp_path: Path, load_dataset: Load, streaming: bool) -> None:
    from datasets import Audio

    rows = [msgspec.structs.replace(row, audio=str(RECORDINGS[0].resolve())) for row in ROWS]
    out = write(tmp_path / "set", {"train": [(row, None) for row in rows]}, with_audio=False)
    loaded = load_dataset(str(out), streaming=streaming)
    for found, row in zip(loaded, rows, strict=True):
        assert found.pop("audio_path") == row.audio
        check(found, row)
    if streaming:
        return  # needs torchcodec for texts
    heard_here = loaded.rename_column("audio_path", "audio").cast_column("audio", Audio(decode=False))
    assert next(iter(heard_here))["audio"]["path"] == rows[0].audio


SPLITS = [
    "train",
    "test.clean",
    "2024",
    "1.5",
    "no",
    "null",
    "_",
    "__x",
    "DEV",
    "caf\u00e9",
    "\u0442\u0435\u0441\u0442",
]


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True], ids=["loaded", "streamed"])
def test_each_split_has_its_rows_and_no_others(tmp_path: Path, load_dataset: Load, streaming: bool) -> None:
    splits = {name: [(transcript(f"{name}-{number}"), None) for number in range(3)] for name in SPLITS}
    out = write(tmp_path / "set", splits, with_audio=False, a_shard=2)
    loaded = load_dataset(str(out), split=None, streaming=streaming)
    found = {name: [row["id"] for row in rows] for name, rows in loaded.items()}
    assert found == {name: [f"{name}-{number}" for number in range(3)] for name in SPLITS}


@pytest.mark.slow
def test_what_was_added_is_loaded_although_the_card_is_the_same(tmp_path: Path, load_dataset: Load) -> None:
    rows = [(row, None) for row in ROWS]
    out = write(tmp_path / "set", {"train": rows[:20]}, with_audio=False)
    assert len(load_dataset(str(out))) == 20
    before = (out / CARD).read_text("utf-8")
    write(out, {"train": rows}, with_audio=False)
    assert (out / CARD).read_text("utf-8") == before
    assert len(load_dataset(str(out))) == len(rows)
    write(out, {"train": rows, "test": rows[:1]}, with_audio=False)
    (out / CARD).write_text(before + "Our own words.\n", "utf-8")
    assert len(load_dataset(str(out), split="test")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("with_audio", [True, False], ids=["audio", "text"])
def test_a_data_set_without_rows_streams_none(tmp_path: Path, load_dataset: Load, with_audio: bool) -> None:
    out = write(tmp_path / "set", {"train": []}, with_audio=with_audio)
    (out / CARD).write_text(card((), with_audio=with_audio), "utf-8")
    assert not list(load_dataset(str(out), streaming=True))
    with pytest.raises(ValueError, match=r"train.* no data"):  # `datasets` has no data sets without rows
        load_dataset(str(out))


def test_row_groups_end_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [4_000, 4_000, 4_000, 30_000, 0, 1, 1, 1, 1]
    rows = [(transcript(str(n)), AudioBytes(data=bytes(size), name="a.wav")) for n, size in enumerate(sizes)]
    monkeypatch.setattr(hub, "GROUP_BYTES", 10_000)
    monkeypatch.setattr(hub, "GROUP_ROWS", 4)
    groups = list(row_groups(tables(rows, with_audio=True, at_once=1)))
    assert [group.num_rows for group in groups] == [2, 1, 1, 4, 1]
    assert [id_ for group in groups for id_ in group["id"].to_pylist()] == [row.id for row, _ in rows]
    assert [len(one["bytes"]) for group in groups for one in group["audio"].to_pylist()] == sizes


def test_rows_are_taken_when_their_group_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "GROUP_ROWS", 2)
    rows = iter([(transcript(str(number)), None) for number in range(10)])
    next(row_groups(tables(rows, with_audio=False, at_once=1)))
    assert next(rows)[0].id == "3"  # the third did not fit


@pytest.mark.slow
def test_pandas_is_not_loaded_where_nobody_asked_for_it() -> None:
    script = """
import sys
from pipeline.export.formats.hub import AudioBytes, table_of
from tests.records import transcript
table = table_of([(transcript("a"), AudioBytes(data=b"abc", name="a.wav"))], with_audio=True)
assert table["audio"][0]["bytes"].as_py() == b"abc"
assert not {"pandas", "soundfile", "av"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@settings(max_examples=50)
@given(st.none() | st.text(max_size=200))
def test_each_name_is_one_that_datasets_takes(value: str | None) -> None:
    import re

    name = split_name(value)
    if name is not None:
        assert re.match(r"^\w+(\.\w+)*$", name)
        assert len(shard_name(name, 100_000)) == len(name) + len("data/-100000.parquet")
        assert "-" not in name
        assert split_name(name) == name


VALUES = ["a-b", "a.b", "A.B", "a b", "test", "Test ", "test", "", "unassigned", "all"]


def names_of(column: str, values: Sequence[str | None]) -> list[str]:
    """The splits of rows with these values."""
    splits = Splits(column)
    rows = [with_metadata(str(n), **({} if value is None else {column: value})) for n, value in enumerate(values)]
    return [splits.of(row) for row in rows]


@given(st.lists(st.none() | st.sampled_from(VALUES)))
def test_no_two_values_share_a_split(values: list[str | None]) -> None:
    try:
        names = names_of("part", values)
    except UsageError:
        return
    pairs = {(name.lower(), (value or "").strip()) for name, value in zip(names, values, strict=True)}
    assert len(pairs) == len({name for name, _ in pairs}) == len({value for _, value in pairs})


@pytest.mark.parametrize(
    ("value", "name"),
    [("test-clean", "test.clean"), ("dev", "dev"), (" train ", "train"), ("2024/05", "2024.05"), ("", UNASSIGNED)],
)
def test_values_as_people_write_them(value: str, name: str) -> None:
    assert Splits("set").of(with_metadata("a", set=value)) == name


def test_rows_without_a_value_and_columns_of_the_output() -> None:
    assert Splits(None).of(transcript("a")) == "train"
    assert Splits("set").of(transcript("a")) == UNASSIGNED
    assert Splits("language").of(transcript("a")) == "en"
    assert Splits("language").of(with_metadata("a", language="de")) == "de"
    assert Splits("channel").of(msgspec.structs.replace(transcript("a"), channel=1)) == "1"
    assert Splits("audio_hash").of(transcript("a")) == UNASSIGNED


@pytest.mark.parametrize(
    "values", [["test-a", "test.a"], ["Dev", "dev"], ["unassigned", ""], ["all"], ["???"], ["x" * 151]]
)
def test_what_gives_no_name_of_its_own_is_refused_in_any_order(values: list[str]) -> None:
    for order in (values, values[::-1]):
        with pytest.raises(UsageError, match=r"column set .*split"):
            names_of("set", order)


def test_a_column_of_ids_is_refused_and_one_that_nobody_has() -> None:
    speakers = [str(number) for number in range(MOST_SPLITS + 1)]
    assert names_of("speaker", speakers[1:]) == speakers[1:]
    with pytest.raises(UsageError, match="more than 100 values"):
        names_of("speaker", speakers)
    splits = Splits("spaeker")
    splits.check({})
    splits.of(with_metadata("a", speaker="anna"))
    with pytest.raises(UsageError, match="no row has a column spaeker"):
        splits.check({})
    splits.check({"bob": "bob"})
    splits.of(with_metadata("b", spaeker=""))
    splits.check({})


def test_values_of_rows_that_did_not_change_count_as_well() -> None:
    for others in ({"test.a": "test-a"}, {"Test.a": "Test a"}):
        splits = Splits("set")
        splits.of(with_metadata("a", set="test.a"))
        with pytest.raises(UsageError, match=r"would both be the split"):
            splits.check(others)
    splits = Splits("set")
    splits.of(with_metadata("a", set="test.a"))
    splits.check({"test.a": "test.a", UNASSIGNED: None})
    assert splits.values == {"test.a": "test.a", UNASSIGNED: None}


def test_the_card_is_yaml_that_names_each_split_as_text() -> None:
    front = yaml.safe_load(card(SPLITS, with_audio=True).split("---\n")[1])
    [config] = front["configs"]
    assert {one["split"] for one in config["data_files"]} == set(SPLITS)
    assert config["data_files"][0] == {"split": "train", "path": "data/train-*.parquet"}
    assert "license" not in front
    assert yaml.safe_load(state(SPLITS, []))["configs"] == front["configs"]


def test_the_state_differs_where_a_shard_does_and_not_by_their_order() -> None:
    shards = [("data/train-00000.parquet", "1"), ("data/train-00001.parquet", "1")]
    assert state(["train"], shards) == state(["train"], shards[::-1])
    assert (
        len({state(["train"], shards[:count]) for count in range(3)} | {state(["train"], [(shards[0][0], "2")])}) == 4
    )
