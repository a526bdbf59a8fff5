"""Hugging Face `datasets` loads an output: as a folder by its card, and by its files."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from pipeline.model import Transcript
from pipeline.sink.features import card_entries, features_of
from pipeline.sink.schema import ATTEMPTS, ERRORS, TRANSCRIPTS
from tests.readers.conftest import Load
from tests.readers.outputs import FORMS, as_loaded, attempts, failures, full, night, plain, write_output

ROWS = list(night(60, 20))
KINDS = ("failed-1", ROWS[3].id)


@pytest.fixture(params=FORMS, ids="+".join)
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_output(
        tmp_path / "out",
        ROWS,
        failures(*KINDS),
        attempts("a", "b", "c"),
        formats=request.param,
        rows_per_part=25,
    )


def check_rows(found: Collection[dict[str, Any]], rows: Collection[Transcript]) -> None:
    assert len(found) == len(rows)
    for one, row in zip(found, rows, strict=True):
        if isinstance(one["metadata"], str):
            one = one | {"metadata": json.loads(one["metadata"])}
        assert one == as_loaded(row)


@pytest.mark.parametrize("streaming", [False, True], ids=["loaded", "streamed"])
def test_the_folder_is_its_transcripts(out: Path, load_dataset: Load, streaming: bool) -> None:
    check_rows(list(load_dataset(str(out), streaming=streaming)), ROWS)


@pytest.mark.parametrize("streaming", [False, True], ids=["loaded", "streamed"])
def test_errors_and_attempts_are_tables_of_their_own(out: Path, load_dataset: Load, streaming: bool) -> None:
    assert [row["id"] for row in load_dataset(str(out), "errors", streaming=streaming)] == list(KINDS)
    if (out / "transcripts").exists():
        found = load_dataset(str(out), "attempts", streaming=streaming)
    else:  # a folder is read in one format: these are found by their path
        found = load_dataset("parquet", data_files=str(out / "attempts/part-*.parquet"), streaming=streaming)
    assert [(row["id"], row["billed"]) for row in found] == [("a", "yes"), ("b", "yes"), ("c", "maybe")]


@pytest.mark.parametrize("streaming", [False, True], ids=["loaded", "streamed"])
def test_the_audio_is_there_without_a_decoder(out: Path, load_dataset: Load, streaming: bool) -> None:
    from datasets import Audio

    loaded = load_dataset(str(out), streaming=streaming).cast_column("audio", Audio(decode=False))
    assert [row["audio"]["path"] for row in loaded] == [row.audio for row in ROWS]
    assert not {"torch", "torchcodec"} & set(sys.modules)


def test_parquet_files_load_without_the_card(tmp_path: Path, load_dataset: Load) -> None:
    out = write_output(tmp_path / "out", ROWS, rows_per_part=25)
    (out / "README.md").unlink()
    for streaming in (False, True):
        loaded = load_dataset("parquet", data_files=str(out / "transcripts/*.parquet"), streaming=streaming)
        check_rows(list(loaded), ROWS)


@pytest.mark.parametrize("formats", FORMS, ids="+".join)
def test_a_table_without_a_file_hinders_no_other(tmp_path: Path, load_dataset: Load, formats: tuple[str, ...]) -> None:
    out = write_output(tmp_path / "transcripts-alone", ROWS, formats=formats)
    check_rows(list(load_dataset(str(out))), ROWS)
    out = write_output(tmp_path / "errors-alone", (), failures(*KINDS), formats=formats)
    assert [row["id"] for row in load_dataset(str(out), "errors")] == list(KINDS)


@pytest.mark.parametrize("formats", FORMS, ids="+".join)
def test_no_errors_are_an_empty_stream(tmp_path: Path, load_dataset: Load, formats: tuple[str, ...]) -> None:
    out = write_output(tmp_path / "out", ROWS, formats=formats)
    assert list(load_dataset(str(out), "errors", streaming=True)) == []
    with pytest.raises(ValueError, match="no data"):  # of `datasets`, for no rows of any kind; output.md tells
        load_dataset(str(out), "errors")


@pytest.mark.parametrize("formats", FORMS, ids="+".join)
def test_what_is_added_is_found_when_loaded_again(tmp_path: Path, load_dataset: Load, formats: tuple[str, ...]) -> None:
    out = write_output(tmp_path / "out", ROWS[:10], formats=formats)
    assert len(load_dataset(str(out))) == 10
    write_output(out, ROWS, formats=formats)
    assert len(load_dataset(str(out))) == len(ROWS)


def test_an_output_of_the_same_name_is_another_one(tmp_path: Path, load_dataset: Load) -> None:
    counts = {write_output(tmp_path / place / "out", ROWS[:count]): count for place, count in (("a", 10), ("b", 30))}
    assert {out: len(load_dataset(str(out))) for out in counts} == counts


def test_types_do_not_depend_on_the_first_rows(tmp_path: Path, load_dataset: Load) -> None:
    """Neither on the formats, but for metadata, which JSON Lines have as an object."""
    rows = [plain("bare"), full(1)]
    parquet = load_dataset(str(write_output(tmp_path / "p", rows)))
    lines = load_dataset(str(write_output(tmp_path / "l", rows, formats=("jsonl",))))
    kinds, of_lines = parquet.features.to_dict(), lines.features.to_dict()
    assert (kinds.pop("metadata")["_type"], of_lines.pop("metadata")["_type"]) == ("Value", "Json")
    assert kinds == of_lines


@pytest.mark.parametrize("schema", [TRANSCRIPTS, ERRORS, ATTEMPTS], ids=["transcripts", "errors", "attempts"])
@pytest.mark.usefixtures("_hugging_face")
def test_the_features_are_those_of_the_library(schema: Any) -> None:
    from datasets import Features, Json

    inferred = Features.from_arrow_schema(schema.remove_metadata())
    assert Features.from_arrow_schema(schema) == inferred
    assert json.loads(schema.metadata[b"huggingface"]) == {"info": {"features": features_of(schema)}}
    assert Features.from_dict(features_of(schema)).arrow_schema == inferred.arrow_schema
    if "metadata" in inferred:
        inferred["metadata"] = Json()
    assert Features._from_yaml_list(card_entries(schema)) == inferred
