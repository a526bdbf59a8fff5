"""Which kind of manifest a name stands for, and what is said about names that stand for none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import ManifestError
from tests.manifest.reading import good, read_manifest

SAMPLE = Path(__file__).parents[2] / "manifests"


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_the_sample_manifests_name_recordings_that_exist(kind: str) -> None:
    rows = good(list(read_manifest(str(SAMPLE / f"sample.{kind}"))))
    assert len(rows) == 14
    assert all(Path(row.audio).is_file() and row.reference and row.language == "en" for row in rows)
    assert all(set(row.metadata) == {"speaker", "topic"} and row.duration_s is None for row in rows)


def test_the_sample_manifests_say_the_same() -> None:
    table = good(list(read_manifest(str(SAMPLE / "sample.csv"))))
    lines = good(list(read_manifest(str(SAMPLE / "sample.jsonl"))))
    assert [(row.id, row.audio, row.reference) for row in table] == [
        (row.id, row.audio, row.reference) for row in lines
    ]
    assert sorted(row.audio for row in table) == sorted(
        row.audio for row in good(list(read_manifest(str(SAMPLE / "sample"))))
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("m.txt", "not a known kind"),
        ("m.parquet.gz", "unpack it first"),
        (".gz", "the extension decides"),
        ("m.xlsx", "save the sheet as CSV"),
        ("manifest", "the extension decides"),
    ],
)
def test_a_file_of_no_known_kind_is_an_error(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(ManifestError) as caught:
        read_manifest(str(tmp_path / name))
    assert words in str(caught.value)
    assert ".jsonl" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("ftp://host/m.csv", "no address that can be read"),
        ("http://host/m.csv", "is not encrypted"),
        ("https://host/calls/", "a web server cannot be listed"),
        ("https://host/export?format=.csv", "the extension decides"),
        ("https://me:pa55@host/m.csv", "user name or password"),
        ("s3://bucket/m.xlsx", "save the sheet as CSV"),
        ("s3://bucket/lists/*.csv", "named one by one"),
        ("s3://*/a.wav", "a glob needs a bucket"),
        ("s3://bucket/a\0", "holds control characters"),
        ("no/such/m.csv", "there is no such file or folder"),
        ("", "cannot name a manifest"),
        ("a\0b.csv", "cannot name a manifest"),
        ("a\udce9.csv", "cannot name a manifest"),
        ("x" * 300 + ".csv", "name too long"),
    ],
)
def test_a_source_that_is_not_there_is_an_error_at_once(source: str, words: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read_manifest(source)
    assert words in str(caught.value) or words in str(caught.value).lower()
    str(caught.value).encode()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.csv").touch(mode=0)
    with pytest.raises(ManifestError, match="Permission denied"):
        list(read_manifest(str(tmp_path / "m.csv")))


def test_a_file_is_closed_when_no_more_rows_are_wanted(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("audio\nx.wav\ny.wav\n")
    rows = read_manifest(str(tmp_path / "m.csv"))
    next(rows)
    del rows  # an open file would be a ResourceWarning, which the test settings make an error
