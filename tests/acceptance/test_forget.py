"""`forget`: no byte of the words stays in the folder, nothing of it is sent again, and all else stays as it was."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

import gradium_batch as gb
from pipeline.checkpoint import hold_output
from pipeline.run import removal
from tests.acceptance.remains import found_in
from tests.batch import Corpus, Finished, batch, jsonl_rows_of, rows_of, table_of, write_wav
from tests.earlier import archive
from tests.earlier import rows as earlier
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
        lines = (f"{id_},{audio},reference{n}x,about{n}x" for n, (id_, audio) in enumerate([*rows, *more]))
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
    "formats",
    ['["parquet","jsonl"]', *(pytest.param(f'["{one}"]', marks=pytest.mark.slow) for one in ("parquet", "jsonl"))],
)
def test_the_words_are_in_no_byte_and_nothing_is_sent_again(
    tmp_path: Path, server: RunningServer, formats: str
) -> None:
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


@pytest.mark.slow
def test_the_same_audio_and_other_content_are_not_sent_either(tmp_path: Path, server: RunningServer) -> None:
    night = Night(tmp_path, server)
    night.run()
    victim = night.corpus.folder / "00002.wav"
    night.forget("--id", victim.name)
    copy = tmp_path / "copy.wav"
    copy.write_bytes(victim.read_bytes())
    other = night.corpus.folder / "00003.wav"
    kept = night.texts[other.name]
    other.write_bytes(victim.read_bytes())
    write_wav(victim, seed=77)
    night.write(("copy", copy))
    requests, words = night.requests, [*night.words_of([victim.name]), "reference10x", "about10x", "copy.wav"]
    said = night.run().stderr
    assert "2 recordings have audio that was forgotten" in said
    assert "1 row was forgotten" in said
    assert found_in(night.out, words) == {}
    assert rows_of(night.out)[other.name] == kept, "what was paid for stays"
    assert "2 rows were forgotten" in night.run().stderr, "the copy is not even looked at"
    assert night.requests == requests
    assert status_of(night.out)["done"] == 9
    write_wav(copy, seed=78)  # it has other audio now, and no id that was forgotten
    night.run()
    assert night.requests == requests + 1
    assert "copy" in rows_of(night.out)


def test_copies_of_a_recording_are_forgotten_together(tmp_path: Path, server: RunningServer) -> None:
    night = Night(tmp_path, server)
    victim = night.corpus.folder / "00002.wav"
    night.write(("second-one", victim))
    night.run()
    refused = night.forget("--id", victim.name, exit=2)
    assert "second-one" in refused.stderr
    assert "--audio" in refused.stderr
    assert not (night.out / "forgotten.jsonl").exists()
    victim.unlink()
    audio_hash = next(row["audio_hash"] for row in table_of(night.out).to_pylist() if row["id"] == "second-one")
    assert "no utterance has the recording" in night.forget("--audio", tmp_path / "none.wav", exit=2).stderr
    for named in (str(victim), audio_hash):
        told = batch("forget", night.out, "--audio", named)
        assert {"second-one", victim.name} <= {*told.stdout.replace(",", " ").split()}
    night.forget("--audio", victim)
    assert found_in(night.out, [*night.words_of([victim.name]), "second-one", audio_hash]) == {}
    assert "2 rows were forgotten" in night.run().stderr


@pytest.mark.slow
def test_it_is_refused_during_a_run_and_for_what_is_not_there(tmp_path: Path, server: RunningServer) -> None:
    night = Night(tmp_path, server)
    assert "there is no checkpoint" in night.forget("--id", "x", exit=2).stderr
    night.run()
    with hold_output(night.out):
        for command in (("forget", night.out, "--id", "00002.wav"), ("prune", night.out)):
            assert batch(*command).exit == batch(*command, "--yes").exit == 5
    assert "did you mean 00002.wav" in night.forget("--id", "0002.wav", exit=2).stderr
    assert "needs an utterance" in night.forget(exit=2).stderr


@pytest.mark.slow
def test_a_lost_checkpoint_or_old_files_do_not_bring_it_back(tmp_path: Path, server: RunningServer) -> None:
    night = Night(tmp_path, server)
    night.run()
    jsonl = (night.out / "transcripts.jsonl").read_bytes()
    night.forget("--id", "00002.wav")
    requests, words = night.requests, night.words_of(["00002.wav"])
    for harm in (lambda: None, lambda: (night.out / "transcripts.jsonl").write_bytes(jsonl)):
        (night.out / "checkpoint.sqlite").unlink()
        harm()
        assert batch("rebuild", night.out).exit == 0
        assert found_in(night.out, words) == {}
        night.run()
        assert found_in(night.out, words) == {}
        assert night.requests == requests
        assert len(rows_of(night.out)) == 9
    (night.out / "forgotten.jsonl").rename(tmp_path / "forgotten.jsonl")
    assert "restore it" in night.run(exit=1).stderr
    (night.out / "forgotten.jsonl").write_text("{")
    assert "is damaged" in night.run(exit=1).stderr
    (tmp_path / "forgotten.jsonl").rename(night.out / "forgotten.jsonl")
    assert batch("forget", night.out, "--id", "00003.wav", "--allow").exit == 2
    assert batch("forget", night.out, "--id", "00002.wav", "--allow").exit == 0
    night.run()
    assert night.requests == requests + 1
    assert rows_of(night.out) == jsonl_rows_of(night.out) == night.texts


@pytest.mark.slow
def test_from_python(tmp_path: Path, server: RunningServer) -> None:
    night = Night(tmp_path, server)
    night.run()
    with pytest.raises(gb.UsageError, match="has no id"):
        gb.forget(night.out, ids="none", yes=True)
    with pytest.raises(gb.UsageError, match="older_than_s"):
        gb.prune(night.out, older_than_s=-1)
    would = gb.forget(night.out, ids="00002.wav", audio=[night.corpus.folder / "00003.wav"])
    assert (would.done, {*would.ids}) == (False, {"00002.wav", "00003.wav"})
    done = gb.forget(night.out, ids="00002.wav", audio=[night.corpus.folder / "00003.wav"], yes=True)
    assert (done.done, done.unchanged) == (True, ())
    for id_ in ("00002.wav", "00003.wav", "00004.wav"):
        del night.texts[id_]
    night.write()
    night.run()
    assert gb.prune(night.out, yes=True).ids == ("00004.wav",)
    assert {row.id: row.text for row in gb.read(night.out)} == night.texts


@pytest.mark.slow
def test_what_cannot_be_changed_is_said(tmp_path: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night(tmp_path, server)
    night.run()
    (night.out / "runs" / "broken.json").write_text("{")
    (night.out / "clips.jsonl.damaged").mkdir()
    asked = []

    def remove_rows(out: Path, ids: Sequence[str], is_audio: object) -> list[str]:
        asked.append([*ids])
        return ["subtitles/ may not be written"]

    monkeypatch.setattr(removal, "remove_rows", remove_rows)
    told = night.forget("--id", "00002.wav", exit=1)
    for part in ("broken.json cannot be read", "damaged cannot be removed", "subtitles/ may not be written"):
        assert part in told.stdout
    night.forget("--id", "00002.wav", exit=1)
    assert asked == [["00002.wav"]] * 2


@pytest.mark.slow
def test_an_output_of_an_earlier_version(tmp_path: Path) -> None:
    for kind in ("both", "parts", "lines"):
        _, out = archive.unpack(kind, tmp_path / kind)
        before = earlier.rows(out)
        id_ = min(before)
        texts = [row["text"] for row in before.values()]
        words = {word for word in before[id_]["text"].split() if sum(word in text for text in texts) == 1}
        done = batch("forget", out, "--audio", before[id_]["audio"], "--yes")
        assert done.exit == 0, (kind, done.stderr)
        assert found_in(out, {*words, "nothing"}) == {}
        assert {**before, **earlier.rows(out)} == before
        assert id_ not in earlier.rows(out)


FORMATS = ("csv", "srt", "vtt", "txt", "ctm", "stm", "textgrid", "audacity", "kaldi", "nemo", "lhotse", "hf")


@pytest.mark.slow
@pytest.mark.parametrize("formats", [("csv", "srt"), *((one,) for one in FORMATS)], ids="-".join)
def test_exports_lose_it_too(tmp_path: Path, server: RunningServer, formats: Sequence[str]) -> None:
    night = Night(tmp_path, server)
    night.run()
    places = [tmp_path / "exported" / format_ for format_ in formats]
    assert batch("export", night.out, "--format", "vtt", "--beside").exit == 0
    assert (night.corpus.folder / "00002.vtt").exists()
    for format_, place in zip(formats, places, strict=True):
        assert batch("export", night.out, "--format", format_).exit == 0
        exported = batch("export", night.out, "--format", format_, "--to", place)
        assert exported.exit == 0, exported.stderr
        assert (format_ == "hf") or found_in(place, night.words_of(["00002.wav"]))
    night.forget("--id", "00002.wav")
    assert not (night.corpus.folder / "00002.vtt").exists()
    assert (night.corpus.folder / "00003.vtt").exists()
    for place in (night.out, tmp_path / "exported"):
        assert found_in(place, [*night.words_of(["00002.wav"]), "00002.vtt", "00002.srt"]) == {}
    for format_, place in zip(formats, places, strict=True):
        before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
        assert batch("export", night.out, "--format", format_, "--to", place).exit == 0
        assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_a_row_that_was_skipped_as_bad(tmp_path: Path, server: RunningServer) -> None:
    night = Night(tmp_path, server, count=2)
    night.manifest.write_text(f"{night.manifest.read_text()}bad-one,,what-it-said,x\n")
    skip = "--skip-bad-rows"
    night.run(skip, exit=3)
    assert found_in(night.out, ["bad-one"])
    (night.out / "copy-of-errors.txt").write_text("somebody's own")
    told = night.forget("--id", "bad-one").stdout
    assert "which are changed only if they are exports: copy-of-errors.txt" in told
    for _ in range(2):
        assert found_in(night.out, ["bad-one"]) == {}
        night.run(skip)


@pytest.mark.slow
def test_a_program_that_reads_the_checkpoint_keeps_it_from_being_emptied(tmp_path: Path, server: RunningServer) -> None:
    night = Night(tmp_path, server, count=2)
    night.run()
    with closing(sqlite3.connect(night.out / "checkpoint.sqlite", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM utterances").fetchone()
        told = night.forget("--id", "00001.wav", exit=1)
        assert "read by another program" in told.stderr
        assert "run the same command again" in told.stderr
    night.forget("--id", "00001.wav")
    assert found_in(night.out, night.words_of(["00001.wav"])) == {}


@pytest.mark.slow
def test_a_recording_that_swapped_its_file_takes_no_other_with_it(tmp_path: Path, server: RunningServer) -> None:
    night = Night(tmp_path, server, count=4)
    night.run()
    night.run("--set", "service.language=de")
    first, second = (night.corpus.folder / name for name in ("00000.wav", "00001.wav"))
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    night.run("--set", "service.language=de")
    told = batch("forget", night.out, "--audio", first)
    assert "1 utterance would be forgotten: 00000.wav" in told.stdout
    night.forget("--id", "00000.wav")
    requests = night.requests
    night.run("--set", "service.language=de")
    assert night.requests == requests
    assert rows_of(night.out).keys() == night.texts.keys() - {"00000.wav"}
    assert rows_of(night.out)["00001.wav"] == night.texts["00000.wav"]
    assert found_in(night.out, night.texts["00001.wav"].split()) == {}


@pytest.mark.slow
def test_a_renamed_recording_and_its_earlier_name(tmp_path: Path, server: RunningServer) -> None:
    night = Night(tmp_path, server, count=4)
    night.manifest = night.corpus.folder
    night.run()
    words = {*night.texts["00002.wav"].split()}
    words |= {*write_wav(night.corpus.folder / "00002.wav", seed=60).split()}
    words -= {word for id_, text in night.texts.items() if id_ != "00002.wav" for word in text.split()}
    night.run()
    (night.corpus.folder / "00002.wav").rename(night.corpus.folder / "renamed.wav")
    requests = night.requests
    night.run()
    night.forget("--id", "renamed.wav")
    assert found_in(night.out, ["renamed.wav"]) == {}
    night.forget("--id", "00002.wav")
    assert found_in(night.out, {*words, "00002.wav", "renamed.wav"}) == {}
    assert "1 row was forgotten" in night.run().stderr
    assert night.requests == requests
