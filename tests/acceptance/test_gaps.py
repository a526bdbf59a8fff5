"""A long recording one clip of which always fails: what it costs over nights, what is told, and its transcript with a
gap until the clip comes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.batch import Finished, batch, errors_of, jsonl_of, table_of, write_wav
from tests.servers import RunningServer, start_server

SECONDS, POISONED = 20.0, 2
CUT = ("--set", "audio.max_clip_s=5", "--set", "retry.max_attempts=2", "--set", "retry.base_s=0.01")
PARTIAL = (*CUT, "--set", "audio.allow_partial=true")


class Long:
    """A recording of half a minute, and what a service without faults makes of it."""

    def __init__(self, folder: Path) -> None:
        self.audio = folder / "audio"
        write_wav(self.audio / "long.wav", seed=7, seconds=SECONDS)
        with start_server(request_log=folder / "log") as server:
            one_by_one = ("--concurrency", "1", "--set", "pool.concurrency=1")
            assert batch("run", self.audio, "--out", folder / "whole", *CUT, *one_by_one, server=server).exit == 0
        [self.row] = jsonl_of(folder / "whole")
        bodies = [json.loads(line)["digest"] for line in (folder / "log").read_text().splitlines()]
        self.clips = len(bodies)
        assert self.clips > POISONED + 1
        self.poisoned = bodies[POISONED]
        self.gap_words = [word for word in self.row["words"] if word["clip"] == POISONED]
        assert self.gap_words

    @contextmanager
    def server(self, kind: str = 'kind = "internal_error"') -> Iterator[RunningServer]:
        """One that always fails on the poisoned clip."""
        with start_server(faults=f'[[fault]]\n{kind}\nsha256 = "{self.poisoned}"\n') as server:
            yield server


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Long:
    return Long(tmp_path_factory.mktemp("long"))


def night(server: RunningServer, audio: Path, out: Path, *more: str) -> tuple[int, Finished]:
    """Runs the command; returns the number of requests as well."""
    before = server.stats()["requests"]
    result = batch("run", audio, "--out", out, *more, server=server)
    return server.stats()["requests"] - before, result


def status_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(batch("status", out, "--json").stdout)
    return found


def forecast(audio: Path, out: Path, server: RunningServer, *more: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(batch("check", audio, "--out", out, "--json", *more, server=server).stdout)
    return found


def issues_of(out: Path) -> dict[str, list[str]]:
    return {row["id"]: row["issues"] for row in table_of(out).to_pylist()}


@pytest.mark.slow
def test_it_is_tried_at_growing_distances_and_told(long: Long, out: Path) -> None:
    with long.server() as server:
        nights = [night(server, long.audio, out, *CUT) for _ in range(3)]
        assert [requests for requests, _ in nights] == [long.clips + 1, 2, 0]
        assert [result.exit for _, result in nights] == [3, 3, 0]
        [error] = jsonl_of(out, "errors.jsonl")
        where = rf"clip 3 of {long.clips} \(0:\d\d to 0:\d\d\)"
        assert re.fullmatch(f"{where}: error from server 1011: internal server error", error["message"])
        assert error["clip"] == POISONED
        assert not (out / "transcripts.jsonl").exists(), "a partial transcript was not asked for"

        assert re.search("left out +1 of the failed", nights[2][1].stderr)
        assert "waiting" not in nights[2][1].stderr, "the next run takes it"
        assert night(server, long.audio, out, *CUT)[0] == 2
        told = status_of(out)
        assert (told["failed"], told["postponed"], told["postponed_runs"]) == (1, 1, 3)
        sentence = "1 of the failed, for 3 more runs; --only failed tries it now"
        assert sentence in batch("status", out).stdout
        assert sentence in batch("check", long.audio, "--out", out, *CUT, server=server).stdout
        by_itself, asked = (forecast(long.audio, out, server, *CUT, *only) for only in ((), ("--only", "failed")))
        assert (by_itself["postponed"], by_itself["postponed_runs"], by_itself["requests"]) == (1, 3, 0)
        assert (asked["postponed"], asked["requests"]) == (0, 1)

        write_wav(out.parent / "audio/other.wav", seed=8)
        shutil.copy2(long.audio / "long.wav", out.parent / "audio/long.wav")
        assert forecast(out.parent / "audio", out, server, *CUT)["requests"] == 1, (
            "its answered clips are not another's"
        )
    with start_server() as healed:
        assert night(healed, long.audio, out, *CUT, "--only", "failed")[0] == 1
    [row] = jsonl_of(out)
    assert (row["text"], row["words"], row["issues"]) == (long.row["text"], long.row["words"], [])
    assert errors_of(out) == {}


@pytest.mark.slow
def test_clips_that_the_budget_kept_back_do_not_wait_for_one_that_fails(tmp_path: Path, out: Path) -> None:
    audio, log = tmp_path / "audio", tmp_path / "log"
    write_wav(audio / "long.wav", seed=7, seconds=30.0)
    with start_server(request_log=log) as server:
        assert night(server, audio, tmp_path / "whole", *CUT, "--concurrency", "1")[1].exit == 0
    bodies = [json.loads(line)["digest"] for line in log.read_text().splitlines()]
    faults = f'[[fault]]\nkind = "internal_error"\nsha256 = "{bodies[0]}"\n'
    with start_server(faults=faults) as server:
        for _ in bodies:
            before = server.stats()["answered"]
            night(server, audio, out, *CUT, "--concurrency", "1", "--budget", "40")
            if status_of(out)["waiting_clips"] >= len(bodies) - 1:
                break
            assert server.stats()["answered"] > before, "a night without an answer while clips were never sent"
    assert status_of(out)["waiting_clips"] >= len(bodies) - 1


@pytest.mark.slow
def test_a_budget_is_not_spent_night_after_night_on_one_clip_that_fails(tmp_path: Path, out: Path) -> None:
    audio = tmp_path / "audio"
    write_wav(audio / "a.wav", seed=7, seconds=2.0)
    requests = []
    with start_server(faults='[[fault]]\nkind = "reset_in_stream"\n') as server:
        for _ in range(8):
            # enough for one request, and not for another
            sent, result = night(server, audio, out, "--budget", "8", "--set", "retry.max_attempts=3")
            requests.append(sent)
            assert result.figures["credits"] <= 8
    assert requests == [1, 1, 1, 0, 1, 0, 0, 0]
    assert errors_of(out) == {"a.wav": "StreamCut"}


@pytest.mark.slow
def test_what_was_answered_is_written_with_its_gap_until_the_clip_comes(long: Long, tmp_path: Path, out: Path) -> None:
    audio = tmp_path / "audio"
    audio.mkdir()
    for name in ("a.wav", "b.wav"):
        shutil.copy(long.audio / "long.wav", audio / name)
    with long.server() as server:
        assert night(server, audio, out, *PARTIAL)[0] == long.clips + 1
        rows = {row["id"]: row for row in jsonl_of(out)}
        assert len(rows) == 2, "the copy has it too"
        [first, last] = (long.gap_words[0]["start_s"], long.gap_words[-1]["start_s"])
        for row in rows.values():
            assert row["status"] == "suspect"
            [issue] = row["issues"]
            start_s, stop_s = map(float, issue.removeprefix("gap ").split("-"))
            assert start_s <= first <= last < stop_s
            assert row["words"] == [word for word in long.row["words"] if word["clip"] != POISONED]
        assert sum(row["credits"] for row in rows.values()) == pytest.approx((SECONDS - (stop_s - start_s)) * 3, abs=1)
        assert {row["kept"] for row in jsonl_of(out, "errors.jsonl")} == {True}
        told = status_of(out)
        assert (told["done"], told["failed"], told["suspect"], told["partial"], told["waiting_clips"]) == (
            0,
            2,
            0,
            2,
            long.clips - 1,
        )
        assert "2 of them have a transcript with gaps" in batch("status", out).stdout

        assert night(server, audio, out, *PARTIAL, "--only", "suspect")[0] == 0
        assert night(server, audio, out, *PARTIAL)[0] == 2
        assert {row["id"]: row for row in jsonl_of(out)} == rows, "nothing new: nothing is written"
        assert night(server, audio, out, *PARTIAL)[0] == 0, "the copy waits as well"
    with start_server() as healed:
        assert night(healed, audio, out, *PARTIAL, "--only", "failed")[0] == 1
    assert issues_of(out) == {"a.wav": [], "b.wav": []}
    assert {row["text"] for row in jsonl_of(out)} == {long.row["text"]}
    assert errors_of(out) == {}
    assert status_of(out)["done"] == 2


@pytest.mark.slow
@pytest.mark.slow
def test_a_refused_clip_leaves_a_gap_as_well(long: Long, out: Path) -> None:
    with long.server('kind = "policy"\nmessage = "bad audio"') as server:
        assert night(server, long.audio, out, *PARTIAL)[0] == long.clips
        assert errors_of(out) == {"long.wav": "AudioRefused"}
        assert [issue[:4] for issue in issues_of(out)["long.wav"]] == ["gap "]
        assert night(server, long.audio, out, *PARTIAL)[0] == 0
    with start_server() as healed:
        assert night(healed, long.audio, out, *PARTIAL, "--only", "failed")[0] == 1
    assert issues_of(out) == {"long.wav": []}


@pytest.mark.slow
@pytest.mark.slow
def test_a_whole_transcript_of_other_settings_stays(long: Long, out: Path) -> None:
    with start_server() as healthy:
        assert night(healthy, long.audio, out, *PARTIAL)[1].exit == 0
    before = jsonl_of(out)
    other = ("--set", "service.json_config.temp=0.5")
    with long.server() as server:
        assert night(server, long.audio, out, *PARTIAL, *other)[0] == long.clips + 1
        assert jsonl_of(out) == before
        assert status_of(out)["partial"] == 0
        [error] = jsonl_of(out, "errors.jsonl")
        assert error["kept"]
        assert night(server, long.audio, out, *PARTIAL)[1].exit == 0, "settings changed back: it answers to them"
        assert errors_of(out) == {}


@pytest.mark.slow
@pytest.mark.slow
def test_a_recording_that_goes_while_its_transcript_has_a_gap_has_failed(long: Long, tmp_path: Path, out: Path) -> None:
    audio = tmp_path / "audio"
    shutil.copytree(long.audio, audio)
    write_wav(audio / "other.wav", seed=8)
    with long.server() as server:
        night(server, audio, out, *PARTIAL)
        manifest = tmp_path / "m.csv"
        manifest.write_text("id,audio\nlong.wav,audio/long.wav\n")
        (audio / "long.wav").rename(tmp_path / "elsewhere.wav")
        assert night(server, manifest, out, *PARTIAL)[1].exit == 3
        assert errors_of(out) == {"long.wav": "AudioMissing"}
        assert issues_of(out)["long.wav"], "what was paid for stays"
        assert status_of(out)["gone"] == 0
        (tmp_path / "elsewhere.wav").rename(audio / "long.wav")
    with start_server() as healed:
        assert night(healed, manifest, out, *PARTIAL)[0] == 1
    assert issues_of(out) == {"long.wav": [], "other.wav": []}


@pytest.mark.slow
@pytest.mark.slow
def test_a_rebuild_takes_it_for_what_it_is(long: Long, out: Path) -> None:
    with long.server() as server:
        night(server, long.audio, out, *PARTIAL)
        assert batch("rebuild", out, "--force").exit == 0
        told = status_of(out)
        assert (told["done"], told["failed"], told["partial"]) == (0, 1, 1)
        assert night(server, long.audio, out, *PARTIAL)[0] == 2
        assert batch("rebuild", out, "--force").exit == 0
        assert (status_of(out)["postponed"], status_of(out)["postponed_runs"]) == (1, 1)
        assert night(server, long.audio, out, *PARTIAL)[0] == 0
        assert len(issues_of(out)["long.wav"]) == 1
    with start_server() as healed:
        assert night(healed, long.audio, out, *PARTIAL, "--only", "failed")[0] == 1
    assert issues_of(out) == {"long.wav": []}


@pytest.mark.slow
@pytest.mark.slow
def test_a_rebuild_without_the_old_checkpoint_takes_no_gap_for_done(long: Long, out: Path) -> None:
    with long.server() as server:
        night(server, long.audio, out, *PARTIAL)
    (out / "checkpoint.sqlite").unlink()
    assert batch("rebuild", out).exit == 0
    assert status_of(out)["done"] == 0
    with start_server() as healed:
        assert night(healed, long.audio, out, *PARTIAL)[1].exit == 0
    assert issues_of(out) == {"long.wav": []}
    assert errors_of(out) == {}


@pytest.mark.slow
def test_a_copy_gets_what_was_answered_with_the_gap_and_sends_nothing(long: Long, out: Path, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    with long.server() as server:
        for _ in range(2):
            night(server, long.audio, out, *PARTIAL)
        shutil.copy(long.audio / "long.wav", tmp_path / "copies/copy.wav")
        assert forecast(tmp_path / "copies", out, server, *PARTIAL)["requests"] == 0
        assert night(server, tmp_path / "copies", out, *PARTIAL)[0] == 0
    issues = issues_of(out)
    assert issues["copy.wav"] == issues["long.wav"]
    assert any(issue.startswith("gap ") for issue in issues["copy.wav"])
    assert set(errors_of(out)) == {"copy.wav", "long.wav"}
