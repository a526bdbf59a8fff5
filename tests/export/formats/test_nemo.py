"""NeMo's manifest, read as NeMo's documentation has it, and as our own manifests are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.export.formats.nemo import Nemo
from pipeline.model import Transcript
from tests.export.formats.rows import exported, many, row_of
from tests.manifest.reading import good, rows_of


@settings(max_examples=20)
@given(many())
def test_each_row_is_an_object_in_one_line(rows: list[Transcript]) -> None:
    [data] = exported(Nemo(), rows)
    assert data.endswith(b"\n")
    lines = data.split(b"\n")[:-1]
    for line, row in zip(lines, rows, strict=True):
        read = json.loads(line)
        assert [*read][:3] == ["audio_filepath", "offset", "duration"]
        assert (read["audio_filepath"], read["offset"], read["duration"]) == (row.audio, row.offset_s, row.duration_s)
        assert read["pred_text"] == row.text
        assert read.get("text") == row.reference
        assert ("text" in read) == (row.reference is not None)
        assert read.get("channel") == row.channel
        assert read["id"] == row.id


@settings(max_examples=20)
@given(many(ids=st.sampled_from(["a", "b c", "\u00e9"])))
def test_it_is_a_manifest_of_ours(tmp_path_factory: pytest.TempPathFactory, rows: list[Transcript]) -> None:
    [data] = exported(Nemo(), rows)
    found = good(rows_of(tmp_path_factory.mktemp("nemo") / "manifest.jsonl", data))
    assert [(one.id, one.audio, one.reference, one.channel) for one in found] == [
        (row.id, row.audio, row.reference, row.channel) for row in rows
    ]


def test_a_row_of_any_language_names_none() -> None:
    for language, wanted in (("en", "en"), ("any", None), (None, None)):
        [data] = exported(Nemo(), [row_of("a", language=language)])
        assert json.loads(data).get("lang") == wanted
