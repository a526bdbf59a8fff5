"""One manifest under several names is one, and two that share an output may not mean other audio by one id."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from pipeline.run.manifests import is_there
from tests.batch import Corpus, batch, errors_of, jsonl_of, jsonl_rows_of, rows_of, write_wav
from tests.servers import RunningServer, start_server


def write(path: Path, rows: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("id,audio\n" + "".join(f"{id_},{audio}\n" for id_, audio in rows.items()))
    return path


@pytest.fixture
def calls(tmp_path: Path) -> dict[str, str]:
    """Texts by id, of the recordings 1.wav to 4.wav in `audio`."""
    return {str(n): write_wav(tmp_path / "audio" / f"{n}.wav", seed=n) for n in range(1, 5)}


def test_ids_that_mean_other_audio_in_another_manifest_are_refused(
    server: RunningServer, tmp_path: Path, out: Path, calls: dict[str, str]
) -> None:
    first = write(tmp_path / "first.csv", {"1": "audio/1.wav", "2": "audio/2.wav"})
    second = write(tmp_path / "second.csv", {"1": "audio/3.wav", "2": "audio/4.wav", "5": "audio/4.wav"})
    assert batch("run", first, "--out", out, server=server).exit == 0
    before, files = server.stats()["requests"], snapshot(out)
    for command in ("check", "run", "run"):
        result = batch(command, second, "--out", out, server=server)
        assert result.exit == 2
        for told in (first, second, tmp_path / "audio" / "1.wav", tmp_path / "audio" / "3.wav", "'1'", "1 more id)"):
            assert str(told) in result.stderr
    assert server.stats()["requests"] == before
    assert snapshot(out) == files
    assert batch("run", first, "--out", out, server=server).exit == 0
    assert rows_of(out) == {"1": calls["1"], "2": calls["2"]}


def test_recordings_of_one_length_and_one_time_are_told_apart_by_what_they_hold(
    server: RunningServer, tmp_path: Path, out: Path, calls: dict[str, str]
) -> None:
    shutil.copytree(tmp_path / "audio", tmp_path / "copies")
    for path in (*(tmp_path / "audio").iterdir(), *(tmp_path / "copies").iterdir()):
        os.utime(path, ns=(10**18, 10**18))
    first = write(tmp_path / "first.csv", {"1": "audio/1.wav", "2": "audio/2.wav"})
    assert batch("run", first, "--out", out, server=server).exit == 0
    before = server.stats()["requests"]
    same = write(tmp_path / "same.csv", {"1": "copies/1.wav", "2": "copies/2.wav"})
    other = write(tmp_path / "other.csv", {"1": "copies/2.wav", "2": "copies/1.wav"})
    assert batch("run", same, "--out", out, server=server).exit == 0
    assert batch("run", other, "--out", out, server=server).exit == 2
    # within one manifest an id may come to mean another recording
    write(same, {"1": "copies/2.wav", "2": "copies/3.wav"})
    assert batch("run", same, "--out", out, server=server).exit == 0
    assert server.stats()["requests"] - before == 1
    assert rows_of(out) == jsonl_rows_of(out) == {"1": calls["2"], "2": calls["3"]}
    assert {row["audio"] for row in jsonl_of(out)} == {str(tmp_path / "copies" / f"{n}.wav") for n in (2, 3)}


def test_a_recording_that_is_not_there_gives_its_words_to_no_other_path(
    server: RunningServer, tmp_path: Path, out: Path, calls: dict[str, str]
) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("id,audio,speaker\n1,audio/1.wav,s1\n2,audio/2.wav,s2\n")
    assert batch("run", manifest, "--out", out, server=server).exit == 0
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    manifest.write_text("id,audio,speaker\n1,later/3.wav,s3\n2,broken.wav,s4\n")
    for status in (3, 0):  # it is left alone until it comes
        assert batch("run", manifest, "--out", out, server=server).exit == status
        known = {row["id"]: (row["audio"], row["text"], row["metadata"]["speaker"]) for row in jsonl_of(out)}
        assert known == {n: (str(tmp_path / "audio" / f"{n}.wav"), calls[n], f"s{n}") for n in "12"}
        assert errors_of(out) == {"1": "AudioMissing", "2": "AudioUnreadable"}
    shutil.copytree(tmp_path / "audio", tmp_path / "later")
    shutil.copy(tmp_path / "audio" / "2.wav", tmp_path / "broken.wav")
    before = server.stats()["requests"]
    assert batch("run", manifest, "--out", out, server=server).exit == 0
    assert server.stats()["requests"] - before == 1
    known = {row["id"]: (row["audio"], row["text"], row["metadata"]["speaker"]) for row in jsonl_of(out)}
    assert known["1"] == (str(tmp_path / "later" / "3.wav"), calls["3"], "s3")
    assert known["2"] == (str(tmp_path / "broken.wav"), calls["2"], "s4")


def test_an_id_that_means_another_span_in_another_manifest_is_refused(
    server: RunningServer, tmp_path: Path, out: Path, calls: dict[str, str]
) -> None:
    for n, span in enumerate(("0,0.2", "0.2,0.2")):
        (tmp_path / f"{n}.csv").write_text(f"id,audio,offset_s,duration_s\na,audio/1.wav,{span}\n")
    assert batch("run", tmp_path / "0.csv", "--out", out, server=server).exit == 0
    refused = batch("run", tmp_path / "1.csv", "--out", out, server=server)
    assert refused.exit == 2
    for told in ("1.wav#t=0.2,0.4 here", f"1.wav#t=0,0.2 in {tmp_path / '0.csv'}"):
        assert told in refused.stderr


def test_a_rebuild_knows_which_row_is_of_which_manifest(
    server: RunningServer, tmp_path: Path, out: Path, calls: dict[str, str]
) -> None:
    first = write(tmp_path / "first.csv", {"1": "audio/1.wav"})
    second = write(tmp_path / "second.csv", {"2": "audio/2.wav"})
    clashing = write(tmp_path / "third.csv", {"1": "audio/3.wav"})
    for manifest in (first, second):
        assert batch("run", manifest, "--out", out, server=server).exit == 0
    assert batch("rebuild", out, "--force").exit == 0
    refused = batch("run", clashing, "--out", out, server=server)
    assert (refused.exit, str(first) in refused.stderr) == (2, True)
    assert batch("run", second, "--out", out, server=server).exit == 0
    assert "no longer in the manifest" not in batch("status", out).stdout


def test_a_copy_of_a_recording_that_failed_for_another_manifest_is_that_recording(
    server: RunningServer, tmp_path: Path, out: Path, calls: dict[str, str]
) -> None:
    first = write(tmp_path / "first.csv", {"1": "audio/1.wav"})
    with start_server(
        faults=f'[[fault]]\nkind = "policy"\nmessage = "bad audio"\nfile = "{tmp_path}/audio/1.wav"'
    ) as refusing:
        assert batch("run", first, "--out", out, server=refusing).exit == 3
    shutil.copy(tmp_path / "audio" / "1.wav", tmp_path / "copy.wav")
    second = write(tmp_path / "second.csv", {"1": "copy.wav"})
    before = server.stats()["requests"]
    assert batch("run", second, "--out", out, server=server).exit == 3, "it has failed, under whatever name"
    assert errors_of(out) == {"1": "AudioRefused"}
    assert server.stats()["requests"] == before
    assert batch("run", second, "--out", out, "--only", "failed", server=server).exit == 0
    assert rows_of(out) == {"1": calls["1"]}


def test_a_manifest_that_was_deleted_is_not_taken_for_one_of_other_recordings_of_the_same_lengths(
    server: RunningServer, tmp_path: Path, out: Path, calls: dict[str, str]
) -> None:
    first = write(tmp_path / "first.csv", {"1": "audio/1.wav", "2": "audio/2.wav"})
    second = write(tmp_path / "second.csv", {"1": "audio/3.wav", "2": "audio/4.wav"})
    assert batch("run", first, "--out", out, server=server).exit == 0
    first.unlink()
    refused = batch("run", second, "--out", out, server=server)
    assert refused.exit == 2
    assert f"{first} is gone: put it back to go on with it" in refused.stderr
    assert rows_of(out) == {"1": calls["1"], "2": calls["2"]}


def test_a_numbered_manifest_that_was_moved_and_got_a_row_at_its_top_is_the_same(
    server: RunningServer, tmp_path: Path, out: Path, calls: dict[str, str]
) -> None:
    first = write(tmp_path / "first.csv", {"1": "audio/1.wav", "2": "audio/2.wav", "3": "audio/3.wav"})
    assert batch("run", first, "--out", out, server=server).exit == 0
    before = server.stats()["requests"]
    first.unlink()
    moved = write(
        tmp_path / "sub" / "m.csv", {n: f"../audio/{audio}.wav" for n, audio in zip("1234", "4123", strict=True)}
    )
    assert batch("run", moved, "--out", out, server=server).exit == 0
    assert server.stats()["requests"] - before == 1
    assert rows_of(out) == {n: calls[audio] for n, audio in zip("1234", "4123", strict=True)}


def snapshot(out: Path) -> dict[str, bytes]:
    names = ("transcripts.jsonl", "transcripts/part-000001.parquet", "errors.jsonl", "summary.json")
    return {name: (out / name).read_bytes() for name in names}


@pytest.mark.slow
def test_other_ids_and_the_same_audio_share_a_folder(
    server: RunningServer, tmp_path: Path, out: Path, calls: dict[str, str]
) -> None:
    first = write(tmp_path / "first.csv", {"1": "audio/1.wav", "2": "audio/2.wav"})
    shutil.copy(tmp_path / "audio" / "2.wav", tmp_path / "audio" / "copy.wav")
    second = write(tmp_path / "second.csv", {"1": "audio/1.wav", "2": "audio/copy.wav", "3": "audio/3.wav"})
    for _ in range(2):
        for manifest in (first, second):
            assert batch("run", manifest, "--out", out, server=server).exit == 0
    assert server.stats()["requests"] >= 3
    assert rows_of(out) == jsonl_rows_of(out) == {id_: calls[id_] for id_ in "123"}


def test_an_id_that_was_never_sent_or_was_given_up_may_be_taken(
    server: RunningServer, tmp_path: Path, out: Path, calls: dict[str, str]
) -> None:
    wrong = write(tmp_path / "wrong.csv", {"1": "elsewhere/1.wav", "2": "audio/2.wav"})
    assert batch("run", wrong, "--out", out, server=server).exit == 3
    write(wrong, {"1": "elsewhere/1.wav"})
    batch("run", wrong, "--out", out, server=server)
    right = write(tmp_path / "right.csv", {"1": "audio/1.wav", "2": "audio/3.wav"})
    assert batch("run", right, "--out", out, server=server).exit == 0
    assert rows_of(out) == {"1": calls["1"], "2": calls["3"]}


def test_a_manifest_that_is_named_in_another_way_is_the_same(server: RunningServer, tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    manifest = write(tmp_path / "m.csv", {name: f"audio/{name}" for name in corpus.texts})
    before = server.stats()["requests"]
    names = ("m.csv", "./m.csv", "sub/../m.csv", manifest, "link/m.csv", "link/sub/../m.csv")
    for name in names:  # without --out, which is for one manifest
        result = batch("run", name, server=server, cwd=tmp_path)
        assert result.exit == 0, result.stderr
    (tmp_path / "m.csv").write_text("id,audio\n00000.wav,audio/00000.wav\n")
    batch("run", "link/m.csv", server=server, cwd=tmp_path)
    assert "2 no longer in the manifest" in batch("status", tmp_path / "runs" / "m").stdout
    assert server.stats()["requests"] - before == 3


@pytest.mark.parametrize("form", ["csv", "folder"])
@pytest.mark.parametrize("keeps_times", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_manifest_that_was_moved_with_its_recordings_is_the_same(
    server: RunningServer, tmp_path: Path, form: str, keeps_times: bool
) -> None:
    corpus = Corpus(tmp_path / "old" / "audio", count=6)
    if form == "csv":
        write(tmp_path / "old" / "calls.csv", {name: f"audio/{name}" for name in corpus.texts})
    name = "calls.csv" if form == "csv" else "audio"
    assert batch("run", name, server=server, cwd=tmp_path / "old").exit == 0
    (tmp_path / "old").rename(tmp_path / "new")
    if not keeps_times:
        for path in (tmp_path / "new" / "audio").iterdir():
            os.utime(path)
    (tmp_path / "new" / "audio" / "00005.wav").unlink()
    if form == "csv":
        write(tmp_path / "new" / "calls.csv", {name: f"audio/{name}" for name in [*corpus.texts][:5]})
    before = server.stats()["requests"]
    for _ in range(2):
        result = batch("run", name, server=server, cwd=tmp_path / "new")
        assert result.exit == 0, result.stderr
    assert server.stats()["requests"] == before
    runs = tmp_path / "new" / "runs" / ("calls" if form == "csv" else "audio")
    assert rows_of(runs) == corpus.texts
    assert "1 no longer in the manifest" in batch("status", runs).stdout


@pytest.mark.parametrize("form", ["csv", "folder"])
def test_a_manifest_whose_recordings_come_and_go_is_the_same_after_it_was_moved(
    server: RunningServer, tmp_path: Path, form: str
) -> None:
    audio = tmp_path / "old" / "audio"
    manifest = "calls.csv" if form == "csv" else "audio"
    for night in range(3):
        shutil.rmtree(audio, ignore_errors=True)
        names = [f"{night}-{n}.wav" for n in range(3)]
        for n, name in enumerate(names):
            write_wav(audio / name, seed=10 * night + n)
        if form == "csv":
            write(tmp_path / "old" / manifest, {name: f"audio/{name}" for name in names})
        batch("run", manifest, server=server, cwd=tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    before = server.stats()["requests"]
    result = batch("run", manifest, server=server, cwd=tmp_path / "new")
    assert result.exit == 0, result.stderr
    assert server.stats()["requests"] == before


def test_a_manifest_whose_folder_became_a_link_that_leads_nowhere_keeps_no_other_from_running(
    server: RunningServer, tmp_path: Path, out: Path, calls: dict[str, str]
) -> None:
    first = write(tmp_path / "folder" / "first.csv", {"1": "../audio/1.wav"})
    assert batch("run", first, "--out", out, server=server).exit == 0
    shutil.rmtree(tmp_path / "folder")
    (tmp_path / "folder").symlink_to(tmp_path / "round")
    (tmp_path / "round").symlink_to(tmp_path / "folder")
    second = write(tmp_path / "second.csv", {"2": "audio/2.wav"})
    for command in ("check", "run"):
        assert batch(command, second, "--out", out, server=server).exit == 0
        assert batch(command, first, "--out", out, server=server).exit == 2
    assert rows_of(out) == {id_: calls[id_] for id_ in "12"}


def test_a_manifest_counts_as_gone_only_where_the_system_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for name in ("gone", "file/below", "nowhere"):
        assert not is_there(str(tmp_path / name))
    for name in ("file", "n" * 300):  # the system refuses to look for so long a name, as for one in a closed folder
        assert is_there(str(tmp_path / name))


def test_another_manifest_of_the_same_name_is_refused_also_where_the_first_is_gone(
    server: RunningServer, tmp_path: Path
) -> None:
    for n, folder in enumerate(("a", "b")):
        write_wav(tmp_path / folder / "1.wav", seed=n, seconds=0.5 + n)
        write(tmp_path / folder / "m.csv", {"1": "1.wav"})
    assert batch("run", "a/m.csv", server=server, cwd=tmp_path).exit == 0
    for _ in range(2):
        result = batch("run", "b/m.csv", server=server, cwd=tmp_path)
        assert result.exit == 2
        assert str(tmp_path / "a" / "m.csv") in result.stderr
        (tmp_path / "a" / "m.csv").unlink(missing_ok=True)


def test_a_last_line_without_an_end_is_told_and_its_row_is_used(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    text = write_wav(tmp_path / "a.wav", seed=1)
    manifest = tmp_path / "m.csv"
    manifest.write_text("id,audio\na,a.wav")
    for command in ("check", "run"):
        result = batch(command, manifest, "--out", out, server=server)
        assert result.exit == 0
        assert result.stderr.count(f"{manifest}:2: the last line does not end with a newline: ") == 1
    assert rows_of(out) == {"a": text}


def test_a_last_line_without_an_end_is_told_of_a_manifest_on_stdin(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    texts = {name: write_wav(tmp_path / f"{name}.wav", seed=n) for n, name in enumerate("ab")}
    rows = "\n".join(json.dumps({"id": name, "audio": f"{name}.wav"}) for name in texts)
    sentence = "stdin:2: the last line does not end with a newline: "
    result = batch("run", "-", "--out", out, server=server, stdin=rows, cwd=tmp_path)
    assert result.exit == 0
    assert result.stderr.count(sentence) == 1
    assert rows_of(out) == texts
    # what was cut off within a row is refused, with the reason beside it
    cut = batch("run", "-", "--out", out, server=server, stdin=rows[:-8], cwd=tmp_path)
    assert cut.exit == 2
    assert sentence in cut.stderr
    assert "is the line cut?" in cut.stderr
    whole = batch("run", "-", "--out", out, server=server, stdin=rows + "\n", cwd=tmp_path)
    assert "newline" not in whole.stderr


@pytest.mark.slow
def test_a_run_over_one_manifest_hides_no_failure_of_another(tmp_path: Path, out: Path) -> None:
    for n in range(4):
        write_wav(tmp_path / f"{n}.wav", seed=n)
    first = write(tmp_path / "a.csv", {"a0": "0.wav", "a1": "1.wav", "a2": "gone.wav"})
    second = write(tmp_path / "b.csv", {"b0": "2.wav", "b1": "3.wav"})
    faults = f'[[fault]]\nkind = "policy"\nmessage = "bad audio"\nfile = "{tmp_path / "1.wav"}"'

    def stands() -> tuple[int, ...]:
        told = json.loads(batch("status", out, "--json").stdout)
        assert sum(kind["count"] for kind in told["failures"]) == told["failed"]
        assert {kind["example_id"] for kind in told["failures"]} == errors_of(out).keys()
        return told["done"], told["failed"], told["left"], told["vanished"]

    with start_server(faults=faults) as server:
        failed = {"a1": "AudioRefused", "a2": "AudioMissing"}
        assert batch("run", first, "--out", out, server=server).exit == 3
        assert stands() == (1, 2, 0, 0)
        for _ in range(2):
            result = batch("run", second, "--out", out, server=server)
            # the run's own line is about its manifest
            assert [result.figures[name] for name in ("exit", "done", "failed", "left")] == [0, 2, 0, 0]
            assert errors_of(out) == failed
            assert stands() == (3, 2, 0, 0)
        write(first, {"a0": "0.wav", "a1": "1.wav"})
        assert batch("run", first, "--out", out, server=server).exit == 0
        assert errors_of(out) == {"a1": "AudioRefused"}, "what its own manifest no longer has is no error"
        assert stands() == (3, 1, 0, 1)
        assert batch("run", second, "--out", out, server=server).exit == 0
        assert batch("rebuild", out, "--force").exit == 0
        assert stands()[1] == 1, "a rebuild takes the failures of both manifests in"
