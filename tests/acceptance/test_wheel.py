"""The wheel alone, in an environment of its own and far from a checkout, does what the documentation says."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import soundfile

from tests.batch import environment, rows_of

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "manifests/sample/door-16k.wav"
VERSION = "0.2.0"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [made] = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Python and the command are, with all that the wheel needs but without the extra [local]."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, capture_output=True)
    libraries = home / "libraries"
    libraries.mkdir()
    for library in Path(sysconfig.get_path("purelib")).iterdir():
        if not library.name.startswith(("pocketsphinx", "gradium_batch", "pipeline")) and library.suffix != ".pth":
            (libraries / library.name).symlink_to(library)
    [packages] = home.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(f"{libraries}\n")
    return home / "bin"


def run(*command: str | Path, cwd: Path, expected: int = 0) -> str:
    env = {name: value for name, value in environment().items() if not name.startswith("PYTHON")}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == expected, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_it_holds_what_users_need_and_nothing_of_the_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"pipeline/py.typed", "pipeline/__main__.py", "pipeline/configs/local.toml"} <= {*names}
    assert {name.split("/")[0] for name in names} == {
        "gradium_batch.py",
        "gradium_batch-stubs",
        "pipeline",
        f"gradium_batch-{VERSION}.dist-info",
    }


def test_it_is_a_typed_library(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import gradium_batch as gb\n\n"
        "def done(folder: str) -> int:\n    return gb.transcribe(folder, settings=gb.Settings(pool={})).done\n\n"
        "reveal_type(gb.check)\n"
    )
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", programs / "python", "mine.py")
    told = run(*mypy, cwd=tmp_path)
    assert "no issues found" in told
    assert "Forecast" in told


def test_a_program_far_from_a_checkout_transcribes(programs: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(SAMPLE)
    soundfile.write(tmp_path / "door.flac", samples, rate)
    (tmp_path / "mine.py").write_text(
        "import gradium_batch as gb\n"
        "print(gb.transcribe('door.flac', 'out', settings={'service': {'url': 'local'}, "
        "'local': {'recognizer': 'fingerprint'}}))\n"
    )
    assert "done=1, failed=0" in run(programs / "python", "mine.py", cwd=tmp_path)
    assert len(rows_of(tmp_path / "out")) == 1


def test_it_runs_with_the_configurations_that_it_brings(programs: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(SAMPLE)
    for name in ("door.flac", "door.wav"):
        soundfile.write(tmp_path / name, samples, rate)
    (tmp_path / "signal.py").write_text("raise SystemExit('the signal of the working folder')")
    (tmp_path / "m.csv").write_text("audio\ndoor.flac\ndoor.wav\n")
    local = ("--config", "configs/local.toml", "--set", "local.recognizer=fingerprint")
    assert VERSION in run(programs / "gradium-batch", "--version", cwd=tmp_path)
    assert "2 requests" in run(programs / "gradium-batch", "check", "m.csv", *local, cwd=tmp_path)
    run(programs / "gradium-batch", "run", "m.csv", *local, cwd=tmp_path)
    assert len(rows_of(tmp_path / "runs" / "m-local")) == 2
    assert "done" in run(programs / "python", "-m", "pipeline", "status", "runs/m-local", cwd=tmp_path)
    told = run(programs / "gradium-batch", "check", "m.csv", "--config", "configs/none.toml", cwd=tmp_path, expected=2)
    assert "configs/gradium.toml, configs/local.toml, configs/nightly.toml come with gradium-batch" in told


def test_without_the_extra_it_says_what_to_install(programs: Path, tmp_path: Path) -> None:
    told = run(programs / "gradium-batch", "serve", cwd=tmp_path, expected=1)
    assert "needs pocketsphinx, which is not installed: pip install pocketsphinx (" in told
    (tmp_path / "m.csv").write_text(f"audio\n{SAMPLE}\n")
    local = ("--config", "configs/local.toml")
    told = run(programs / "gradium-batch", "run", "m.csv", *local, cwd=tmp_path, expected=1)
    assert "needs pocketsphinx, which is not installed: pip install pocketsphinx (" in told
