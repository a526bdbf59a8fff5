"""What always fails is paid for at growing distances, and what the service refused once: whichever ids it has."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.batch import Finished, batch, jsonl_of, rows_of, write_wav
from tests.servers import RunningServer, start_server

NIGHTS = 8
PASSING, FINAL = ("internal_error", 1), ("stream_error", 4)
"""Faults of the server, and the requests of a run that meets them."""


class Archive:
    """Numbered recordings, of which one always fails, and CSV manifests over them."""

    def __init__(self, folder: Path, out: Path, kind: str, times: int | None = None) -> None:
        self.out = out
        self.folder = folder
        for number in range(20):
            write_wav(folder / f"{number}.wav", seed=number)
        self.failing = folder / "5.wav"
        self.body = hashlib.sha256(self.failing.read_bytes()).hexdigest()
        self._attempts = dict([PASSING, FINAL])[kind]
        healed = "" if times is None else f"times = {times}\n"
        self._faults = f'[[fault]]\nkind = "{kind}"\nsha256 = "{self.body}"\n{healed}'

    def serve(self) -> Any:
        return start_server(faults=self._faults)

    def manifest(self, files: Iterable[int | str], name: str = "m.csv", first: int = 0) -> Path:
        """The ids are the lines."""
        path = self.folder / name
        rows = (f"{first + line},{file}{'.wav' if isinstance(file, int) else ''}\n" for line, file in enumerate(files))
        path.write_text("id,audio\n" + "".join(rows))
        return path

    def sent(self, server: RunningServer) -> int:
        """Requests that carried what always fails."""
        return int(server.stats()["bodies"].get(self.body, {}).get("requests", 0))

    def night(self, server: RunningServer, manifest: Path, *more: str) -> tuple[int, Finished]:
        """A run; the requests it sent of what always fails. What `check` says before is what the run sends."""
        arguments = (manifest, "--out", self.out, "--set", f"retry.max_attempts={self._attempts}", *more)
        before, sent = server.stats()["requests"], self.sent(server)
        told = json.loads(batch("check", *arguments, "--json", server=server).stdout)
        result = batch("run", *arguments, "--progress", "off", server=server)
        # without retries of what fails
        retries = (self.sent(server) - sent) // self._attempts * (self._attempts - 1)
        assert server.stats()["requests"] - before - retries == told["requests"]
        self.foretold = told
        return self.sent(server) - sent, result

    def failures(self) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in jsonl_of(self.out, "errors.jsonl")}


@pytest.fixture
def passing(tmp_path: Path, out: Path) -> Archive:
    return Archive(tmp_path / "audio", out, PASSING[0])


@pytest.fixture
def final(tmp_path: Path, out: Path) -> Archive:
    return Archive(tmp_path / "audio", out, FINAL[0])


def shifted(nights: int = NIGHTS) -> Iterator[list[int]]:
    """A list of ten that gets one more recording at its top each night."""
    for night in range(nights):
        yield [*range(9 + night, 9, -1), *range(10)]


@pytest.mark.slow
def test_what_always_fails_is_sent_at_growing_distances_while_its_id_shifts(passing: Archive) -> None:
    with passing.serve() as server:
        requests, waiting = [], []
        for files in shifted():
            requests.append(passing.night(server, passing.manifest(files))[0])
            waiting.append(passing.foretold["postponed"])
        status = json.loads(batch("status", passing.out, "--json").stdout)
    assert requests == [1, 1, 0, 1, 0, 0, 0, 1]
    assert waiting == [0, 0, 1, 0, 1, 1, 1, 0]
    [failure] = passing.failures().values()
    assert (failure["id"], Path(failure["audio"]).name, failure["attempts"]) == ("12", "5.wav", 4)
    assert (status["failed"], status["postponed"], status["postponed_runs"]) == (1, 1, 7)


@pytest.mark.slow
def test_what_the_service_refused_is_sent_once_while_its_id_shifts(final: Archive) -> None:
    with final.serve() as server:
        requests = [final.night(server, final.manifest(files))[0] for files in shifted(5)]
    assert requests == [4, 0, 0, 0, 0]
    assert final.foretold["unsendable"] == {"RepeatedStreamError": 1}
    [failure] = final.failures().values()
    assert (failure["id"], failure["error"], failure["attempts"]) == ("9", "RepeatedStreamError", 4)
    assert not failure["retryable"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["passing", "final"])
def test_a_copy_in_another_manifest_takes_the_failure_over(kind: str, request: pytest.FixtureRequest) -> None:
    archive: Archive = request.getfixturevalue(kind)
    shutil.copy(archive.failing, archive.folder / "copy.wav")
    with archive.serve() as server:
        for _ in range(2):
            archive.night(server, archive.manifest([5, 6]))
        sent, result = archive.night(server, archive.manifest(["copy.wav", 7], "other.csv", first=50))
    assert (sent, result.exit) == (0, 3)
    failures = archive.failures()
    assert {failures[id_]["error"] for id_ in ("0", "50")} == {failures["0"]["error"]}
    assert failures["50"]["attempts"] == failures["0"]["attempts"]
    assert failures["50"]["first_seen"] == failures["0"]["first_seen"]
    assert Path(failures["50"]["audio"]).name == "copy.wav"


@pytest.mark.slow
def test_a_touched_file_is_not_sent_before_it_is_due_and_another_content_is(passing: Archive) -> None:
    requests = []
    with passing.serve() as server:
        manifest = passing.manifest([5])
        for night in range(NIGHTS):
            os.utime(passing.failing, ns=(night, night))
            requests.append(passing.night(server, manifest)[0])
        before = server.stats()["requests"]
        write_wav(passing.failing, seed=99)
        assert passing.night(server, manifest)[1].exit == 0
        assert server.stats()["requests"] == before + 1
    assert requests == [1, 1, 0, 1, 0, 0, 0, 1]


def test_other_settings_send_it_and_the_settings_of_before_go_on_waiting(passing: Archive) -> None:
    with passing.serve() as server:
        manifest = passing.manifest([5])
        requests = [passing.night(server, manifest)[0] for _ in range(2)]
        requests.append(passing.night(server, manifest, "--set", "service.language=fr")[0])
        # two runs since its second setback: it is due
        requests += [passing.night(server, manifest)[0] for _ in range(2)]
    assert requests == [1, 1, 1, 1, 0]


@pytest.mark.slow
def test_ids_that_change_places_keep_what_is_known_of_their_recordings(final: Archive) -> None:
    with final.serve() as server:
        assert final.night(server, final.manifest([5, 6]))[0] == 4
        assert final.night(server, final.manifest([6, 5]))[0] == 0
        assert list(final.failures()) == ["1"]
        assert final.night(server, final.manifest([5, 6]))[0] == 0
    assert list(final.failures()) == ["0"]
    # the row that had a transcript keeps it, as one of an earlier content
    assert [id_ for id_, failure in final.failures().items() if failure["kept"]] == ["0"]
    assert set(rows_of(final.out)) == {"0", "1"}


@pytest.mark.slow
@pytest.mark.parametrize("only", ["failed", "all"])
def test_who_asks_for_what_failed_has_it_sent_at_once_also_under_another_id(final: Archive, only: str) -> None:
    with final.serve() as server:
        final.night(server, final.manifest([5, 6]))
        final.night(server, final.manifest([6, 5]))
        assert final.night(server, final.manifest([6, 5]), "--only", only)[0] == 4
    assert final.failures()["1"]["attempts"] == 8


@pytest.mark.slow
def test_a_transcript_ends_it(tmp_path: Path, out: Path) -> None:
    archive = Archive(tmp_path / "audio", out, PASSING[0], times=2)
    with archive.serve() as server:
        requests = [archive.night(server, archive.manifest(files))[0] for files in shifted(6)]
    assert requests == [1, 1, 0, 1, 0, 0]
    assert archive.failures() == {}
    [row] = [row for row in jsonl_of(out) if row["audio"].endswith("/5.wav")]
    assert (row["id"], len(rows_of(out))) == ("10", 15)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "then"), [("passing", [0, 1, 0]), ("final", [0, 0, 0])])
def test_a_rebuild_keeps_what_is_known(kind: str, then: list[int], request: pytest.FixtureRequest) -> None:
    archive: Archive = request.getfixturevalue(kind)
    nights = shifted(5)
    with archive.serve() as server:
        for _ in range(2):
            archive.night(server, archive.manifest(next(nights)))
        assert batch("rebuild", archive.out, "--force").exit == 0
        requests = [archive.night(server, archive.manifest(files))[0] for files in nights]
    assert requests == then


def test_a_copy_that_comes_after_the_failure_of_the_same_run_is_not_sent(tmp_path: Path, out: Path) -> None:
    archive = Archive(tmp_path / "audio", out, PASSING[0])
    for number in range(20, 60):  # more than are prepared ahead of the pool
        write_wav(archive.folder / f"{number}.wav", seed=number)
    shutil.copy(archive.failing, archive.folder / "copy.wav")
    with archive.serve() as server:
        sent, result = archive.night(
            server, archive.manifest([5, *range(6, 60), "copy.wav"]), "--set", "pool.concurrency=1"
        )
    assert (sent, result.exit, set(archive.failures())) == (1, 3, {"0", "55"})


@pytest.mark.slow
def test_what_is_done_with_channels_makes_no_other_audio_of_a_mono_recording(final: Archive) -> None:
    with final.serve() as server:
        final.night(server, final.manifest([5, 6]))
        assert final.night(server, final.manifest([6, 5]), "--set", "audio.channels=split")[0] == 0
