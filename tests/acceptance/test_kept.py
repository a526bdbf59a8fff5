"""A transcript leaves the output only when a newer answer replaces it: missing or broken files take none away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.batch import (
    Corpus,
    batch,
    errors_of,
    finish,
    jsonl_of,
    jsonl_rows_of,
    rows_of,
    start_batch,
    write_wav,
)
from tests.servers import RunningServer, start_server


def csv_of(corpus: Corpus, path: Path) -> Path:
    """A manifest with ids of its own."""
    path.write_text("id,audio\n" + "".join(f"{name},{corpus.folder}/{name}\n" for name in corpus.texts))
    return path


def kept_of(out: Path) -> dict[str, bool]:
    kept = {row["id"]: row["kept"] for row in jsonl_of(out, "errors.jsonl")}
    assert errors_of(out).keys() == kept.keys()
    return kept


@pytest.mark.parametrize("count", [pytest.param(5, marks=pytest.mark.slow), 12])
def test_an_unmounted_archive_loses_no_row_and_costs_nothing_when_it_is_back(
    server: RunningServer, tmp_path: Path, out: Path, count: int
) -> None:
    corpus = Corpus(tmp_path / "audio", count=count)
    manifest = csv_of(corpus, tmp_path / "m.csv")
    assert batch("run", manifest, "--out", out, server=server).exit == 0
    before = server.stats()["requests"]
    corpus.folder.rename(tmp_path / "away")
    night = batch("run", manifest, "--out", out, server=server)
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
    assert errors_of(out) == {}
    assert (night.figures["done"], night.figures["failed"], night.figures["left"]) == (count, 0, 0)
    assert json.loads((out / "summary.json").read_text())["gone"] == count
    sentence = f"{count} of {count} recordings of the last run are missing: is the disk mounted?"
    told = [line for line in night.stderr.splitlines() if sentence in line]
    if count < 10:
        assert (night.exit, told) == (0, [])
    else:
        assert night.exit == 3
        assert told[0] == night.stderr.splitlines()[0], "said first"
        assert told[1:] == [night.stderr.splitlines()[-2]], "and last, before the line for scripts"
    assert json.loads(batch("status", out, "--json").stdout)["gone"] == count
    assert json.loads(batch("check", manifest, "--out", out, "--json", server=server).stdout)["gone"] == count
    assert batch("run", manifest, "--out", out, server=server).exit == 0, "since the last run nothing more has gone"
    (tmp_path / "away").rename(corpus.folder)
    back = batch("run", manifest, "--out", out, server=server)
    assert back.exit == 0
    assert "changed" not in back.stderr or "0 changed" in back.stderr, "what comes back as it was is not even looked at"
    assert server.stats()["requests"] == before
    assert rows_of(out) == corpus.texts


def test_a_folder_that_is_suddenly_empty_is_told_and_loses_nothing(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=12)
    batch("run", corpus.folder, "--out", out, server=server)
    shutil.move(corpus.folder, tmp_path / "away")
    corpus.folder.mkdir()
    night = batch("run", corpus.folder, "--out", out, server=server)
    assert night.exit == 3
    assert "12 of 12 recordings of the last run are missing: is the disk mounted?" in night.stderr
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
    again = batch("run", corpus.folder, "--out", out, server=server)
    assert again.exit == 0, "since the last run nothing more has gone"
    assert "12 no longer in the manifest" in again.stderr
    corpus.folder.rmdir()
    shutil.move(tmp_path / "away", corpus.folder)
    before = server.stats()["requests"]
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    assert server.stats()["requests"] == before


@pytest.mark.slow
def test_a_third_of_a_folder_that_vanished_is_told(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=30)
    batch("run", corpus.folder, "--out", out, server=server)
    for number in range(10):
        (corpus.folder / f"{number:05d}.wav").unlink()
    night = batch("run", corpus.folder, "--out", out, server=server)
    assert night.exit == 3
    assert "10 of 30 recordings of the last run are missing" in night.stderr
    assert night.figures["done"] == 20
    assert rows_of(out) == corpus.texts


@pytest.mark.slow
def test_rows_that_left_a_csv_are_nobodys_loss(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=30)
    manifest = csv_of(corpus, tmp_path / "m.csv")
    batch("run", manifest, "--out", out, server=server)
    manifest.write_text("\n".join(manifest.read_text().splitlines()[:11]) + "\n")
    night = batch("run", manifest, "--out", out, server=server)
    assert night.exit == 0
    assert "20 no longer in the manifest" in night.stderr


def test_audio_that_is_deleted_once_it_is_transcribed_stays_done(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=4)
    manifest = csv_of(corpus, tmp_path / "m.csv")
    batch("run", manifest, "--out", out, server=server)
    (corpus.folder / "00002.wav").unlink()
    for only in ((), ("--only", "all", "--set", "service.language=fr")):
        night = batch("run", manifest, "--out", out, *only, server=server)
        assert (night.exit, night.figures["done"]) == (0, 4)
        assert "1 of the done: their recordings are not there" in night.stderr
        assert rows_of(out).keys() == corpus.texts.keys()
        assert rows_of(out)["00002.wav"] == corpus.texts["00002.wav"]
    # its metadata can still be told
    manifest.write_text(
        manifest.read_text().replace("id,audio\n", "id,audio,speaker\n").replace(".wav\n", ".wav,ann\n")
    )
    before = server.stats()["requests"]
    assert batch("run", manifest, "--out", out, "--set", "service.language=fr", server=server).exit == 0
    assert server.stats()["requests"] == before
    assert {row["id"]: row["metadata"] for row in jsonl_of(out)} == {key: {"speaker": "ann"} for key in corpus.texts}


def test_changed_settings_and_one_passing_fault_keep_the_old_transcript(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    manifest = csv_of(corpus, tmp_path / "m.csv")
    with start_server() as server:
        batch("run", manifest, "--out", out, server=server)
    fault = f'[[fault]]\nkind = "unavailable"\nfile = "{corpus.folder}/00001.wav"'
    args = ("run", manifest, "--out", out, "--set", "service.language=fr", "--set", "retry.max_attempts=1")
    with start_server(faults=fault) as server:
        night = batch(*args, server=server)
        assert (night.exit, night.figures["done"], night.figures["failed"]) == (3, 2, 1)
        assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
        assert errors_of(out) == {"00001.wav": "ServerFault"}
        assert kept_of(out) == {"00001.wav": True}
    with start_server() as server:
        assert batch(*args, server=server).exit == 0, "done again as its class says"
        assert server.stats()["requests"] == 1
        assert errors_of(out) == {}


def test_changed_content_that_is_broken_keeps_the_old_transcript(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    batch("run", corpus.folder, "--out", out, server=server)
    path = corpus.folder / "00001.wav"
    whole = path.read_bytes()
    path.write_bytes(b"RIFF, but broken")
    before = server.stats()["requests"]
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 3
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
    assert errors_of(out) == {"00001.wav": "AudioUnreadable"}
    assert kept_of(out) == {"00001.wav": True}
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0, "its own fault is left alone"
    assert errors_of(out) == {"00001.wav": "AudioUnreadable"}
    path.write_bytes(whole)
    assert batch("run", corpus.folder, "--out", out, "--only", "failed", server=server).exit == 0
    assert server.stats()["requests"] == before
    assert errors_of(out) == {}
    assert rows_of(out) == corpus.texts


def test_a_file_that_cannot_be_read_for_a_moment_keeps_its_transcript(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    manifest = csv_of(corpus, tmp_path / "m.csv")
    batch("run", manifest, "--out", out, server=server)
    before = server.stats()["requests"]
    path = corpus.folder / "00001.wav"
    away = path.rename(tmp_path / "away.wav")
    path.symlink_to(path)  # it is there, and the system opens it for nobody; tests/nights has EIO and its like
    night = batch("run", manifest, "--out", out, server=server)
    assert (night.exit, night.figures["failed"]) == (3, 1)
    assert rows_of(out) == corpus.texts
    assert kept_of(out) == {"00001.wav": True}
    path.unlink()
    away.rename(path)
    assert batch("run", manifest, "--out", out, server=server).exit == 0
    assert server.stats()["requests"] == before
    assert errors_of(out) == {}


@pytest.mark.parametrize("seconds", [0.62, pytest.param(0.2, marks=pytest.mark.slow)])
def test_a_copy_that_broke_off_replaces_no_transcript(
    server: RunningServer, tmp_path: Path, out: Path, seconds: float
) -> None:
    path = tmp_path / "audio" / "a.wav"
    text = write_wav(path, seed=7, seconds=1.0)
    batch("run", path.parent, "--out", out, server=server)
    whole = path.read_bytes()
    path.write_bytes(whole[: 44 + int(16_000 * seconds)])
    before = server.stats()["requests"]
    check = json.loads(batch("check", path.parent, "--out", out, "--json", server=server).stdout)
    assert (check["requests"], check["unsendable"]) == (0, {"AudioTruncated": 1})
    assert batch("run", path.parent, "--out", out, server=server).exit == 3
    assert errors_of(out) == {"a.wav": "AudioTruncated"}
    assert kept_of(out) == {"a.wav": True}
    assert rows_of(out) == {"a.wav": text}
    path.write_bytes(whole)
    assert batch("run", path.parent, "--out", out, server=server).exit == 0
    assert server.stats()["requests"] == before
    assert rows_of(out) == {"a.wav": text}
    assert errors_of(out) == {}


def test_a_shorter_recording_of_its_own_is_transcribed(server: RunningServer, tmp_path: Path, out: Path) -> None:
    path = tmp_path / "audio" / "a.wav"
    write_wav(path, seed=7, seconds=1.0)
    batch("run", path.parent, "--out", out, server=server)
    text = write_wav(path, seed=8, seconds=0.5)
    assert batch("run", path.parent, "--out", out, server=server).exit == 0
    assert rows_of(out) == {"a.wav": text}


# -- renamed recordings ---------------------------------------------------------------------------------------------


def test_renamed_recordings_keep_one_row_each(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=7)
    shutil.copy(corpus.folder / "00005.wav", corpus.folder / "copy of 5.wav")
    corpus.texts["copy of 5.wav"] = corpus.texts["00005.wav"]
    args = ("run", corpus.folder, "--out", out, "--set", "sink.rows_per_part=3")
    batch(*args, server=server)
    before = server.stats()["requests"]
    spent = {row["id"]: row["credits"] for row in jsonl_of(out)}
    for old, new in (("00001.wav", "b/one.wav"), ("00005.wav", "five.wav"), ("copy of 5.wav", "copy of five.wav")):
        (corpus.folder / new).parent.mkdir(exist_ok=True)
        (corpus.folder / old).rename(corpus.folder / new)
        corpus.texts[new] = corpus.texts.pop(old)
    night = batch(*args, server=server)
    assert night.exit == 0
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
    assert server.stats()["requests"] == before
    assert night.figures["done"] == 8
    assert json.loads((out / "summary.json").read_text())["vanished"] == 0
    assert {row["id"]: row["credits"] for row in jsonl_of(out)}["b/one.wav"] == spent["00001.wav"]
    # and back again, and a night on which nothing happens
    (corpus.folder / "b/one.wav").rename(corpus.folder / "00001.wav")
    corpus.texts["00001.wav"] = corpus.texts.pop("b/one.wav")
    assert batch(*args, server=server).exit == 0
    assert batch(*args, server=server).figures["done"] == 8
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
    assert server.stats()["requests"] == before


@pytest.mark.slow
def test_a_recording_that_comes_back_nights_later_under_another_name_takes_its_row_along(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    manifest = tmp_path / "m.csv"
    manifest.write_text("audio\naudio/00000.wav\naudio/00001.wav\naudio/00002.wav\n")
    assert batch("run", manifest, "--out", out, server=server).exit == 0
    (corpus.folder / "00001.wav").rename(tmp_path / "kept.wav")
    manifest.write_text("audio\naudio/00000.wav\naudio/00002.wav\n")
    assert batch("run", manifest, "--out", out, server=server).exit == 0
    assert len(rows_of(out)) == 3
    manifest.write_text("audio\naudio/00000.wav\nkept.wav\naudio/00002.wav\n")
    before = server.stats()["requests"]
    assert batch("run", manifest, "--out", out, server=server).exit == 0
    assert rows_of(out).keys() == {"audio/00000.wav", "kept.wav", "audio/00002.wav"}
    assert server.stats()["requests"] == before


@pytest.mark.slow
def test_a_row_moves_only_where_its_id_is_a_path_its_file_is_gone_and_its_manifest_is_the_same(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    given = tmp_path / "given.csv"
    given.write_text("id,audio\na,audio/00000.wav\n")
    paths = tmp_path / "paths.csv"
    paths.write_text("audio\naudio/00001.wav\n")
    for manifest in (given, paths):
        assert batch("run", manifest, "--out", out, server=server).exit == 0
    before = server.stats()["requests"]
    (corpus.folder / "00000.wav").rename(corpus.folder / "x.wav")
    given.write_text("id,audio\nb,audio/x.wav\n")  # ids that are given
    shutil.copy(corpus.folder / "00001.wav", corpus.folder / "y.wav")
    paths.write_text("audio\naudio/y.wav\n")  # the file is still there
    for manifest in (given, paths):
        assert batch("run", manifest, "--out", out, server=server).exit == 0
    (corpus.folder / "00001.wav").unlink()
    other = tmp_path / "other.csv"
    other.write_text("audio\n./audio/y.wav\n")  # another manifest
    assert batch("run", other, "--out", out, server=server).exit == 0
    assert rows_of(out).keys() == {"a", "b", "audio/00001.wav", "audio/y.wav", "./audio/y.wav"}
    assert server.stats()["requests"] == before


@pytest.mark.slow
def test_rows_of_another_manifest_are_not_vanished(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=4)
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("audio\naudio/00000.wav\naudio/00001.wav\n")
    two.write_text("audio\naudio/00002.wav\naudio/00003.wav\n")
    for manifest in (one, two, one, two):
        night = batch("run", manifest, "--out", out, server=server)
        assert (night.exit, night.figures["done"]) == (0, 2)
        assert json.loads((out / "summary.json").read_text())["vanished"] == 0
    one.write_text("audio\naudio/00000.wav\n")
    for manifest in (one, two):
        assert batch("run", manifest, "--out", out, server=server).exit == 0
        assert json.loads((out / "summary.json").read_text())["vanished"] == 1
    assert len(rows_of(out)) == len(corpus.texts)


@pytest.mark.slow
def test_what_a_limit_leaves_out_is_not_vanished(server: RunningServer, tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=5)
    for limit in ("2", "2", "2"):
        batch("run", corpus.folder, "--out", out, "--limit", limit, server=server)
        assert json.loads((out / "summary.json").read_text())["vanished"] == 0
    assert rows_of(out) == corpus.texts


# -- copies ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_copy_is_sent_where_the_file_of_the_first_one_is_taken_away(tmp_path: Path, out: Path) -> None:
    text = write_wav(tmp_path / "audio" / "a.wav", seed=1, seconds=0.6)
    for name in "bcd":
        shutil.copy(tmp_path / "audio" / "a.wav", tmp_path / "audio" / f"{name}.wav")
    write_wav(tmp_path / "audio" / "first.wav", seed=2, seconds=40.0)
    with start_server(realtime_factor=0.025) as server:
        run = start_batch(
            "run", tmp_path / "audio", "--out", out, "--set", "pool.concurrency=1", "--set", "pool.adaptive=false",
            server=server,
        )  # fmt: skip
        while server.stats()["sessions"] < 1:  # the long one is at work, and the copies are waiting behind the first
            assert run.poll() is None
        for name in "ab":
            (tmp_path / "audio" / f"{name}.wav").unlink()
        assert finish(run).exit == 3
        found = errors_of(out)
        assert found.keys() == {"a.wav", "b.wav"}
        assert set(found.values()) == {"AudioMissing"}
        for row in jsonl_of(out, "errors.jsonl"):
            assert row["id"] in row["message"], "each one is told of its own file"
        assert {name: rows_of(out)[name] for name in ("c.wav", "d.wav")} == {"c.wav": text, "d.wav": text}
        assert server.stats()["requests"] == 2


# -- owners ---------------------------------------------------------------------------------------------------------


def test_an_output_of_the_local_recognizer_is_not_continued_with_the_service(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=2)
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0, "made with serve, by its URL"
    service = batch("run", corpus.folder, "--out", out, GRADIUM_API_KEY="gd_x")
    assert service.exit == 2
    assert f"{out} belongs to the local recognizer 'fingerprint', and the Gradium service" in service.stderr
    assert "--out" in service.stderr
    assert batch("check", corpus.folder, "--out", out, "--offline", GRADIUM_API_KEY="gd_x").exit == 2
    assert batch("run", corpus.folder, "--out", out, "--set", "service.url=local").exit == 2, "pocketsphinx is another"
    assert rows_of(out) == corpus.texts


def test_an_output_of_the_service_is_not_continued_with_a_local_recognizer(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=2)
    batch("run", corpus.folder, "--out", out, server=server)
    as_if_by_the_service(out)
    before = server.stats()["requests"]
    corpus.add(2)
    by_url = batch("run", corpus.folder, "--out", out, server=server)
    assert by_url.exit == 2
    assert "belongs to the Gradium service, and the local recognizer 'fingerprint'" in by_url.stderr
    embedded = batch("run", corpus.folder, "--out", out, "--set", "service.url=local")
    assert embedded.exit == 2
    assert server.stats()["requests"] == before
    # refused before anything else: nothing was planned or written anew
    status = json.loads(batch("status", out, "--json").stdout)
    assert (status["done"], status["left"], status["vanished"]) == (2, 0, 0)
    assert rows_of(out) == {name: corpus.texts[name] for name in ("00000.wav", "00001.wav")}


@pytest.mark.slow
@pytest.mark.parametrize("model", ["local-fingerprint", "stt-2", None])
def test_an_output_of_an_older_version_is_known_by_its_transcripts(
    server: RunningServer, tmp_path: Path, out: Path, model: str | None
) -> None:
    import sqlite3

    import pyarrow as pa
    import pyarrow.parquet as pq

    corpus = Corpus(tmp_path / "audio", count=2)
    batch("run", corpus.folder, "--out", out, server=server)
    with sqlite3.connect(out / "checkpoint.sqlite") as db:
        db.execute("DELETE FROM facts WHERE key = 'owner'")
    part = out / "transcripts/part-000001.parquet"
    table = pq.read_table(part)
    at = table.schema.get_field_index("model")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array([model] * len(table), pa.string())), part)
    service = batch(
        "run", corpus.folder, "--out", out, "--set", "service.url=https://127.0.0.2:9", GRADIUM_API_KEY="gd_x"
    )
    assert service.exit == (2 if model == "local-fingerprint" else 0), service.stderr


def test_the_local_recognizer_has_a_default_folder_of_its_own(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "calls", count=1)
    local = ("--set", "service.url=local", "--set", "local.recognizer=fingerprint")
    assert batch("run", corpus.folder, *local, cwd=tmp_path).exit == 0
    assert rows_of(tmp_path / "runs" / "calls-local") == corpus.texts
    assert json.loads(batch("check", corpus.folder, *local, "--json", cwd=tmp_path).stdout)["done"] == 1


def as_if_by_the_service(out: Path) -> None:
    import sqlite3

    with sqlite3.connect(out / "checkpoint.sqlite") as db:
        db.execute("UPDATE facts SET value = 'gradium' WHERE key = 'owner'")


@pytest.mark.slow
def test_a_disk_that_is_missed_is_told_though_another_manifest_ran_in_between(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=12)
    main, other = csv_of(corpus, tmp_path / "main.csv"), tmp_path / "other.csv"
    write_wav(tmp_path / "x.wav", seed=99)
    other.write_text("id,audio\nx,x.wav\n")
    for manifest in (main, other):
        assert batch("run", manifest, "--out", out, server=server).exit == 0
    corpus.folder.rename(tmp_path / "away")
    assert batch("run", other, "--out", out, server=server).exit == 0
    assert batch("run", main, "--out", out, server=server).exit == 3


@pytest.mark.slow
def test_an_output_that_holds_nothing_yet_belongs_to_nobody(server: RunningServer, tmp_path: Path, out: Path) -> None:
    out.mkdir()
    missing = batch("run", tmp_path / "none.csv", "--out", out, "--set", "service.url=local")
    assert missing.exit == 2
    corpus = Corpus(tmp_path / "audio", count=1)
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0


def test_a_renamed_recording_that_fails_on_its_first_night_moves_its_row_on_the_next(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    batch("run", corpus.folder, "--out", out, server=server)
    before = server.stats()["requests"]
    whole = (corpus.folder / "00001.wav").read_bytes()
    (corpus.folder / "00001.wav").unlink()
    (corpus.folder / "new.wav").write_bytes(b"RIFF, half copied")
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 3
    (corpus.folder / "new.wav").write_bytes(whole)
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    corpus.texts["new.wav"] = corpus.texts.pop("00001.wav")
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
    assert server.stats()["requests"] == before


def test_a_copy_of_a_poisoned_file_makes_no_outage_of_it(tmp_path: Path, out: Path) -> None:
    for number in range(12):
        write_wav(tmp_path / "audio" / f"{number:02}.wav", seed=number)
    shutil.copy(tmp_path / "audio" / "00.wav", tmp_path / "audio" / "copy.wav")
    settings = ("retry.base_s=0.01", "retry.max_s=0.05", "retry.probe_s=0.05", "retry.max_attempts=3")
    with start_server(faults='[[fault]]\nkind = "malformed_line"') as server:
        night = batch("run", tmp_path / "audio", "--out", out, *(f"--set={one}" for one in settings), server=server)
    assert night.exit == 3
    assert set(errors_of(out).values()) == {"StreamMalformed"}
    assert len(errors_of(out)) == 13


@pytest.mark.slow
def test_a_rebuild_before_a_moved_row_was_published_doubles_none(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=3)
    batch("run", corpus.folder, "--out", out, server=server)
    (corpus.folder / "00001.wav").rename(corpus.folder / "new.wav")
    corpus.texts["new.wav"] = corpus.texts.pop("00001.wav")
    parts = {path: path.read_bytes() for path in (out / "transcripts").iterdir()}
    lines = (out / "transcripts.jsonl").read_bytes()
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    as_if_never_published(out, parts, lines)
    assert batch("rebuild", out, "--force").exit == 0
    before = server.stats()["requests"]
    assert batch("run", corpus.folder, "--out", out, server=server).exit == 0
    assert rows_of(out) == jsonl_rows_of(out) == corpus.texts
    assert server.stats()["requests"] == before


def as_if_never_published(out: Path, parts: dict[Path, bytes], lines: bytes) -> None:
    """Takes a moved row back to where a kill would have left it: in the checkpoint, and its part under its old id."""
    import sqlite3

    import msgspec

    from pipeline.model import Transcript

    rows = {row["id"]: row for row in jsonl_of(out)}
    for path, content in parts.items():
        path.write_bytes(content)
    (out / "transcripts.jsonl").write_bytes(lines)
    moved = msgspec.msgpack.encode(msgspec.convert(rows["new.wav"], Transcript))
    with sqlite3.connect(out / "checkpoint.sqlite") as db:
        [n] = db.execute("SELECT n FROM utterances WHERE id = 'new.wav'").fetchone()
        db.execute("INSERT INTO results VALUES (?, ?, '00001.wav')", (n, moved))
        db.execute("UPDATE facts SET value = ? WHERE key = 'jsonl_bytes'", (len(lines),))


@pytest.mark.parametrize("kind", ["policy", "internal_error"])
def test_what_failed_and_keeps_a_transcript_has_failed_after_a_rebuild_too(
    tmp_path: Path, out: Path, kind: str
) -> None:
    corpus = Corpus(tmp_path / "audio", count=2)
    manifest = csv_of(corpus, tmp_path / "m.csv")
    name = corpus.folder / "00000.wav"
    once = ("--set", "retry.max_attempts=1")
    with start_server() as server:
        assert batch("run", manifest, "--out", out, server=server).exit == 0
    write_wav(name, seed=99)
    with start_server(faults=f'[[fault]]\nkind = "{kind}"\nmessage = "bad audio"\nfile = "{name}"\n') as server:
        batch("run", manifest, "--out", out, *once, server=server)
        batch("run", manifest, "--out", out, *once, server=server)
        before, failures = json.loads(batch("status", out, "--json").stdout), jsonl_of(out, "errors.jsonl")
        assert batch("rebuild", out, "--force").exit == 0
        after = json.loads(batch("status", out, "--json").stdout)
        for told in ("done", "failed", "kept", "postponed", "postponed_runs"):
            assert before[told] == after[told]
        asked = server.stats()["requests"]
        assert batch("run", manifest, "--out", out, *once, server=server).exit == 0
        assert server.stats()["requests"] == asked, "it is left alone, or waits"
    assert jsonl_of(out, "errors.jsonl") == failures
    assert rows_of(out) == corpus.texts


def test_a_folder_of_recordings_that_is_renamed_is_no_missing_disk(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "archive" / "old name", count=12)
    batch("run", tmp_path / "archive", "--out", out, server=server)
    corpus.folder.rename(tmp_path / "archive" / "new name")
    night = batch("run", tmp_path / "archive", "--out", out, server=server)
    assert (night.exit, night.figures["done"]) == (0, 12)
    assert rows_of(out) == {f"new name/{name}": text for name, text in corpus.texts.items()}


def test_a_compressed_copy_that_broke_off_is_told_from_a_broken_file(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    shutil.copy(Path(__file__).parents[2] / "manifests/sample/sister.opus", folder / "a.opus")
    whole = (folder / "a.opus").read_bytes()
    batch("run", folder, "--out", out, server=server)
    before = rows_of(out)
    for length in (10_000, 3_000, 100):
        (folder / "a.opus").write_bytes(whole[:length])
        night = batch("run", folder, "--out", out, server=server)
        assert errors_of(out) == {"a.opus": "AudioTruncated"}
        assert "1 of them keep the transcript they had" in night.stderr
        assert rows_of(out) == before


@pytest.mark.slow
def test_a_time_limit_that_comes_when_all_is_done_changes_nothing(tmp_path: Path, out: Path) -> None:
    write_wav(tmp_path / "audio" / "a.wav", seed=1)
    with start_server(latency_s=1.5) as server:
        night = batch("run", tmp_path / "audio", "--out", out, "--max-duration", "1s", server=server)
    assert (night.exit, night.figures["done"], night.figures["left"]) == (0, 1, 0)
