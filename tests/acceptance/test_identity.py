"""Nothing is paid twice: the same audio is sent once, and what is only told differently is not sent at all."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.batch import Corpus, batch, errors_of, jsonl_of, jsonl_rows_of, rows_of, table_of, write_wav
from tests.servers import RunningServer, start_server

AS_WRITTEN = "[service.json_config]\ndelay_in_tokens = 24\n"
CANONICAL, WRITTEN = "0fcde0d9aefc675cd7792327a9b61ca7", "99bf877f579191b02f5a3a4eabcf0e38"
"""The hashes of these settings: as they are, and as versions before the canonical form had them."""


def test_identical_files_under_many_ids_are_one_request(tmp_path: Path, out: Path) -> None:
    text = write_wav(tmp_path / "audio" / "0.wav", seed=1)
    for n in range(1, 10):
        shutil.copy(tmp_path / "audio" / "0.wav", tmp_path / "audio" / f"{n}.wav")
    with start_server(latency_s=0.1) as server:
        result = batch("run", tmp_path / "audio", "--out", out, server=server)
        assert result.exit == 0
        assert server.stats()["requests"] == 1
        assert rows_of(out) == jsonl_rows_of(out) == {f"{n}.wav": text for n in range(10)}
        assert sum(row["credits"] for row in jsonl_of(out)) == 1.5
        # one more on a later night: its transcript is already published
        shutil.copy(tmp_path / "audio" / "0.wav", tmp_path / "audio" / "later.wav")
        assert batch("run", tmp_path / "audio", "--out", out, server=server).exit == 0
        assert server.stats()["requests"] == 1
        assert rows_of(out)["later.wav"] == text


def test_a_renamed_file_is_recognised(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    batch("run", corpus.folder, "--out", out, server=server)
    before = server.stats()["requests"]
    (corpus.folder / "00001.wav").rename(corpus.folder / "renamed.wav")
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    assert server.stats()["requests"] == before
    corpus.texts["renamed.wav"] = corpus.texts.pop("00001.wav")
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts


def test_copies_of_a_refused_file_share_its_failure(tmp_path: Path, out: Path) -> None:
    write_wav(tmp_path / "audio" / "a.wav", seed=1)
    shutil.copy(tmp_path / "audio" / "a.wav", tmp_path / "audio" / "b.wav")
    refuse = '[[fault]]\nkind = "policy"\nmessage = "bad audio"\nprobability = 1.0'
    with start_server(faults=refuse, latency_s=0.2) as server:
        assert batch("run", tmp_path / "audio", "--out", out, server=server).exit == 3
        assert errors_of(out) == {"a.wav": "AudioRefused", "b.wav": "AudioRefused"}
        assert server.stats()["requests"] == 1


def test_a_copy_that_comes_after_the_refusal_is_not_sent(tmp_path: Path, out: Path) -> None:
    names = [f"{n:02}.wav" for n in range(40)]  # more than are prepared ahead of the pool
    for seed, name in enumerate(names[:-1]):
        write_wav(tmp_path / "audio" / name, seed=seed)
    shutil.copy(tmp_path / "audio" / names[0], tmp_path / "audio" / names[-1])
    refuse = f'[[fault]]\nkind = "policy"\nmessage = "bad audio"\nfile = "{tmp_path / "audio" / names[0]}"'
    with start_server(faults=refuse) as server:
        result = batch("run", tmp_path / "audio", "--out", out, "--set", "pool.concurrency=1", server=server)
        assert result.exit == 3
        assert errors_of(out) == dict.fromkeys((names[0], names[-1]), "AudioRefused")
        assert server.stats()["requests"] == len(names) - 1


def test_only_all_sends_copies_once_again(server: RunningServer, tmp_path: Path, out: Path) -> None:
    write_wav(tmp_path / "audio" / "a.wav", seed=71)
    shutil.copy(tmp_path / "audio" / "a.wav", tmp_path / "audio" / "b.wav")
    batch("run", tmp_path / "audio", "--out", out, server=server)
    before = server.stats()["requests"]
    assert batch("run", tmp_path / "audio", "--out", out, "--only", "all", server=server).exit == 0
    assert server.stats()["requests"] - before in (1, 2), "one, or two when the first is done before the second comes"
    assert len(rows_of(out)) == 2


def manifest(path: Path, speaker: str, reference: str, *more: str) -> Path:
    rows = [f"a,audio/a.wav,{speaker},{reference}", *more]
    path.write_text("id,audio,speaker,reference\n" + "\n".join(rows) + "\n")
    return path


def test_another_reference_or_other_metadata_are_written_without_sending(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    text = write_wav(tmp_path / "audio" / "a.wav", seed=5)
    write_wav(tmp_path / "audio" / "b.wav", seed=6)
    path = manifest(tmp_path / "m.csv", "Ann", "wrong", "b,audio/b.wav,Bob,")
    batch("run", path, "--out", out, server=server)
    before = server.stats()["requests"]
    manifest(path, "Zoe", text, "b,audio/b.wav,Bob,")
    result = batch("run", path, "--out", out, server=server)
    assert result.exit == 0
    assert server.stats()["requests"] == before
    [row] = [row for row in jsonl_of(out) if row["id"] == "a"]
    assert (row["metadata"], row["reference"], row["wer"]) == ({"speaker": "Zoe"}, text, 0.0)
    by_id = {row["id"]: json.loads(row["metadata"]) for row in table_of(out).to_pylist()}
    assert by_id == {"a": {"speaker": "Zoe"}, "b": {"speaker": "Bob"}}
    assert json.loads((out / "summary.json").read_text())["wer"] == 0.0
    assert len(rows_of(out)) == len(jsonl_rows_of(out)) == 2


def test_a_touched_file_with_other_metadata_is_written_anew_too(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    write_wav(tmp_path / "audio" / "a.wav", seed=5)
    path = manifest(tmp_path / "m.csv", "Ann", "")
    batch("run", path, "--out", out, server=server)
    before = server.stats()["requests"]
    manifest(path, "Zoe", "")
    os.utime(tmp_path / "audio" / "a.wav", (1, 1))
    assert batch("run", path, "--out", out, server=server).exit == 0
    assert server.stats()["requests"] == before
    [row] = jsonl_of(out)
    assert row["metadata"] == {"speaker": "Zoe"}


def test_a_row_that_only_moved_within_the_manifest_is_the_row_it_was(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    write_wav(tmp_path / "audio" / "a.wav", seed=5)
    write_wav(tmp_path / "audio" / "b.wav", seed=6)
    path = manifest(tmp_path / "m.csv", "Ann", "")
    batch("run", path, "--out", out, server=server)
    part = (out / "transcripts" / "part-000001.parquet").stat().st_mtime_ns
    path.write_text("id,audio,speaker,reference\nb,audio/b.wav,Bob,\na,audio/a.wav,Ann,\n")
    assert batch("run", path, "--out", out, server=server).exit == 0
    assert (out / "transcripts" / "part-000001.parquet").stat().st_mtime_ns == part
    assert len(rows_of(out)) == 2


def test_two_manifests_of_one_name_do_not_share_a_default_output(server: RunningServer, tmp_path: Path) -> None:
    for folder in ("x", "y"):
        Corpus(tmp_path / folder / "set", count=1)
    assert batch("run", tmp_path / "x" / "set", server=server, cwd=tmp_path).exit == 0
    other = batch("run", tmp_path / "y" / "set", server=server, cwd=tmp_path)
    assert other.exit == 2
    assert "choose a folder for" in other.stderr


@pytest.mark.slow
def test_settings_that_are_only_written_otherwise_are_not_paid_again(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    config = tmp_path / "config.toml"

    def run(text: str) -> int:
        config.write_text(f"[service.json_config]\n{text}\n")
        before = server.stats()["requests"]
        assert batch("run", corpus.folder, "--out", out, "--config", config, server=server).exit == 0
        return int(server.stats()["requests"] - before)

    assert run('delay_in_frames = 24\nkeywords = { words = ["alpha", "beta"] }') == 3
    for same in (
        'delay_in_tokens = 24\nkeywords = { words = ["beta", "alpha"] }',
        'delay_in_frames = 24\nkeywords = { words = ["alpha", "beta", "alpha"], boost = 3 }',
        'delay_in_frames = 24\nkeywords = { words = ["alpha", "beta"], boost = 3.0 }',
    ):
        assert run(same) == 0
    assert run('delay_in_frames = 24\nkeywords = { words = ["alpha"] }') == 3


@pytest.mark.slow
def test_an_output_whose_settings_were_hashed_as_they_were_written_is_not_paid_again(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    config = tmp_path / "config.toml"
    config.write_text("[service.json_config]\ndelay_in_tokens = 24\n")
    args = ("run", corpus.folder, "--out", out, "--config", config)
    assert batch(*args, server=server).exit == 0
    older(out, CANONICAL, WRITTEN)
    before = server.stats()["requests"]
    shutil.copy(corpus.folder / "00000.wav", corpus.folder / "copy.wav")
    assert '"changed":0' in batch("check", *args[1:], "--json", server=server).stdout
    assert batch(*args, server=server).exit == 0
    assert server.stats()["requests"] == before
    assert {row["config_hash"] for row in jsonl_of(out)} == {CANONICAL}
    assert set(table_of(out)["config_hash"].to_pylist()) == {CANONICAL}
    assert batch("rebuild", out, "--force").exit == 0
    assert batch(*args, server=server).exit == 0
    assert server.stats()["requests"] == before


@pytest.fixture
def old(server: RunningServer, tmp_path: Path, out: Path) -> Corpus:
    """Recordings that were transcribed before there was a canonical form, under the settings in config.toml."""
    corpus = Corpus(tmp_path / "audio", count=3)
    (tmp_path / "config.toml").write_text(AS_WRITTEN)
    args = ("--out", out, "--config", tmp_path / "config.toml")
    assert batch("run", corpus.folder, *args, server=server).exit == 0
    older(out, CANONICAL, WRITTEN)
    return corpus


def costs_nothing(server: RunningServer, manifest: Path, out: Path) -> bool:
    """Whether check foretells no request, and a run sends none."""
    args = (manifest, "--out", out, "--config", out.parent / "config.toml")
    before = server.stats()["requests"]
    told = json.loads(batch("check", *args, "--json", server=server).stdout)
    assert batch("run", *args, server=server).exit == 0
    return (told["requests"], server.stats()["requests"] - before) == (0, 0)


@pytest.mark.slow
def test_a_recording_that_was_renamed_before_the_first_run_with_the_canonical_form_is_not_paid_again(
    server: RunningServer, out: Path, old: Corpus
) -> None:
    (old.folder / "00001.wav").rename(old.folder / "renamed.wav")
    assert costs_nothing(server, old.folder, out)
    old.texts["renamed.wav"] = old.texts.pop("00001.wav")
    assert rows_of(out) == jsonl_rows_of(out) == old.texts
    assert {row["config_hash"] for row in jsonl_of(out)} == {CANONICAL}
    assert costs_nothing(server, old.folder, out)


@pytest.mark.slow
def test_a_copy_of_what_only_another_manifest_has_from_before_the_canonical_form_is_not_paid_again(
    server: RunningServer, tmp_path: Path, out: Path, old: Corpus
) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy(old.folder / "00001.wav", tmp_path / "other" / "copy.wav")
    assert costs_nothing(server, tmp_path / "other", out)
    assert {row["config_hash"] for row in jsonl_of(out) if row["id"] == "copy.wav"} == {CANONICAL}
    assert costs_nothing(server, old.folder, out)


@pytest.mark.slow
def test_settings_that_are_changed_and_changed_back_find_what_was_hashed_as_it_was_written(
    server: RunningServer, tmp_path: Path, out: Path, old: Corpus
) -> None:
    (tmp_path / "config.toml").write_text("[service.json_config]\ndelay_in_frames = 48\n")
    args = ("--out", out, "--config", tmp_path / "config.toml")
    assert batch("run", old.folder, *args, server=server).exit == 0
    (tmp_path / "config.toml").write_text(AS_WRITTEN)
    assert costs_nothing(server, old.folder, out)
    assert {row["config_hash"] for row in jsonl_of(out)} == {CANONICAL}


@pytest.mark.parametrize("formats", ['["parquet", "jsonl"]', '["jsonl"]'])
def test_names_that_changed_places_before_the_first_run_with_the_canonical_form_are_not_paid_again(
    server: RunningServer, tmp_path: Path, out: Path, formats: str
) -> None:
    corpus = Corpus(tmp_path / "audio", count=0)
    for number in range(6):
        corpus.add(number, seconds=0.5 + number / 10)
    (tmp_path / "config.toml").write_text(f"sink.formats = {formats}\n{AS_WRITTEN}")
    args = (corpus.folder, "--out", out, "--config", tmp_path / "config.toml")
    assert batch("run", *args, server=server).exit == 0
    older(out, CANONICAL, WRITTEN)
    names = sorted(corpus.texts)
    for name in names:
        (corpus.folder / name).rename(corpus.folder / f"{name}.old")
    for name, other in zip(names, reversed(names), strict=True):
        (corpus.folder / f"{name}.old").rename(corpus.folder / other)
    corpus.texts = dict(zip(reversed(names), corpus.texts.values(), strict=True))
    assert costs_nothing(server, corpus.folder, out)
    assert jsonl_rows_of(out) == corpus.texts
    assert {row["config_hash"] for row in jsonl_of(out)} == {CANONICAL}


def older(out: Path, canonical: str, written: str) -> None:
    """Makes the output what it was before there was a canonical form."""
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db, db:
        db.execute("UPDATE utterances SET config_hash = ?, done_config = ?", (written, written))
    for path in (out / "transcripts").glob("*.parquet"):
        rows = pq.read_table(path)
        at = rows.column_names.index("config_hash")
        hashes = pa.array([written] * rows.num_rows)
        pq.write_table(rows.set_column(at, rows.schema.field(at), hashes), path)
    lines = (out / "transcripts.jsonl").read_text().replace(canonical, written)
    (out / "transcripts.jsonl").write_text(lines)


def mono_and_stereo(folder: Path) -> None:
    """Two recordings of one channel, one that goes out as it is and one that is decoded, and one of two channels."""
    sounds = [np.random.default_rng(seed).integers(-9_000, 9_000, 12_000, np.int16) for seed in range(4)]
    folder.mkdir()
    soundfile.write(folder / "mono.wav", sounds[0], 24_000, "PCM_16")
    soundfile.write(folder / "mono.flac", sounds[1], 24_000, "PCM_16")
    soundfile.write(folder / "stereo.wav", np.stack(sounds[2:], axis=1), 24_000, "PCM_16")


def told_and_sent(server: RunningServer, manifest: Path, out: Path, channels: str, *more: str) -> tuple[int, int]:
    """Requests that check foretells, and that a run sends."""
    args = (manifest, "--out", out, "--set", f"audio.channels={channels}", *more)
    before = server.stats()["requests"]
    told = json.loads(batch("check", *args, "--json", server=server).stdout)
    assert batch("run", *args, server=server).exit == 0
    return told["requests"], int(server.stats()["requests"] - before)


def as_paid(out: Path) -> dict[str, dict[str, Any]]:
    """The rows without what tells one run, or one form of the same settings, from another."""
    apart = ("config_hash", "run_id", "finished_at", "latency_s", "request_ids")
    return {row["id"]: {key: value for key, value in row.items() if key not in apart} for row in jsonl_of(out)}


@pytest.mark.slow
@pytest.mark.parametrize("channels", [("mix", "split"), ("split", "mix", "first", "split")])
def test_a_recording_of_one_channel_is_paid_once_whatever_the_channels_are_set_to(
    server: RunningServer, tmp_path: Path, out: Path, channels: tuple[str, ...]
) -> None:
    mono_and_stereo(tmp_path / "audio")
    stereo = {"mix": 1, "first": 1, "split": 2}
    for number, setting in enumerate(channels):
        # what was replaced is found again
        expected = 2 * (not number) + stereo[setting] * (setting not in channels[:number])
        assert told_and_sent(server, tmp_path / "audio", out, setting) == (expected, expected)
    (tmp_path / "audio" / "stereo.wav").unlink()
    fresh = ("run", tmp_path / "audio", "--out", tmp_path / "fresh", "--set", f"audio.channels={channels[-1]}")
    assert batch(*fresh, server=server).exit == 0
    ours, paid = as_paid(out), as_paid(tmp_path / "fresh")
    assert {id_: ours[id_] for id_ in paid} == paid
    assert sorted(paid) == ["mono.flac", "mono.wav"]
    assert batch("rebuild", out, "--force").exit == 0
    assert told_and_sent(server, tmp_path / "audio", out, "first") == (0, 0)


@pytest.mark.slow
def test_copies_and_new_names_of_a_recording_of_one_channel_cost_nothing_under_other_channels(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    mono_and_stereo(audio := tmp_path / "audio")
    assert told_and_sent(server, audio, out, "mix") == (3, 3)
    (audio / "stereo.wav").unlink()
    (audio / "mono.flac").rename(audio / "renamed.flac")
    shutil.copy(audio / "mono.wav", audio / "copy.wav")
    assert told_and_sent(server, audio, out, "split") == (0, 0)
    assert sorted(as_paid(out)) == ["copy.wav", "mono.wav", "renamed.flac", "stereo.wav"]
    (tmp_path / "other").mkdir()
    shutil.copy(audio / "mono.wav", tmp_path / "other" / "third.wav")
    assert told_and_sent(server, tmp_path / "other", out, "first") == (0, 0)
    assert told_and_sent(server, audio, out, "first") == (0, 0)
    (audio / "copy.wav").unlink()
    assert told_and_sent(server, audio, out, "first", "--only", "all") == (2, 2)


@pytest.mark.slow
def test_a_row_that_names_its_channel_is_paid_once_whatever_the_channels_are_set_to(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    mono_and_stereo(tmp_path / "audio")
    (tmp_path / "rows.csv").write_text("id,audio,channel\nleft,audio/stereo.wav,0\nright,audio/stereo.wav,1\n")
    assert told_and_sent(server, tmp_path / "rows.csv", out, "mix") == (2, 2)
    for setting in ("split", "first", "mix"):
        assert told_and_sent(server, tmp_path / "rows.csv", out, setting) == (0, 0)


@pytest.mark.slow
def test_a_recording_that_may_go_on_with_more_channels_is_paid_for_each_setting(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio" / "mono.mp3", np.zeros(24_000), 24_000)
    assert told_and_sent(server, tmp_path / "audio", out, "mix") == (1, 1)
    assert told_and_sent(server, tmp_path / "audio", out, "split") == (1, 1)


@pytest.mark.slow
def test_an_output_from_before_the_canonical_form_answers_under_other_channels_too(
    server: RunningServer, out: Path, old: Corpus
) -> None:
    config = ("--config", str(out.parent / "config.toml"))
    assert told_and_sent(server, old.folder, out, "split", *config) == (0, 0)
    shutil.copy(old.folder / "00001.wav", old.folder / "copy.wav")
    assert told_and_sent(server, old.folder, out, "first", *config) == (0, 0)
