"""A corpus through each form of the service's texts: a word in each, several, punctuation alone, ends or none."""

from __future__ import annotations

import csv
import json
import wave
from pathlib import Path
from typing import Any

import pytest

import gradium_batch as gb
from tests.batch import batch, jsonl_of, table_of, write_wav
from tests.server.sentences import RECOGNIZER, WORD_S, sentence
from tests.servers import start_server

SECONDS = [0.2, 1, 2.5, 4, 6, 20]
"""Of the recordings: the first has no words, the last is several clips."""
LONGEST_S = 8


def corpus(folder: Path) -> Path:
    """A manifest with references, which differ from what is recognized in a word or in punctuation and case alone."""
    rows = []
    for seed, seconds in enumerate(SECONDS):
        path = folder / f"{seed}.wav"
        write_wav(path, seed, seconds)
        with wave.open(str(path)) as file:
            said = sentence(file.readframes(file.getnframes()), seconds)
        changed = ["other", *said[1:]] if seed % 2 else [word.strip(",;").upper() for word in said]
        rows.append({"id": f"r{seed}", "audio": path.name, "reference": " ".join(changed)})
    manifest = folder / "corpus.csv"
    with manifest.open("w", newline="", encoding="utf-8") as text:
        writer = csv.DictWriter(text, ["id", "audio", "reference"])
        writer.writeheader()
        writer.writerows(rows)
    return manifest


def transcribed(manifest: Path, out: Path, **options: Any) -> list[dict[str, Any]]:
    with start_server(recognizer=RECOGNIZER, **options) as server:
        asked = ("--set", f"audio.max_clip_s={LONGEST_S}", "--set", "service.language=en")
        done = batch("run", manifest, *asked, "--out", out, server=server)
    assert done.exit == 0, done.stderr
    return sorted(table_of(out).to_pylist(), key=lambda row: str(row["id"]))


@pytest.mark.parametrize("fault", ["", "no_end_text", pytest.param("no_stop_s", marks=pytest.mark.slow)])
def test_all_forms_of_texts_give_the_same_text_words_and_error_rate(tmp_path: Path, fault: str) -> None:
    manifest = corpus(tmp_path)
    single = transcribed(manifest, tmp_path / "single")
    several = transcribed(
        manifest, tmp_path / "several", words_per_text=5, faults=f'[[fault]]\nkind = "{fault}"' if fault else None
    )
    assert len(single) == len(several) == len(SECONDS)
    for one, other in zip(single, several, strict=True):
        for name in ("id", "text", "wer", "status", "issues", "credits"):
            assert one[name] == other[name], name
        assert [word["text"] for word in one["words"]] == [word["text"] for word in other["words"]]
        assert one["text"] == " ".join(word["text"] for word in one["words"])
        for right, word in zip(one["words"], other["words"], strict=True):
            assert abs(word["start_s"] - right["start_s"]) <= 5 * WORD_S
            assert not word["text"].split()[1:]
            if word["timing"] == "exact":
                assert word["start_s"] == right["start_s"]
            if fault:
                assert word["stop_s"] is None
    words = [[word for row in rows for word in row["words"]] for rows in (single, several)]
    assert len(words[0]) > 80
    assert {word["timing"] for word in words[0]} == {"exact"}
    assert {word["timing"] for word in words[1]} == {"exact", "spread"}
    figures = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("single", "several")]
    assert figures[0]["wer"] == figures[1]["wer"] > 0
    assert [row["wer"] for row in single[2::2]] == [0.0, 0.0]

    out = tmp_path / "several"
    columns = {"text", "start_s", "stop_s", "channel", "stream_id", "clip", "timing"}
    assert {*several[-1]["words"][0]} == columns  # how words were written is in no file
    assert all({*word} == columns for row in jsonl_of(out) for word in row["words"])
    assert {row.id: row.text for row in gb.read(out)} == {row["id"]: row["text"] for row in several}
