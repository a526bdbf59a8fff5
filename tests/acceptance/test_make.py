"""`make` on a machine where nothing is installed yet: it says that it installs, and in one sentence why it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = f"""#!/bin/sh
echo "python $*" >>calls
case "$*" in
  *"%d.%d"*) test -z "$OLD" || {{ echo 3.9; exit; }} ;;
  *"< (3, 11)"*) test -z "$OLD" || exit 1 ;;
  "-m venv "*) mkdir -p .venv/bin; cp installed .venv/bin/python; echo "$VENV_SAYS"; test -z "$VENV_SAYS"; exit ;;
esac
exec {sys.executable} "$@"
"""
INSTALLED = """#!/bin/sh
echo "installed $*" >>calls
case "$*" in
  "-m pip install "*) cp said said-before-pip; echo "$PIP_SAYS" >&2; test -z "$PIP_SAYS" || exit 1
    echo '#!/bin/sh
echo "gradium-batch $*"' >.venv/bin/gradium-batch; chmod +x .venv/bin/gradium-batch ;;
esac
"""
DEBIAN = """The virtual environment was not created successfully because ensurepip is not
available.  On Debian/Ubuntu systems, you need to install the python3-venv
package using the following command.

    apt install python3.11-venv
"""
REFUSED = "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError(...)'"


class Checkout:
    """A checkout on a machine whose Python is a script that records how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "pyproject.toml", "requirements.lock"):
            shutil.copy(ROOT / name, folder)
        for name, text in (("python3", PYTHON), ("installed", INSTALLED)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    def make(self, *words: str, **env: str) -> tuple[int, str, str]:
        """Runs make; returns its exit status, and what it said on stdout and stderr."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        with (self.folder / "said").open("w") as said:
            ours["PATH"] = f"{self.folder}:{ours['PATH']}"
            command = ["make", "-s", *words]
            done = subprocess.run(
                command, cwd=self.folder, env=ours | env, stdout=subprocess.PIPE, stderr=said, timeout=100, check=False
            )
        return done.returncode, done.stdout.decode(), self.said()

    def said(self, name: str = "said") -> str:
        """Without make's own line about a failed command."""
        lines = (self.folder / name).read_text().splitlines()
        return "\n".join(line for line in lines if not line.startswith("make: ***"))

    def calls(self) -> str:
        path = self.folder / "calls"
        text = path.read_text() if path.exists() else ""
        path.unlink(missing_ok=True)
        return text


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_it_says_that_it_installs_before_pip_works_and_nothing_once_it_is_done(checkout: Checkout) -> None:
    code, stdout, stderr = checkout.make("run")
    assert code == 0
    assert stderr == (
        "installing gradium-batch and its libraries into .venv: about a minute and 500 MB the first time ..."
    )
    assert checkout.said("said-before-pip") == stderr
    assert stdout == "gradium-batch run manifests/sample.csv --config configs/local.toml\n"
    assert "pip install --quiet -e .[local,cloud]" in checkout.calls()
    assert checkout.make("run") == (0, stdout, "")
    assert checkout.calls() == ""


def test_the_tools_for_tests_are_announced_as_well(checkout: Checkout) -> None:
    assert checkout.make("run")[0] == 0
    checkout.calls()
    code, _, stderr = checkout.make("test")
    assert code == 0
    assert stderr.startswith("installing gradium-batch and what its tests need into .venv: ")
    assert checkout.said("said-before-pip") == stderr
    calls = checkout.calls().splitlines()
    assert calls == ["installed -m pip install --quiet -e .[local,cloud,dev]", "installed -m pytest"]
    assert checkout.make("test")[::2] == (0, "")
    assert checkout.make("run")[::2] == (0, "")
    assert checkout.calls() == "installed -m pytest\n"


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        (
            {"VENV_SAYS": DEBIAN},
            f"cannot install: python3 has no venv module; on Debian and Ubuntu: sudo apt install "
            f"python{sys.version_info[0]}.{sys.version_info[1]}-venv (or python3-venv), then run make again",
        ),
        (
            {"VENV_SAYS": "a\nError: [Errno 28] No space left on device"},
            "cannot install: python3 -m venv .venv failed: Error: [Errno 28] No space left on device",
        ),
        (
            {"OLD": "yes"},
            "cannot install: Python 3.11 or newer is needed, and python3 is 3.9; install one and name it: "
            "make PYTHON=python3.12 run",
        ),
        (
            {"PIP_SAYS": f"{REFUSED}\nERROR: No matching distribution found for hatchling"},
            "cannot install: no connection to the package index; check the network, or HTTPS_PROXY and PIP_INDEX_URL, "
            "then run make again (what pip said: .venv/pip.log)",
        ),
        (
            {"PIP_SAYS": "ERROR: Could not install: [Errno 28] No space left\n\n[notice] A new release of pip"},
            "cannot install: Could not install: [Errno 28] No space left; then run make again "
            "(what pip said: .venv/pip.log)",
        ),
    ],
)
def test_one_sentence_says_what_to_do_and_the_next_make_begins_anew(
    checkout: Checkout, env: dict[str, str], sentence: str
) -> None:
    code, stdout, stderr = checkout.make("run", **env)
    assert code == 2
    assert stdout == ""
    assert stderr.splitlines()[0].startswith("installing ")
    assert stderr.splitlines()[1:] == [sentence]
    by_pip = "PIP_SAYS" in env
    assert (checkout.folder / ".venv").exists() == by_pip
    assert not (checkout.folder / ".venv/bin/gradium-batch").exists()
    checkout.calls()
    code, stdout, stderr = checkout.make("run")
    assert (code, len(stderr.splitlines())) == (0, 1)
    assert stdout.startswith("gradium-batch run ")
    assert ("-m venv" in checkout.calls()) != by_pip


def test_a_python_that_is_not_there_is_named(checkout: Checkout) -> None:
    code, _, stderr = checkout.make("test", "PYTHON=python3.99")
    assert code == 2
    assert "and python3.99 is not there; install one and name it: make PYTHON=python3.12 test" in stderr


def test_what_a_killed_installation_left_is_not_taken_for_whole(checkout: Checkout) -> None:
    (checkout.folder / ".venv/bin").mkdir(parents=True)
    shutil.copy(checkout.folder / "installed", checkout.folder / ".venv/bin/python")
    (checkout.folder / ".venv/of-the-user").touch()
    assert checkout.make("run", VENV_SAYS=DEBIAN)[0] == 2
    assert (checkout.folder / ".venv/of-the-user").exists(), "only what make has made is removed"
    checkout.calls()
    assert checkout.make("run")[0] == 0
    assert "python -m venv .venv" in checkout.calls()


@pytest.mark.slow
def test_the_real_pip_without_a_network(checkout: Checkout) -> None:
    (checkout.folder / "python3").unlink()
    none = {"PIP_INDEX_URL": "http://127.0.0.1:1/", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
    code, _, stderr = checkout.make("run", PIP_RETRIES="1", PYTHON=sys.executable, **none)
    assert code == 2
    assert "cannot install: no connection to the package index; " in stderr
    assert len(stderr.splitlines()) == 2
