"""JSONL manifests, NeMo's among them, from files and from stdin."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from pipeline.errors import ManifestError
from pipeline.model import BadRow, NamedByPath, Utterance
from tests.manifest.reading import bad, good, read_manifest, rows_of


def test_a_full_row_fills_every_field(tmp_path: Path) -> None:
    text = (
        '{"id": "a", "audio": "x.wav", "reference": "Hi", "language": "FR", "offset_s": 1, "duration_s": 2.5, '
        '"channel": 0, "topic": "t", "n": 3, "f": 0.5, "ok": true, "none": null, "deep": {"a": [1, "é"]}}\n'
    )
    assert rows_of(tmp_path / "m.jsonl", text) == [
        Utterance(
            id="a",
            audio=str(tmp_path / "x.wav"),
            reference="Hi",
            language="fr",
            offset_s=1.0,
            duration_s=2.5,
            channel=0,
            metadata={"topic": "t", "n": "3", "f": "0.5", "ok": "true", "deep": '{"a":[1,"é"]}'},
            line=1,
        )
    ]


def test_nemos_duration_is_a_span_only_with_an_offset(tmp_path: Path) -> None:
    text = (
        '{"audio_filepath": "x.wav", "text": "hi", "duration": 3.2}\n'
        '{"audio_filepath": "x.wav", "text": "ho", "duration": 3.2, "offset": 10}\n'
        '{"audio_filepath": "x.wav", "text": "", "duration_s": 3.2}\n'
        '{"audio_filepath": "x.wav", "duration": "unknown"}\n'
    )
    rows = good(rows_of(tmp_path / "train.json", text))
    assert [(row.id, row.duration_s, row.reference) for row in rows] == [
        ("x.wav", None, "hi"),
        ("x.wav#t=10,13.2", 3.2, "ho"),
        ("x.wav#t=0,3.2", 3.2, None),
        ("x.wav", None, None),
    ]
    assert all(row.metadata == {} for row in rows)


def test_blank_lines_crlf_and_a_byte_order_mark_are_taken(tmp_path: Path) -> None:
    rows = good(rows_of(tmp_path / "m.jsonl", '\ufeff{"audio": "x.wav"}\r\n\r\n  \n{"audio": "y.wav"}'))
    assert [(row.id, row.line) for row in rows] == [("x.wav", 1), ("y.wav", 4)]


def test_a_whole_number_serves_as_id(tmp_path: Path) -> None:
    (row,) = good(rows_of(tmp_path / "m.jsonl", '{"id": 17, "audio": "x.wav"}\n'))
    assert row.id == "17"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"audio": "é" oops}', "no JSON: expected ',' or '}' at column 15"),
        ('{"audio": "x.wav"', "ends early at column 18"),
        ('{"audio": "x.wav", "n": NaN}', "JSON has no NaN, write null"),
        ('{"audio": "\\ud800"}', "no JSON"),
        ('{"audio": "x.wav"} {"audio": "y.wav"}', "trailing characters at column 20"),
        ('["x.wav"]', "the line is a list; a row is an object"),
        ('"x.wav"', "the line is text"),
        ("[" * 100_000, "no JSON that can be read"),
        ('{"audio": "x\0.wav"}', "NUL byte (column 13)"),
        ('{"audio": "x\\u0000.wav"}', "NUL character"),
        ('{"audio": ["x.wav"]}', "`audio` is a list (['x.wav']); it must be text"),
        ('{"audio": null}', "`audio` is empty"),
        ('{"audio": " "}', "`audio` is empty"),
        ('{"Audio": "x.wav"}', "no `audio`; rename `Audio`"),
        ('{"wave": 1}', "the row has no `audio`, which names its recording; its other keys: `wave`"),
        ('{"id": true, "audio": "x.wav"}', "`id` is true or false"),
        ('{"audio": "x.wav", "language": 5}', "`language` is a number (5); it must be text"),
        ('{"audio": "x.wav", "offset_s": "5"}', "`offset_s` is text ('5'); it must be a number; write it without"),
        ('{"audio": "x.wav", "offset_s": -5}', "`offset_s` is -5; it must be 0 or more"),
        ('{"audio": "x.wav", "offset": 1, "duration": "2"}', "`duration` is text"),
        ('{"audio": "x.wav", "channel": true}', "`channel` is true or false"),
        ('{"audio": "x.wav", "channel": 0.5}', "`channel` is 0.5"),
        ('{"audio": "x.wav", "duration_s": 1' + "0" * 400 + ".0" + "}", "no JSON that can be read"),
    ],
)
def test_a_bad_row_is_named_and_the_others_come(tmp_path: Path, row: str, words: str) -> None:
    rows = rows_of(tmp_path / "m.jsonl", f'{{"audio": "a.wav"}}\n{row}\n{{"audio": "b.wav"}}\n')
    assert [type(found) for found in rows] == [NamedByPath, BadRow, NamedByPath]
    ((line, message),) = bad(rows)
    assert line == 2
    assert words in message
    assert message.isprintable()


def test_a_bad_row_keeps_its_id(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path / "m.jsonl", '{"id": "call-7", "audio": "x.wav", "channel": "left"}\n')
    assert isinstance(row, BadRow)
    assert row.id == "call-7"


def test_a_line_without_bound_is_cut_short(tmp_path: Path) -> None:
    content = b'{"audio": "' + b"a" * 11_000_000 + b'"}\n{"audio": "y.wav"}\n'
    rows = rows_of(tmp_path / "m.jsonl", content)
    assert [(row.line, type(row)) for row in rows] == [(1, BadRow), (2, NamedByPath)]
    assert "longer than 10 MB" in bad(rows)[0][1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'[\n  {"audio": "x.wav"}\n]\n', "one JSON document"),
        (b'{\n  "audio": "x.wav"\n}\n', "one JSON document"),
        (b'[{"audio": "x.wav"}]\n', "one JSON document"),
        ('{"audio": "é"}\n'.encode("latin-1"), "m.jsonl:1: byte 12 of the line (0xe9) is not UTF-8"),
        ('{"audio": "é", oops}\n'.encode("latin-1"), "m.jsonl:1: byte 12 of the line (0xe9) is not UTF-8"),
        ('{"audio": "x"}\n'.encode("utf-16"), "UTF-16"),
    ],
)
def test_a_manifest_that_cannot_be_read_as_a_whole_is_an_error(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ManifestError) as caught:
        rows_of(tmp_path / "m.jsonl", content)
    assert words in str(caught.value)


def stdin_of(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_a_dash_reads_jsonl_from_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stdin_of(monkeypatch, b'{"audio": "x.wav"}\noops\n')
    first, second = read_manifest("-")
    assert first == NamedByPath(id="x.wav", audio=str(tmp_path / "x.wav"), line=1)
    assert str(second).startswith("stdin:2: no JSON")


def test_without_a_stdin_a_dash_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ManifestError, match="no stdin"):
        read_manifest("-")


def test_rows_of_a_pipe_come_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        os.write(writing, b'{"audio": "x.wav"}\n')
        rows = read_manifest("-")
        assert isinstance(next(rows), Utterance)  # the writer has not closed its end yet
        os.close(writing)
        assert list(rows) == []
