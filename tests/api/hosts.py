"""Programs that use the library, each a process of its own, as its user starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from tests.batch import environment
from tests.servers import RunningServer

ROOT = Path(__file__).parents[2]
LOCAL = "{'service': {'url': 'local'}, 'local': {'recognizer': 'fingerprint'}}"
"""Settings that need no service."""


def record_flac_and_mp3(folder: Path) -> Path:
    """A folder with a recording of each kind, both of which have to be decoded."""
    folder.mkdir()
    for number, name in enumerate(("a.flac", "b.mp3")):
        times = np.arange(16_000) / 16_000
        sound = (0.2 * np.sin(2 * np.pi * (300 + 100 * number) * times)).astype(np.float32)
        soundfile.write(folder / name, np.stack([sound, sound], axis=1), 16_000)
    return folder


def start_python(
    *args: str | Path, cwd: Path, server: RunningServer | None = None, **more: str
) -> subprocess.Popen[str]:
    """Starts Python far from the checkout, where only PYTHONPATH leads to the library."""
    env = environment(server, **({"PYTHONPATH": str(ROOT)} | more))
    return subprocess.Popen(
        [sys.executable, *map(str, args)],
        cwd=cwd,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_python(*args: str | Path, cwd: Path, server: RunningServer | None = None, **more: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a program."""
    with start_python(*args, cwd=cwd, server=server, **more) as process:
        out, err = process.communicate(timeout=100)
    return process.returncode, out, err


def run_script(
    text: str, cwd: Path, server: RunningServer | None = None, *, name: str = "host.py", **more: str
) -> tuple[int, str, str]:
    """The same of the text of a script."""
    (cwd / name).write_text(text)
    return run_python(name, cwd=cwd, server=server, **more)
