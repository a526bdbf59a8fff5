"""Exports of a real run, read by lhotse, NeMo, Praat and sclite themselves.

`make test-readers` makes an environment with the first three, which nothing else needs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.batch import batch
from tests.beeps import RECOGNIZER, beeps, write
from tests.servers import start_server

READERS = os.environ.get("READERS_PYTHON")
SCLITE = shutil.which("sclite") or shutil.which("/usr/lib/sctk/bin/sclite")
pytestmark = [pytest.mark.slow]
with_readers = pytest.mark.skipif(
    not READERS, reason="lhotse, NeMo and Praat are not here; make test-readers installs them"
)
with_sclite = pytest.mark.skipif(not SCLITE, reason="sclite is not here; Debian has it in its package sctk")
SAID = [("able", 0.5), ("baker", 1.0), ("cast", 4.0), ("dog", 4.5), ("easy", 9.0)]
ROWS = """\
id,audio,reference,offset_s,duration_s,channel,speaker
whole,talk 1.wav,able baker cast fox easy,,,,
a span,talk 1.wav,cast dog,3.5,2.5,,
call,call.wav,,,,,
call right,call.wav,dog nan,1.25,4,1,customer
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apart")
    write(folder / "talk 1.wav", beeps(SAID, 10, 24_000))
    silence = np.zeros(24_000 * 10, np.float32)
    right = beeps([("dog", 2.0), ("jig", 3.5)], 10, 24_000)
    write(folder / "call.wav", beeps([("able", 0.5), ("baker", 6.0)], 10, 24_000) + silence, right)
    (folder / "rows.csv").write_text(ROWS)
    with start_server(recognizer=RECOGNIZER) as server:
        done = batch(
            "run", folder / "rows.csv", "--out", folder / "out", "--set", "audio.channels=split", server=server
        )
    assert done.exit == 0, done.stderr
    return folder / "out"


def exported(out: Path, kind: str, folder: Path) -> Path:
    done = batch("export", out, "--format", kind, "--to", folder)
    assert done.exit == 0, done.stderr
    return folder


def read(kind: str, path: Path) -> Any:
    done = subprocess.run(
        [str(READERS), Path(__file__).with_name("read.py"), kind, path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().rpartition("\n")[2])


@with_readers
def test_lhotse_reads_recordings_and_supervisions(out: Path, tmp_path: Path) -> None:
    cuts = read("lhotse", exported(out, "lhotse", tmp_path / "l"))
    assert {id_: cut["text"] for id_, cut in cuts.items()} == {
        "whole": "able baker cast dog easy",
        "a span": "cast dog",
        "call-channel1": "able baker",
        "call-channel2": "dog jig",
        "call right": "dog jig",
    }
    assert {id_: (cut["start"], cut["channel"], cut["shape"]) for id_, cut in cuts.items()} == {
        "whole": (0.0, 0, [1, 240_000]),
        "a span": (3.5, 0, [1, 60_000]),
        "call-channel1": (0.0, 0, [1, 240_000]),
        "call-channel2": (0.0, 1, [1, 240_000]),
        "call right": (1.25, 1, [1, 96_000]),
    }
    assert {id_: [start for _, start in cut["words"]] for id_, cut in cuts.items()} == {
        "whole": pytest.approx([start for _, start in SAID], abs=0.08),
        "a span": pytest.approx([4.0, 4.5], abs=0.08),
        "call-channel1": pytest.approx([0.5, 6.0], abs=0.08),
        "call-channel2": pytest.approx([2.0, 3.5], abs=0.08),
        "call right": pytest.approx([2.0, 3.5], abs=0.08),
    }
    for cut in cuts.values():  # cut out by its time, each word is heard
        assert [text for text, _ in cut["heard"]] == [text for text, _ in cut["words"]]
        assert min(peak for _, peak in cut["heard"]) == pytest.approx(0.25, abs=0.01)
    assert cuts["call right"]["custom"]["reference"] == "dog nan"
    assert min(peak for cut in cuts.values() for peak in cut["peaks"]) == pytest.approx(0.25, abs=0.01)


@with_readers
def test_lhotse_reads_a_kaldi_directory(out: Path, tmp_path: Path) -> None:
    found = read("kaldi", exported(out, "kaldi", tmp_path / "k"))
    assert {key: one["text"] for key, one in found.items()} == {
        "whole": "able baker cast dog easy",
        "a%20span": "cast dog",
        "call-channel1": "able baker",
        "call-channel2": "dog jig",
        "call%20right": "dog jig",
    }
    assert {key: (one["start"], one["shape"]) for key, one in found.items()} == {
        "whole": (0.0, [1, 240_000]),
        "a%20span": (3.5, [1, 60_000]),
        "call-channel1": (0.0, [1, 240_000]),
        "call-channel2": (0.0, [1, 240_000]),
        "call%20right": (1.25, [1, 96_000]),
    }
    assert [one["peak"] for one in found.values()] == pytest.approx([0.25] * 5, abs=0.01)


@with_readers
def test_nemo_reads_its_manifest(out: Path, tmp_path: Path) -> None:
    found = read("nemo", exported(out, "nemo", tmp_path / "n") / "manifest.jsonl")
    places = [("talk 1.wav", 0.0, 10.0), ("talk 1.wav", 3.5, 2.5), ("call.wav", 0.0, 10.0), ("call.wav", 1.25, 4.0)]
    texts = ["able baker cast fox easy", "cast dog", "", "dog nan"]
    assert [(Path(one["audio_file"]).name, one["offset"], one["duration"]) for one in found["items"]] == places
    assert [one["text"] for one in found["items"]] == texts
    assert [(one["start"], one["duration"]) for one in found["cuts"]] == [place[1:] for place in places]
    assert [one["text"] or "" for one in found["cuts"]] == texts


@with_readers
def test_praat_opens_a_textgrid(out: Path, tmp_path: Path) -> None:
    folder = exported(out, "textgrid", tmp_path / "t")
    tiers = [read("textgrid", file) for file in sorted(folder.rglob("*.TextGrid"))]
    labels = [{name: [label for *_, label in tier if label] for name, tier in one.items()} for one in tiers]
    assert {"words 1": ["able", "baker"], "segments 1": ["able", "baker"], "words 2": ["dog", "jig"]}.items() <= {
        name: found for one in labels for name, found in one.items()
    }.items()
    assert ["able", "baker", "cast", "dog", "easy"] in [one.get("words") for one in labels]
    assert {tier[-1][1] for one in tiers for tier in one.values()} <= {10.0, 6.0, 5.25}


@with_sclite
def test_sclite_scores_the_words_against_the_references(out: Path, tmp_path: Path) -> None:
    words = exported(out, "ctm", tmp_path / "c") / "transcripts.ctm"
    references = exported(out, "stm", tmp_path / "s") / "references.stm"
    command = [SCLITE, "-r", references, "stm", "-h", words, "ctm", "-e", "utf-8", "-o", "pralign", "-O", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = (tmp_path / "transcripts.ctm.pra").read_text()
    scores = {
        block.split("File: ")[1].split("\n")[0]: block.split("(#C #S #D #I) ")[1].split("\n")[0]
        for block in said.split("id: (")[1:]
    }
    assert scores == {"whole": "4 1 0 0", "a%20span": "2 0 0 0", "call%20right": "1 1 0 0"}, done.stderr
