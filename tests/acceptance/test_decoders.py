"""Decoders that die, hang or never start: no recording is blamed for what is not its own fault."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.batch import Finished, batch, environment, errors_of, finish, jsonl_of, rows_of
from tests.forked import Started
from tests.servers import RunningServer

ROOT = Path(__file__).parents[2]
NAMES = ("signal", "json", "numpy", "av", "random", "logging", "soxr", "msgspec", "tests", "pickle", "threading")
HOOK = """
import os, sys, time
if "pipeline.workers" in sys.orig_argv:
    if {missing!r}:
        sys.modules[{missing!r}] = None
    else:
        import pipeline.audio.decode as module
        whole = module.decode
        def decode(path, *args, **more):
            if {marked!r} in path or os.path.exists(path + ".spoilt"):
                {act}
            return whole(path, *args, **more)
        module.decode = decode
else:
    import pipeline.audio.decoders
    pipeline.audio.decoders.MIN_TIMEOUT_S = {least_s}
"""
HOOKED = """
import os, pathlib
exec(pathlib.Path(os.environ["PYTHONPATH"].split(os.pathsep)[0], "sitecustomize.py").read_text())
import pipeline.cli
pipeline.cli.main()
"""
"""The command with the hook; its decoders, which are started anew, find it by themselves."""
CRASH, HANG = f"os.kill(os.getpid(), {signal.SIGSEGV:d})", "time.sleep(1_000)"
SPOIL = f"[open(path.replace('marked', other) + '.spoilt', 'w') for other in 'ab']; {CRASH}"
"""From then on decoders die of everything."""
KILL = f"os.kill(os.getpid(), {signal.SIGKILL:d})"


def recordings(folder: Path, *names: str) -> Path:
    """Files that have to be decoded."""
    folder.mkdir(exist_ok=True)
    for name in names:
        noise = np.frombuffer(random.Random(name).randbytes(8_000), dtype="<i2")
        soundfile.write(folder / f"{name}.flac", noise, 8_000)
    return folder


def poisoned(tmp_path: Path) -> Path:
    """A working folder with modules that are called as others."""
    here = tmp_path / "here"
    (here / "pipeline").mkdir(parents=True)
    (here / "pipeline" / "workers.py").write_text("raise SystemExit('a worker of the working folder')")
    for name in NAMES:
        (here / f"{name}.py").write_text(f"raise SystemExit('{name} of the working folder')")
    return here


def hooked(tmp_path: Path, act: str = "pass", marked: str = "marked", missing: str = "", least_s: float = 120) -> str:
    """PYTHONPATH of a Python whose decoders do what is said with recordings whose names are marked."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(HOOK.format(act=act, marked=marked, missing=missing, least_s=least_s))
    return os.pathsep.join([str(site), str(ROOT)])


def run(
    folder: Path, out: Path, server: RunningServer, path: str = "", cwd: Path | None = None, decoders: int = 2
) -> Finished:
    args = ("run", folder, "--out", out, "--set", f"audio.decoders={decoders}")
    if path:
        return finish(Started([HOOKED, *map(str, args)], environment(server, PYTHONPATH=path), kind="python"))
    more = {"PYTHONPATH": str(ROOT)} if cwd else {}
    return batch(*args, server=server, cwd=cwd, **more)


@pytest.mark.slow
def test_modules_in_the_working_folder_are_not_taken_for_others(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    done = run(recordings(tmp_path / "audio", "a", "b"), out, server, cwd=poisoned(tmp_path))
    assert (done.exit, len(rows_of(out))) == (0, 2), done.stderr


@pytest.mark.slow
def test_a_recognizer_of_the_working_folder_is_found_there_and_nothing_else(tmp_path: Path, out: Path) -> None:
    here, folder = poisoned(tmp_path), recordings(tmp_path / "audio", "a")
    shutil.copy(ROOT / "tests/server/own_recognizer.py", here / "mine.py")
    local = ("--set", "service.url=local", "--set", "local.recognizer=mine:Parrot")
    done = batch("run", folder, "--out", out, *local, cwd=here, PYTHONPATH=str(ROOT))
    assert (done.exit, rows_of(out)) == (0, {"a.flac": "0.5 seconds"}), done.stderr
    command = [sys.executable, "-P", "-m", "pipeline", "serve", "--recognizer", "mine:Parrot"]  # as what is installed
    env = environment(PYTHONPATH=str(ROOT))
    with subprocess.Popen(command, cwd=here, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert "url" in json.loads(process.stdout.readline())
        process.terminate()
    assert process.returncode == 0


@pytest.mark.slow
def test_the_recognizers_processes_take_nothing_from_the_working_folder(tmp_path: Path, out: Path) -> None:
    (tmp_path / "m.csv").write_text(f"audio\n{ROOT / 'manifests/sample/door-16k.wav'}\n")
    local = ("--config", "configs/local.toml")
    done = batch("run", tmp_path / "m.csv", "--out", out, *local, cwd=poisoned(tmp_path), PYTHONPATH=str(ROOT))
    assert done.exit == 0, done.stderr
    assert "door" in next(iter(rows_of(out).values()))


@pytest.mark.parametrize(
    ("act", "said", "decoders"),
    [
        (CRASH, "signal 11", 2),
        (CRASH, "signal 11", 1),
        pytest.param(HANG, "did not finish within 2 s", 2, marks=pytest.mark.slow),
    ],
    ids=["crash", "crash of the only one", "hang"],
)
def test_a_recording_that_decoders_die_of_twice_while_others_are_decoded_is_at_fault(
    act: str, said: str, decoders: int, server: RunningServer, tmp_path: Path, out: Path
) -> None:
    folder = recordings(tmp_path / "audio", "a", "b", "marked", "c")
    done = run(folder, out, server, hooked(tmp_path, act, least_s=2), decoders=decoders)
    assert (done.exit, len(rows_of(out))) == (3, 3)
    [failure] = jsonl_of(out, "errors.jsonl")
    assert (failure["id"], failure["error"], failure["retryable"]) == ("marked.flac", "AudioUnreadable", False)
    assert said in failure["message"]
    assert "its decoder failed twice, while other recordings decode" in failure["message"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "names"),
    [(KILL, ("a", "marked")), (CRASH, ("marked",)), (SPOIL, ("a", "b", "marked"))],
    ids=["killed by somebody else", "where nothing else is decoded", "where nothing else is decoded any more"],
)
def test_a_decoder_that_dies_may_be_no_fault_of_the_recording(
    act: str, names: tuple[str, ...], server: RunningServer, tmp_path: Path, out: Path
) -> None:
    folder = recordings(tmp_path / "audio", *names)
    done = run(folder, out, server, hooked(tmp_path, act))
    assert done.exit == 3
    [failure] = jsonl_of(out, "errors.jsonl")
    assert (failure["error"], failure["retryable"], failure["attempts"]) == ("AudioUnavailable", True, 0)
    assert "may not be the file's fault" in failure["message"]
    assert run(folder, out, server).exit == 0
    assert (len(rows_of(out)), errors_of(out)) == (len(names), {})


def test_a_decoder_that_is_killed_once_costs_nothing(server: RunningServer, tmp_path: Path, out: Path) -> None:
    folder = recordings(tmp_path / "audio", "a", "marked")
    once = f"os.path.exists({str(tmp_path / 'once')!r}) or (open({str(tmp_path / 'once')!r}, 'w'), {KILL})"
    assert run(folder, out, server, hooked(tmp_path, once)).exit == 0
    assert (tmp_path / "once").exists()


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["soxr", "av"])
def test_where_no_decoder_starts_the_run_stops_with_a_sentence_and_nothing_is_filed(
    missing: str, server: RunningServer, tmp_path: Path, out: Path
) -> None:
    folder, before = recordings(tmp_path / "audio", "a", "b", "c"), server.stats()["requests"]
    done = run(folder, out, server, hooked(tmp_path, missing=missing))
    assert done.exit == 1
    assert (
        f"no decoder starts, so nothing can be decoded: ModuleNotFoundError: import of {missing} halted" in done.stderr
    )
    assert server.stats()["requests"] == before
    assert run(folder, out, server).exit == 0
    assert (len(rows_of(out)), errors_of(out)) == (3, {})


@pytest.mark.slow
def test_where_decoders_die_of_everything_the_run_stops(server: RunningServer, tmp_path: Path, out: Path) -> None:
    folder = recordings(tmp_path / "audio", *(f"{number:02d}" for number in range(40)))
    done = run(folder, out, server, hooked(tmp_path, CRASH, marked=""))
    assert done.exit == 1
    assert "decoders crashed on each of the first 10 recordings, so it is no recording's fault" in done.stderr
    assert run(folder, out, server).exit == 0
    assert len(rows_of(out)) == 40
