"""What goes wrong with single recordings, and how it is told, kept and mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.batch import Corpus, batch, errors_of, jsonl_of, jsonl_rows_of, rows_of, write_wav
from tests.servers import RunningServer, start_server


def test_broken_files_are_told_and_only_they_are_sent_again(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=6)
    (corpus.folder / "bad.wav").write_text("this is no audio at all, only text\n" * 10)
    refused = corpus.folder / "00003.wav"
    faults = f'[[fault]]\nkind = "policy"\nmessage = "bad format: the moon is full"\nfile = "{refused}"\n'
    with start_server(faults=faults) as server:
        args = ("run", corpus.folder, "--out", out)
        result = batch(*args, server=server)
        assert result.exit == 3, result.stderr
        assert errors_of(out) == {"00003.wav": "AudioRefused", "bad.wav": "AudioUnreadable"}
        [service] = [row for row in jsonl_of(out, "errors.jsonl") if row["id"] == "00003.wav"]
        assert service["message"] == "error from server 1008: bad format: the moon is full"
        assert service["http_status"] == 500
        assert service["code"] == 1008
        assert service["retryable"] is False
        assert result.figures["failed"] == 2

        before = server.stats()["requests"]
        assert batch(*args, server=server).exit == 0, "its own fault is not tried again every night"
        assert server.stats()["requests"] == before

        corpus.texts["bad.wav"] = write_wav(corpus.folder / "bad.wav", seed=500)
        corpus.texts["00003.wav"] = write_wav(refused, seed=501)
        again = batch(*args, "--only", "changed", server=server)
        assert again.exit == 0, again.stderr
        assert server.stats()["requests"] == before + 2
        assert errors_of(out) == {}
        assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_only_failed_sends_failed_items_again_whatever_their_fault(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=4)
    name = corpus.folder / "00001.wav"
    with start_server(
        faults=f'[[fault]]\nkind = "policy"\nmessage = "bad audio"\nfile = "{name}"\ntimes = 1'
    ) as server:
        assert batch("run", corpus.folder, "--out", out, server=server).exit == 3
        before = server.stats()["requests"]
        assert batch("run", corpus.folder, "--out", out, "--only", "failed", server=server).exit == 0
        assert server.stats()["requests"] == before + 1
        assert errors_of(out) == {}
        assert rows_of(out) == corpus.texts


def test_passing_faults_are_retried(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=12)
    text = "".join(
        f'[[fault]]\nkind = "internal_error"\nfile = "{corpus.folder}/{n:05d}.wav"\ntimes = 2\n' for n in (2, 5, 8)
    )
    with start_server(faults=text) as server:
        result = batch("run", corpus.folder, "--out", out, "--set", "retry.base_s=0.01", server=server)
        assert result.exit == 0
        assert server.stats()["requests"] == 12 + 3 * 2
        assert rows_of(out) == corpus.texts


def test_a_fault_that_does_not_pass_is_given_up_and_tried_again_by_the_next_run(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    name = corpus.folder / "00001.wav"
    with start_server(faults=f'[[fault]]\nkind = "internal_error"\nfile = "{name}"\ntimes = 3') as server:
        args = ("run", corpus.folder, "--out", out, "--set", "retry.base_s=0.01", "--set", "retry.max_attempts=3")
        assert batch(*args, server=server).exit == 3
        assert errors_of(out) == {"00001.wav": "ServerFault"}
        assert batch(*args, server=server).exit == 0
        assert rows_of(out) == corpus.texts
        [redone] = [row for row in jsonl_of(out) if row["id"] == "00001.wav"]
        assert redone["attempts"] == 4


def test_a_missing_file_is_an_error_of_its_utterance(server: RunningServer, tmp_path: Path, out: Path) -> None:
    text = write_wav(tmp_path / "there.wav", seed=1)
    manifest = tmp_path / "m.csv"
    manifest.write_text("id,audio\na,there.wav\nb,gone.wav\n")
    assert batch("run", manifest, "--out", out, server=server).exit == 3
    assert errors_of(out) == {"b": "AudioMissing"}
    assert rows_of(out) == {"a": text}
    text_b = write_wav(tmp_path / "gone.wav", seed=2)
    assert batch("run", manifest, "--out", out, server=server).exit == 0, "a file that has come is done unasked"
    assert rows_of(out) == {"a": text, "b": text_b}
    assert errors_of(out) == {}


def test_a_redo_on_request_that_fails_keeps_the_transcript(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=2)
    faults = '[[fault]]\nkind = "policy"\nmessage = "bad audio"\nprobability = 1.0\nafter_requests = 2'
    with start_server(faults=faults) as server:
        assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
        assert batch("run", corpus.folder, "--out", out, "--only", "all", server=server).exit == 3
        assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_bad_rows_stop_the_run_before_anything_is_sent(server: RunningServer, tmp_path: Path, out: Path) -> None:
    write_wav(tmp_path / "a.wav", seed=1)
    manifest = tmp_path / "m.csv"
    manifest.write_text("id,audio,offset_s\na,a.wav,\nb,,\nc,a.wav,minus one\nd,a.wav,\n")
    before = server.stats()["requests"]
    result = batch("run", manifest, "--out", out, server=server)
    assert result.exit == 2
    assert f"{manifest}:3: " in result.stderr
    assert f"{manifest}:4: " in result.stderr
    assert "2 bad rows, nothing was sent" in result.stderr
    assert server.stats()["requests"] == before


def test_bad_rows_can_be_skipped_and_are_then_errors(server: RunningServer, tmp_path: Path, out: Path) -> None:
    text = write_wav(tmp_path / "a.wav", seed=1)
    manifest = tmp_path / "m.csv"
    manifest.write_text("id,audio,language\na,a.wav,\nb,,\nc,a.wav,klingon\n")
    result = batch("run", manifest, "--out", out, "--skip-bad-rows", server=server)
    assert result.exit == 3
    assert rows_of(out) == {"a": text}
    assert errors_of(out) == {"m.csv:3": "BadManifestRow", "m.csv:4": "BadManifestRow"}


def test_an_id_that_two_rows_claim_is_a_bad_row(server: RunningServer, tmp_path: Path, out: Path) -> None:
    write_wav(tmp_path / "a.wav", seed=1)
    manifest = tmp_path / "m.csv"
    manifest.write_text("id,audio\na,a.wav\nb,a.wav\na,a.wav\n")
    result = batch("run", manifest, "--out", out, server=server)
    assert result.exit == 2
    assert f"{manifest}:4: id 'a' is taken by line 2" in result.stderr


@pytest.mark.slow
def test_a_retry_on_request_that_fails_for_now_leaves_a_refusal_final(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=4)
    refused, stream, changed = (corpus.folder / f"{n:05d}.wav" for n in (1, 2, 3))
    faults = "".join(
        f'[[fault]]\nkind = "{kind}"\nfile = "{name}"\ntimes = {times}\n{more}\n'
        for kind, name, times, more in (
            ("policy", refused, 1, 'message = "bad audio"'),
            ("stream_error", stream, 3, 'message = "the decoder gave up"'),
            ("policy", changed, 1, 'message = "bad audio"'),
            ("unavailable", refused, 3, ""),
            ("unavailable", stream, 3, ""),
            ("unavailable", changed, 3, ""),
        )
    )
    manifest = tmp_path / "m.csv"
    manifest.write_text("audio,language\n" + "".join(f"audio/{name},en\n" for name in corpus.texts))
    with start_server(faults=faults) as server:
        quick = ("--set", "retry.base_s=0.01", "--set", "retry.max_attempts=3")
        args = ("run", manifest, "--out", out, *quick)
        assert batch(*args, server=server).exit == 3
        final = {
            "audio/00001.wav": "AudioRefused",
            "audio/00002.wav": "RepeatedStreamError",
            "audio/00003.wav": "AudioRefused",
        }
        assert errors_of(out) == final
        first = {row["id"]: row for row in jsonl_of(out, "errors.jsonl")}

        manifest.write_text(manifest.read_text().replace(f"{changed.name},en", f"{changed.name},fr"))
        assert batch(*args, "--only", "failed", server=server).exit == 3
        assert errors_of(out) == final | {"audio/00003.wav": "ServerFault"}, "with other settings it has its own reason"
        for row in jsonl_of(out, "errors.jsonl"):
            before = first[row["id"]]
            assert row["attempts"] == before["attempts"] + 3
            assert row["run_id"] > before["run_id"]
            assert row["last_seen"] > before["last_seen"]
            if row["id"] != f"audio/{changed.name}":
                same = ("error", "message", "http_status", "code", "retryable", "clip", "first_seen")
                assert [row[name] for name in same] == [before[name] for name in same]

        requests = server.stats()["requests"]
        assert batch(*args, server=server).exit == 0
        assert server.stats()["requests"] == requests + 1, "only the changed row is sent again"


def test_a_limit_that_was_reached_decides_the_status_also_where_something_failed(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=2)
    args = ("run", corpus.folder, "--out", out, "--limit", "1")
    with start_server(faults='[[fault]]\nkind = "policy"\nmessage = "bad audio"\ntimes = 2') as server:
        first = batch(*args, server=server)
        assert (first.exit, first.figures["failed"], first.figures["left"]) == (4, 1, 1)
        last = batch(*args, server=server)
        assert (last.exit, last.figures["failed"], last.figures["left"]) == (3, 2, 0), "it finished"
