"""Projects that are moved or copied as a whole, or in part, and the folders that outputs have by default."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.run.output import default_out
from tests.batch import Corpus, batch, jsonl_of, jsonl_rows_of, rows_of, table_of, write_wav
from tests.servers import RunningServer

Run = Callable[..., int]
"""Runs the command, which is to end well; returns how many requests it sent."""


@pytest.fixture
def run(server: RunningServer) -> Run:
    def run(*args: str | Path, cwd: Path, exit: int = 0) -> int:
        before = server.stats()["requests"]
        result = batch("run", *args, server=server, cwd=cwd)
        assert result.exit == exit, result.stderr
        return int(server.stats()["requests"] - before)

    return run


class Project:
    """A folder with recordings and a manifest, whose output is within it."""

    def __init__(self, folder: Path, manifest: str, *, by_default: bool = True) -> None:
        self.folder = folder
        self.manifest = manifest
        self.audio = folder / "audio"
        self.texts = Corpus(self.audio, count=6).texts
        self.args: tuple[str, ...] = (manifest,) if by_default else (manifest, "--out", "out")
        self._out = f"runs/{Path(manifest).stem}" if by_default else "out"
        self.write()

    @property
    def out(self) -> Path:
        return self.folder / self._out

    def write(self, prefix: str = "audio") -> None:
        if self.manifest == "calls.csv":
            rows = "".join(f"{name},{prefix}/{name}\n" for name in self.texts)
            (self.folder / self.manifest).write_text(f"id,audio\n{rows}")

    def add(self, name: str) -> None:
        self.texts[name] = write_wav(self.folder / "audio" / name, seed=sum(name.encode()))
        self.write()

    def moved(self, folder: Path, *, is_copy: bool = False) -> Project:
        if is_copy:
            shutil.copytree(self.folder, folder)
        else:
            self.folder.rename(folder)
        other = object.__new__(Project)
        other.__dict__ = self.__dict__ | {"folder": folder, "audio": folder / "audio", "texts": dict(self.texts)}
        return other

    def is_whole(self) -> None:
        """Every transcript is there once, under the path that its recording has now."""
        assert rows_of(self.out) == jsonl_rows_of(self.out) == self.texts
        paths = {str(self.folder / "audio" / name) for name in self.texts}
        assert {row["audio"] for row in jsonl_of(self.out)} == set(table_of(self.out)["audio"].to_pylist()) == paths


@pytest.fixture(
    params=[
        ("calls.csv", True),
        ("audio", True),
        pytest.param(("calls.csv", False), marks=pytest.mark.slow),
        pytest.param(("audio", False), marks=pytest.mark.slow),
    ],
    ids=["csv", "folder", "csv with --out", "folder with --out"],
)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    manifest, by_default = request.param
    return Project(tmp_path / "proj", manifest, by_default=by_default)


def test_a_moved_project_goes_on_and_its_output_names_the_new_place(project: Project, run: Run, tmp_path: Path) -> None:
    assert run(*project.args, cwd=project.folder) == 6
    for place in ("proj2", "proj3"):
        project = project.moved(tmp_path / place)
        assert run(*project.args, cwd=project.folder) == 0
        project.is_whole()
    project.add("new.wav")
    assert run(*project.args, cwd=project.folder) == 1
    project.is_whole()


def test_a_copied_project_goes_on_by_itself_beside_the_one_it_was_copied_from(
    project: Project, run: Run, server: RunningServer, tmp_path: Path
) -> None:
    assert run(*project.args, cwd=project.folder) == 6
    copy = project.moved(tmp_path / "copy", is_copy=True)
    forecast = json.loads(batch("check", *copy.args, "--json", server=server, cwd=copy.folder).stdout)
    assert forecast["requests"] == 0
    for one, name in ((copy, "first.wav"), (project, "second.wav")):
        assert run(*one.args, cwd=one.folder) == 0
        one.is_whole()
        one.add(name)
        assert run(*one.args, cwd=one.folder) == 1
        one.is_whole()


@pytest.mark.parametrize("what", ["audio", "out"])
def test_a_copy_of_other_recordings_is_not_taken_for_the_project(
    what: str, run: Run, server: RunningServer, tmp_path: Path
) -> None:
    """Either all recordings of a copy were exchanged, or only the output was taken to another project."""
    project = Project(tmp_path / "proj", "calls.csv")
    assert run(*project.args, cwd=project.folder) == 6
    other = project.moved(tmp_path / "other", is_copy=True)
    if what == "out":
        project.out.rename(tmp_path / "aside")
    for n, name in enumerate(other.texts):
        write_wav(other.audio / name, seed=100 + n)
    before = server.stats()["requests"]
    result = batch("run", *other.args, server=server, cwd=other.folder)
    assert result.exit == 2
    assert str(project.folder / "calls.csv") in result.stderr
    assert server.stats()["requests"] == before
    assert rows_of(other.out) == project.texts


@pytest.mark.parametrize("by_default", [True, False])
def test_a_moved_project_whose_recordings_are_not_there_keeps_what_it_has(
    by_default: bool, run: Run, tmp_path: Path
) -> None:
    project = Project(tmp_path / "proj", "calls.csv", by_default=by_default)
    assert run(*project.args, cwd=project.folder) == 6
    project = project.moved(tmp_path / "proj2")
    project.audio.rename(tmp_path / "elsewhere")
    assert run(*project.args, cwd=project.folder, exit=3) == 0
    assert rows_of(project.out) == jsonl_rows_of(project.out) == project.texts
    (tmp_path / "elsewhere").rename(project.audio)
    assert run(*project.args, cwd=project.folder) == 0
    project.is_whole()


def test_a_moved_manifest_that_names_the_old_place_goes_on_and_so_it_does_when_it_is_mended(
    run: Run, tmp_path: Path
) -> None:
    project = Project(tmp_path / "proj", "calls.csv")
    project.write(str(project.audio))
    assert run(*project.args, cwd=project.folder) == 6
    project = project.moved(tmp_path / "proj2")
    assert run(*project.args, cwd=project.folder) == 0
    assert rows_of(project.out) == project.texts
    project.write(str(project.audio))
    assert run(*project.args, cwd=project.folder) == 0
    project.is_whole()


def test_a_moved_project_of_which_nothing_was_transcribed_goes_on(run: Run, tmp_path: Path) -> None:
    project = Project(tmp_path / "proj", "calls.csv")
    for name in project.texts:
        (project.audio / name).write_bytes(b"no audio")
    assert run(*project.args, cwd=project.folder, exit=3) == 0
    project = project.moved(tmp_path / "proj2")
    assert run(*project.args, cwd=project.folder, exit=3) == 0
    Corpus(project.audio, count=6)
    assert run(*project.args, cwd=project.folder) == 6
    project.is_whole()


@pytest.mark.slow
@pytest.mark.parametrize("is_copy", [False, True])
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_project_that_was_moved_after_a_rebuild_goes_on(
    is_copy: bool, is_lost: bool, project: Project, run: Run, tmp_path: Path
) -> None:
    assert run(*project.args, cwd=project.folder) == 6
    if is_lost:
        (project.out / "checkpoint.sqlite").unlink()
    assert batch("rebuild", project.out, "--force").exit == 0
    project = project.moved(tmp_path / "proj2", is_copy=is_copy)
    assert run(*project.args, cwd=project.folder) == 0
    project.is_whole()


def test_an_output_that_was_moved_alone_goes_on(project: Project, run: Run, tmp_path: Path) -> None:
    assert run(*project.args, cwd=project.folder) == 6
    project.out.rename(tmp_path / "elsewhere")
    assert run(project.manifest, "--out", tmp_path / "elsewhere", cwd=project.folder) == 0
    assert rows_of(tmp_path / "elsewhere") == project.texts


def test_manifests_that_share_an_output_go_on_in_a_copy(run: Run, tmp_path: Path) -> None:
    project = Project(tmp_path / "proj", "calls.csv", by_default=False)
    more = Corpus(project.folder / "more", count=0)
    for number in range(20, 24):
        more.add(number)
    for manifest in ("calls.csv", "more"):
        run(manifest, "--out", "out", cwd=project.folder)
    copy = project.moved(tmp_path / "copy", is_copy=True)
    for manifest in ("calls.csv", "more", "calls.csv"):
        assert run(manifest, "--out", "out", cwd=copy.folder) == 0
    assert rows_of(copy.out) == project.texts | more.texts
    assert {row["audio"].split("/")[-3] for row in jsonl_of(copy.out)} == {"copy"}
    assert "vanished" not in batch("status", copy.out).stdout


# -- the folder by default -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manifests", "name"),
    [
        (["calls.csv"], "calls"),
        (["data/calls.CSV"], "calls"),
        (["calls.2026-11.jsonl"], "calls.2026-11"),
        (["calls.json"], "calls"),
        (["calls.parquet"], "calls"),
        (["calls.v1"], "calls.v1"),
        (["calls.v1/"], "calls.v1"),
        (["data/.."], "here"),
        (["."], "here"),
        ([".csv"], ".csv"),
        (["call.wav"], "call.wav"),
        (["/"], "root"),
        (["-"], "stdin"),
        (["data/*.wav"], "data"),
        (["data/**/[ab].wav"], "data"),
        (["*.wav"], "here"),
        (["a[1].csv"], "a[1]"),
        (["data/a.csv", "data/b.csv"], "data"),
        (["data/a.csv", "data/sub/b.csv"], "data"),
        (["a.csv", "b.csv"], "here"),
        (["a.csv", "-"], "here"),
        (["loop.csv"], "loop"),
        (["m.csv.gz"], "m"),
        (["s3://b/calls/"], "calls"),
        (["s3://b/2024/calls/*.wav"], "calls"),
        (["gs://b"], "b"),
        (["https://h/lists/m.csv?sig=1&v=2"], "m"),
        (["https://h/m.jsonl.gz?X-Amz-Signature=1"], "m"),
        (["s3://b/x/m.csv", "s3://b/x/n.csv"], "x"),
        (["s3://b/m.csv", "data/a.csv"], "root"),
    ],
)
def test_an_output_is_called_by_the_name_of_its_manifest(
    manifests: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    (here / "data").mkdir(parents=True)
    (here / "a[1].csv").touch()
    (here / "loop.csv").symlink_to("loop.csv")
    monkeypatch.chdir(here)
    assert default_out(manifests, "https://service.example") == Path("runs", name)
    assert default_out(manifests, "local") == Path("runs", f"{name}-local")


def test_two_versions_of_a_folder_have_an_output_each(run: Run, tmp_path: Path) -> None:
    for n, name in enumerate(("calls.v1", "calls.v2")):
        write_wav(tmp_path / name / "a.wav", seed=n)
        assert run(name, cwd=tmp_path) == 1
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["calls.v1", "calls.v2"]


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_manifest_goes_on_in_the_folder_that_it_had_by_its_stem_and_no_other_does(
    is_moved: bool, run: Run, tmp_path: Path
) -> None:
    project = tmp_path / "proj"
    for n, name in enumerate(("calls.v1", "calls.v2")):
        write_wav(project / name / "a.wav", seed=n)
    assert run("calls.v1", "--out", "runs/calls", cwd=project) == 1
    if is_moved:
        project = project.rename(tmp_path / "proj2")
    assert run("calls.v1", cwd=project) == 0
    assert run("calls.v2", cwd=project) == 1
    assert run("calls.v1", cwd=project) == 0
    assert sorted(path.name for path in (project / "runs").iterdir()) == ["calls", "calls.v2"]


def test_a_link_that_leads_to_another_manifest_each_night_keeps_its_output(run: Run, tmp_path: Path) -> None:
    for n, name in enumerate("abc"):
        write_wav(tmp_path / f"{name}.wav", seed=n)
    (tmp_path / "monday.csv").write_text("audio\na.wav\nb.wav\n")
    (tmp_path / "tuesday.csv").write_text("audio\nb.wav\nc.wav\n")
    latest = tmp_path / "latest.csv"
    latest.symlink_to("monday.csv")
    assert run("latest.csv", cwd=tmp_path) == 2
    latest.unlink()
    latest.symlink_to("tuesday.csv")
    assert run("latest.csv", cwd=tmp_path) == 1
    assert run("tuesday.csv", cwd=tmp_path) == 2
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["latest", "tuesday"]
