"""The documentation is run: every shell command and every example of a manifest or configuration in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.model import Utterance
from tests.batch import environment
from tests.forked import put_command_into
from tests.manifest.reading import read_manifest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[object]:
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in BLOCK.finditer(text):
            if match[1] == language and not match[2].strip().startswith(("skip", "faults")):
                line = text[: match.start()].count("\n") + 1
                found.append(pytest.param(match[3], id=f"{page.name}:{line}"))
    return found


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder like a checkout, to run commands in."""
    for name in ("manifests", "configs", "Makefile"):
        (tmp_path / name).symlink_to(ROOT / name)
    page = (ROOT / "docs/hostile-service.md").read_text("utf-8")
    [faults] = [match[3] for match in BLOCK.finditer(page) if match[2].strip() == "faults"]
    (tmp_path / "faults.toml").write_text(faults)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks("sh"))
def test_each_shell_command_works(block: str, workspace: Path) -> None:
    folder = workspace / "bin"
    folder.mkdir()
    fd = put_command_into(folder)
    env = environment(PATH=os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]]))
    # the commands are what is tested here; real speech through the real recognizer is test_sample.py's
    env["GRADIUM_BATCH_LOCAL__RECOGNIZER"] = "fingerprint"
    for command in (line.split("  #")[0].strip() for line in block.splitlines()):
        if command.startswith("make "):
            # the target is checked, not carried out: the tests would run themselves
            assert re.search(rf"^{command.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), command
        elif command.startswith("gradium-batch serve"):
            with subprocess.Popen(
                ["bash", "-c", f"exec {command}"], env=env, cwd=workspace, stdout=subprocess.PIPE, pass_fds=[fd]
            ) as process:
                assert process.stdout is not None
                assert b"/api/post/speech/asr" in process.stdout.readline()
                process.terminate()
        elif command and not command.startswith(("#", "pip install")):
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command],
                env=env,
                cwd=workspace,
                capture_output=True,
                text=True,
                timeout=100,
                check=False,
                pass_fds=[fd],
            )
            assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_each_example_of_a_manifest_has_no_bad_row(kind: str, tmp_path: Path) -> None:
    examples = blocks(kind)
    assert examples
    for number, example in enumerate(examples):
        path = tmp_path / f"{number}.{kind}"
        path.write_text(example.values[0])  # type: ignore[attr-defined]
        rows = list(read_manifest(str(path)))
        assert rows
        assert all(isinstance(row, Utterance) for row in rows), rows


def test_help_names_every_option_of_the_contract() -> None:
    text = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", "--help"], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    for option in ("--config", "--out", "--only", "--limit", "--concurrency", "--max-duration", "--set", "--progress"):
        assert option in text


def test_nobody_is_told_to_install_what_no_registry_has() -> None:
    told = [
        line.strip()
        for path in (*PAGES, *sorted((ROOT / "pipeline").rglob("*.py")))
        for line in path.read_text("utf-8").splitlines()
        if "pip install" in line
    ]
    assert told
    assert not [line for line in told if re.search(r"pip install ['\"]?gradium[-_]", line)]
