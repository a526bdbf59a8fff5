"""`forget`: no byte of the words stays in the folder, nothing of it is sent again, and all else stays as it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.checkpoint import hold_output
from tests.acceptance.remains import found_in
from tests.batch import Corpus, Finished, batch, jsonl_rows_of, rows_of, table_of, write_wav
from tests.servers import RunningServer

QUIET = ("--set", "sink.rows_per_part=4", "--progress", "off")


class Night:
    """A manifest, its output, and nights over it."""

    def __init__(self, folder: Path, server: RunningServer, count: int = 10) -> None:
        self.corpus = Corpus(folder / "audio", count)
        self.texts, self.out, self.server = self.corpus.texts, folder / "out", server
        self.manifest = folder / "manifest.csv"
        self.write()

    def write(self, *more: tuple[str, Path]) -> None:
        rows = [(id_, self.corpus.folder / id_) for id_ in self.texts]
        lines = (f"{id_},{audio},reference{place}x of {id_},about{place}x" for place, (id_, audio) in
                 enumerate([*rows, *more]))  # fmt: skip
        self.manifest.write_text("\n".join(["id,audio,reference,about", *lines, ""]))

    def run(self, *args: str, exit: int = 0) -> Finished:
        done = batch("run", self.manifest, "--out", self.out, *QUIET, *args, server=self.server)
        assert done.exit == exit, done.stderr
        return done

    def forget(self, *args: str | Path, exit: int = 0) -> Finished:
        done = batch("forget", self.out, *args, "--yes")
        assert done.exit == exit, done.stderr + done.stdout
        return done

    def words_of(self, ids: Sequence[str]) -> list[str]:
        """All that only these rows have: their words, references, metadata and ids."""
        others = {word for id_, text in self.texts.items() if id_ not in ids for word in text.split()}
        own = {word for id_ in ids for word in self.texts[id_].split()} - others
        places = [[*self.texts].index(id_) for id_ in ids]
        return [*own, *ids, *(f"reference{place}x" for place in places), *(f"about{place}x" for place in places)]

    @property
    def requests(self) -> int:
        return int(self.server.stats()["requests"])


def status_of(out: Path) -> dict[str, object]:
    return dict(json.loads(batch("status", out, "--json").stdout))


@pytest.mark.parametrize(
    "formats", ['["parquet","jsonl"]', *(pytest.param(f'["{one}"]', marks=pytest.mark.slow) for one in ("parquet", "jsonl"))]
)
def test_the_words_are_in_no_byte_and_nothing_is_sent_again(tmp_path: Path, server: RunningServer, formats: str) -> None:
    night = Night(tmp_path, server)
    as_before = ("--set", f"sink.formats={formats}")
    night.run(*as_before)
    id_ = "00002.wav"
    words = night.words_of([id_])
    assert len(found_in(night.out, words)) >= 3
    credits_before, requests = status_of(night.out)["credits"], night.requests
    shown = batch("forget", night.out, "--id", id_)
    assert shown.exit == 2
    assert id_ in shown.stdout
    assert "--yes" in shown.stdout
    assert len(found_in(night.out, words)) >= 3
    night.forget("--id", id_)
    left = {other: text for other, text in night.texts.items() if other != id_}
    for _ in range(2):
        assert found_in(night.out, words) == {}
        assert (jsonl_rows_of if "jsonl" in formats else rows_of)(night.out) == left
        now = status_of(night.out)
        assert (now["done"], now["failed"], now["left"], now["forgotten"]) == (9, 0, 0, 1)
        assert now["credits"] == credits_before
        assert table_of(night.out, "attempts").num_rows == 10
        again = night.run(*as_before)
        assert "1 row was forgotten and is left out" in again.stderr
    assert night.requests == requests
    assert "was forgotten" in batch("show", night.out, "--id", id_).stderr
    assert "was forgotten" in night.run(*as_before, "--id", id_, exit=2).stderr
    night.forget("--id", id_)
