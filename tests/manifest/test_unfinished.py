"""A manifest that is perhaps still being written is told; its rows are used as they are."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tests.manifest.reading import read_manifest


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("m.csv", "audio\na.wav\nb.wav", 3),
        ("m.tsv", "audio\tid\r\na.wav\t1\r\nb.wav\t2", 3),
        ("m.jsonl", '{"audio": "a.wav"}\n\n{"audio": "b.wav"}', 3),
    ],
)
def test_a_last_line_without_an_end_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, text: str, line: int
) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert len(list(read_manifest(str(path)))) == 2
    assert [one.getMessage() for one in caplog.records] == [
        f"{path}:{line}: the last line does not end with a newline: is the manifest still being written? It is read as "
        "it stands; run again once it is whole, or end it with a newline"
    ]
    caplog.clear()
    for end in (b"\n", b"\r\n", b"\r", b"\n "):
        path.write_bytes(text.encode() + end)
        assert len(list(read_manifest(str(path)))) == 2
    assert not caplog.records


def test_a_last_line_without_an_end_is_told_on_stdin_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"audio": "a.wav"}\n{"audio": "b.wav"}')))
    assert len(list(read_manifest("-"))) == 2
    [told] = [one.getMessage() for one in caplog.records]
    assert told.startswith("stdin:2: the last line does not end with a newline: ")


def test_a_manifest_that_grows_while_it_is_read_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "m.csv"
    path.write_text("audio\na.wav\n")
    rows = read_manifest(str(path))
    next(rows)
    with path.open("a") as file:
        file.write("b.wav\nc.wa")
    assert len(list(rows)) <= 2
    assert [one.getMessage() for one in caplog.records][-1:] == [
        f"{path} changed while it was read: rows may be missing or cut; run again once it is written"
    ]
