"""Keywords of a row: what is asked of the service for it, and what a changed one costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.batch import batch, jsonl_of, write_wav
from tests.servers import RunningServer


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    for n in range(3):
        write_wav(tmp_path / f"{n}.wav", seed=n)
    return tmp_path / "m.jsonl"


def write(manifest: Path, *keywords: Any) -> Path:
    rows = [{"audio": f"{n}.wav"} | ({} if words is None else {"keywords": words}) for n, words in enumerate(keywords)]
    manifest.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return manifest


def test_each_row_is_asked_for_with_its_keywords_and_sent_again_where_they_change(
    server: RunningServer, tmp_path: Path, out: Path, manifest: Path
) -> None:
    def run(*keywords: Any) -> int:
        before = server.stats()["requests"]
        config = ("--set", 'service.json_config.keywords={words = ["all"], boost = 2}')
        write(manifest, *keywords)
        told = batch("check", manifest, "--out", out, "--json", *config, server=server)
        assert batch("run", manifest, "--out", out, *config, server=server).exit == 0
        requests = int(server.stats()["requests"] - before)
        assert json.loads(told.stdout)["requests"] == requests
        return requests

    assert run(None, "Zürich, Gradium", ["Gradium"]) == 3
    assert run("", ["Gradium", "Zürich"], "Gradium") == 0, "they only stand otherwise"
    assert run("", ["Gradium", "Zürich", "Genf"], ["all"]) == 2
    assert run(None, "Genf Zürich;Gradium", None) == 0, "and what was configured is what the row had"
    assert [row["metadata"].get("keywords") for row in jsonl_of(out)] == [None, "Genf Zürich;Gradium", None]


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        (["two words"], "`keywords`: 'two words' is not one word"),
        ([f"w{n}" for n in range(501)], "`keywords`: give 1 to 500 words"),
        (["w" * 70_000], "`keywords`: they take 70,009 bytes of the request's address, of at most 7,000"),
        ([f"{n:09}" for n in range(500)], "`keywords`: they take 9,000 bytes"),
        ({"words": ["a"]}, "`keywords`: write words with commas between them, or a list"),
        ([1], "`keywords`: write words"),
    ],
)
def test_keywords_that_the_service_would_refuse_are_a_bad_row(manifest: Path, keywords: Any, words: str) -> None:
    result = batch("check", write(manifest, None, keywords))
    assert (result.exit, f"m.jsonl:2: {words}" in result.stderr) == (2, True), result.stderr
