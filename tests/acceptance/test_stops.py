"""Stops are heard within two seconds, whatever the run is at: reading, walking, hashing, waiting for somebody else."""

from __future__ import annotations

import array
import fcntl
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.batch import COMMAND, Corpus, Finished, batch, environment, finish, rows_of, table_of, write_wav
from tests.forked import Started
from tests.servers import RunningServer, start_server, wait_for_answers

PROMISED_S = 2.0
SIGNALS = [
    (signal.SIGTERM, 143),
    *(pytest.param(*one, marks=pytest.mark.slow) for one in ((signal.SIGINT, 130), (signal.SIGHUP, 143))),
]
SLOW_RECOGNIZER = """
import pathlib, time
from pipeline.server.fingerprint import Fingerprint

def make(*args, **kwargs) -> Fingerprint:
    pathlib.Path("{mark}").touch()
    time.sleep(60)
"""
HUNG_LOOK = """
import pathlib, time
import pipeline.run.lookup

def look(*args):
    pathlib.Path("{mark}").touch()
    time.sleep(60)

pipeline.run.lookup.read_recording = look
from pipeline.cli import main
main()
"""

SIGNALLED_THREAD = """
import signal, sys, threading, time
import pipeline.run.measuring

def read(*args):
    waiting = 0
    while waiting < 100:  # else it looks for signals before it waits
        waits = sys._current_frames()[threading.main_thread().ident].f_code.co_filename == threading.__file__
        waiting = waiting + 1 if waits else 0
        time.sleep(0.001)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    time.sleep(60)

pipeline.run.measuring.read_recording = read
from pipeline.cli import main
main()
"""


class Start(Protocol):
    def __call__(
        self,
        *args: str | Path,
        server: RunningServer | None = None,
        command: Sequence[str] = COMMAND,
        stdin: int = subprocess.DEVNULL,
        stderr: int = subprocess.PIPE,
        **more: str,
    ) -> Any: ...


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the command; what a test that failed leaves running is killed."""
    started = []

    def start(
        *args: str | Path,
        server: RunningServer | None = None,
        command: Sequence[str] = COMMAND,
        stdin: int = subprocess.DEVNULL,
        stderr: int = subprocess.PIPE,
        **more: str,
    ) -> Any:
        words, env = [*map(str, args)], environment(server, **more)
        process: Started | subprocess.Popen[str]
        if (command, stdin, stderr) == (COMMAND, subprocess.DEVNULL, subprocess.PIPE) and "PYTHONPATH" not in more:
            process = Started(words, env)
        else:
            process = subprocess.Popen(
                [*command, *words], env=env, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, text=True
            )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def wait_until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline, "the run did not come so far"
        time.sleep(0.01)


def stopped(process: Started | subprocess.Popen[str], *numbers: int, within_s: float = PROMISED_S) -> Finished:
    """Sends the signals and waits for the command, which must end in time and with its line for scripts."""
    begun = time.monotonic()
    for number in numbers:
        process.send_signal(number)
    result = finish(process)
    assert time.monotonic() - begun < within_s
    assert result.last_line.endswith(f"exit={result.exit}")
    return result


def opened(pid: int, path: Path) -> bool:
    """Whether the process has this open, or something below it."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            if link.readlink().is_relative_to(path):
                return True
    return False


def huge_wav(path: Path) -> Path:
    """A recording that begins like one and takes a minute to hash; it occupies nothing on the disk."""
    write_wav(path, seed=1)
    os.truncate(path, 60 << 30)
    return path


def endless_tree(folder: Path) -> Path:
    """Folders that lead to each other in so many ways that a walk never ends, and no audio."""
    names = [f"{number:02d}" for number in range(14)]
    for name in names:
        (folder / name).mkdir(parents=True)
        for other in names:
            (folder / name / other).symlink_to(f"../{other}")
    return folder


def reads_stdin(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    """The process, once it has read all there is so far in its stdin, which stays open."""
    assert process.stdin is not None
    process.stdin.write('{"audio": "gone.wav"}\n')
    process.stdin.flush()
    waiting = array.array("i", [1])

    def all_is_read() -> bool:
        assert process.stdin is not None
        fcntl.ioctl(process.stdin, termios.FIONREAD, waiting)
        return waiting[0] == 0

    wait_until(all_is_read)
    return process


@contextmanager
def pipe_that_is_read(path: Path, start: Callable[[], subprocess.Popen[str]]) -> Iterator[subprocess.Popen[str]]:
    """A manifest that is a pipe into which nobody writes, and the command that waits for it."""
    os.mkfifo(path)
    process = start()
    writer = -1

    def is_waited_for() -> bool:
        nonlocal writer
        try:
            writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        return True

    wait_until(is_waited_for)
    try:
        yield process
    finally:
        os.close(writer)


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_while_a_huge_file_is_hashed(
    tmp_path: Path, out: Path, server: RunningServer, start: Start, number: signal.Signals, status: int
) -> None:
    huge = huge_wav(tmp_path / "audio" / "huge.wav")
    process = start("run", huge.parent, "--out", out, server=server)
    wait_until(lambda: opened(process.pid, huge))
    result = stopped(process, number)
    assert result.exit == status
    assert result.figures["left"] == 1


def test_while_recordings_of_an_id_that_two_manifests_have_are_compared(
    tmp_path: Path, out: Path, server: RunningServer, start: Start
) -> None:
    write_wav(tmp_path / "a.wav", seed=1)
    huge = huge_wav(tmp_path / "huge.wav")
    for name, audio in (("first", "a.wav"), ("second", "huge.wav")):
        (tmp_path / f"{name}.csv").write_text(f"id,audio\n1,{audio}\n")
    assert batch("run", tmp_path / "first.csv", "--out", out, server=server).exit == 0
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db, db:  # as if it had been so long
        db.execute("UPDATE utterances SET size = ?", (huge.stat().st_size,))
    process = start("run", tmp_path / "second.csv", "--out", out, server=server)
    wait_until(lambda: opened(process.pid, huge))
    stopped(process, signal.SIGTERM)
    assert len(rows_of(out)) == 1


@pytest.mark.slow
def test_while_a_recording_is_decoded(tmp_path: Path, out: Path, server: RunningServer, start: Start) -> None:
    stereo = tmp_path / "audio" / "stereo.wav"
    stereo.parent.mkdir()
    with wave.open(str(stereo), "wb") as file:
        file.setparams((2, 2, 44_100, 64 << 20, "NONE", ""))
        file.writeframesraw(bytes(4))
    os.truncate(stereo, 256 << 20)  # decodes for many seconds
    process = start("run", stereo.parent, "--out", out, "--set", "audio.allow_truncated=true", server=server)
    wait_until(lambda: list(out.glob(".spool/*.pcm")))
    result = stopped(process, signal.SIGTERM)
    assert result.exit == 143
    assert result.figures["left"] == 1
    assert not (out / ".spool").exists()


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_while_a_folder_without_audio_is_walked(
    tmp_path: Path, out: Path, server: RunningServer, start: Start, number: signal.Signals, status: int
) -> None:
    tree = endless_tree(tmp_path / "tree")
    process = start("run", tree, "--out", out, server=server)
    wait_until(lambda: opened(process.pid, tree))
    assert stopped(process, number).exit == status


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_while_a_pipe_is_read_that_sends_nothing(
    tmp_path: Path, out: Path, server: RunningServer, start: Start, number: signal.Signals, status: int
) -> None:
    process = start("run", "-", "--out", tmp_path / "other", server=server, stdin=subprocess.PIPE)
    assert stopped(reads_stdin(process), number).exit == status
    manifest = tmp_path / "m.csv"
    with pipe_that_is_read(manifest, lambda: start("run", manifest, "--out", out, server=server)) as process:
        assert stopped(process, number).exit == status


def test_a_second_signal_ends_a_run_that_reads_a_pipe_at_once(
    tmp_path: Path, out: Path, server: RunningServer, start: Start
) -> None:
    manifest = tmp_path / "m.csv"
    with pipe_that_is_read(manifest, lambda: start("run", manifest, "--out", out, server=server)) as process:
        assert stopped(process, signal.SIGTERM, signal.SIGINT, within_s=1.0).exit in (130, 143)


@pytest.mark.slow
def test_a_stderr_that_nobody_reads_keeps_no_run(
    tmp_path: Path, out: Path, server: RunningServer, start: Start
) -> None:
    manifest = tmp_path / "m.csv"
    unread, full = os.pipe()
    os.set_blocking(full, False)
    with suppress(BlockingIOError):
        while True:
            os.write(full, bytes(4096))
    os.set_blocking(full, True)

    def start_it() -> subprocess.Popen[str]:
        return start("run", manifest, "--out", out, server=server, stderr=full)

    with pipe_that_is_read(manifest, start_it) as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PROMISED_S)
        assert process.returncode == 143
    os.close(full)
    os.close(unread)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["hashing", "walking", "reading"])
def test_max_duration_counts_from_the_start_whatever_the_run_is_at(
    tmp_path: Path, out: Path, server: RunningServer, what: str
) -> None:
    manifest = tmp_path / "m.csv"
    if what == "hashing":
        manifest = huge_wav(tmp_path / "audio" / "huge.wav").parent
    elif what == "walking":
        manifest = endless_tree(tmp_path / "tree")
    else:
        os.mkfifo(manifest)
    begun = time.monotonic()
    result = batch("run", manifest, "--out", out, "--max-duration", "1s", server=server, own_process=True)
    starting_s = 2.0
    assert time.monotonic() - begun < 1 + PROMISED_S + starting_s
    assert result.exit == 4
    assert result.last_line.endswith("exit=4")


def test_while_the_balance_does_not_come(tmp_path: Path, out: Path, start: Start) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/api/post/speech/asr"
        process = start("run", corpus.folder, "--out", out, GRADIUM_API_KEY="k", GRADIUM_BATCH_SERVICE__URL=url)
        connection, _ = mute.accept()
        with connection:
            assert stopped(process, signal.SIGTERM).exit == 143


@pytest.mark.slow
def test_while_the_local_server_starts(tmp_path: Path, out: Path, start: Start) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    mark = tmp_path / "starting"
    (tmp_path / "slow_recognizer.py").write_text(SLOW_RECOGNIZER.format(mark=mark))
    path = os.pathsep.join([str(tmp_path), str(Path.cwd())])
    local = ("--set", "service.url=local", "--set", "local.recognizer=slow_recognizer:make")
    process = start("run", corpus.folder, "--out", out, *local, PYTHONPATH=path)
    wait_until(mark.exists)
    assert stopped(process, signal.SIGTERM).exit == 143


@pytest.mark.slow
def test_while_the_checkpoint_cannot_be_opened(tmp_path: Path, out: Path, server: RunningServer, start: Start) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    args = ("run", corpus.folder, "--out", out)
    assert batch(*args, server=server).exit == 0
    (out / "run.lock").write_text("")
    db = sqlite3.connect(out / "checkpoint.sqlite", isolation_level=None)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    process = start(*args, server=server)
    wait_until(lambda: (out / "run.lock").read_text())
    assert stopped(process, signal.SIGTERM).exit == 143
    db.close()


@pytest.mark.slow
def test_while_a_mount_hangs_under_all_recordings(
    tmp_path: Path, out: Path, server: RunningServer, start: Start
) -> None:
    corpus = Corpus(tmp_path / "audio", count=200, seconds=0.02)
    mark = tmp_path / "looking"
    command = (sys.executable, "-c", HUNG_LOOK.format(mark=mark))
    process = start("run", corpus.folder, "--out", out, command=command, server=server)
    wait_until(mark.exists)
    result = stopped(process, signal.SIGTERM)
    assert result.exit == 143
    assert result.figures["left"] == 200


@pytest.mark.slow
def test_answers_in_flight_come_while_hashing_ends(tmp_path: Path, out: Path, start: Start) -> None:
    corpus = Corpus(tmp_path / "audio", count=2)
    huge = huge_wav(corpus.folder / "huge.wav")
    with start_server(latency_s=3) as server:
        process = start("run", corpus.folder, "--out", out, server=server)
        wait_until(lambda: server.stats()["requests"] == 2 and opened(process.pid, huge))
        process.send_signal(signal.SIGTERM)
        wait_for_answers(server, 2)
        begun = time.monotonic()
        result = finish(process)
        assert time.monotonic() - begun < PROMISED_S
    assert result.exit == 143
    assert rows_of(out) == corpus.texts


@pytest.mark.slow
def test_a_run_under_nohup_goes_on_when_its_terminal_closes(tmp_path: Path, out: Path, start: Start) -> None:
    corpus = Corpus(tmp_path / "audio", count=12)
    with start_server(latency_s=0.1) as server:
        process = start(
            "run", corpus.folder, "--out", out, "--concurrency", "2", command=("nohup", *COMMAND), server=server
        )
        wait_for_answers(server, 2)
        process.send_signal(signal.SIGHUP)
        assert finish(process).exit == 0
    assert rows_of(out) == corpus.texts


def test_a_hangup_lets_answers_in_flight_come(tmp_path: Path, out: Path, start: Start) -> None:
    corpus = Corpus(tmp_path / "audio", count=200)
    with start_server(latency_s=0.2) as server:
        process = start("run", corpus.folder, "--out", out, "--concurrency", "4", server=server)
        wait_for_answers(server, 4)
        for _ in range(2):  # from the kernel and from the shell: nobody asked twice
            process.send_signal(signal.SIGHUP)
            time.sleep(0.01)  # two that come at once are one to the system
        result = finish(process)
        assert result.exit == 143
        assert "CutOff" not in {row["outcome"] for row in table_of(out, "attempts").to_pylist()}
        assert server.stats()["answered"] == len(rows_of(out)) == result.figures["done"]


def test_check_is_ended_by_ctrl_c_while_it_hashes(tmp_path: Path, out: Path, start: Start) -> None:
    for name in ("a.wav", "b.wav"):  # of one size: only their content says whether they are copies
        huge_wav(tmp_path / "audio" / name)
    process = start("check", tmp_path / "audio", "--out", out)
    wait_until(lambda: opened(process.pid, tmp_path / "audio"))
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert finish(process).exit == 130
    assert time.monotonic() - begun < PROMISED_S


def test_check_is_ended_by_ctrl_c_also_where_another_thread_gets_the_signal(
    tmp_path: Path, out: Path, start: Start
) -> None:
    write_wav(tmp_path / "audio" / "a.wav", seed=1)
    shutil.copy(tmp_path / "audio" / "a.wav", tmp_path / "audio" / "b.wav")
    begun = time.monotonic()
    process = start("check", tmp_path / "audio", "--out", out, command=(sys.executable, "-c", SIGNALLED_THREAD))
    assert finish(process).exit == 130
    assert time.monotonic() - begun < 30


def test_ctrl_c_that_comes_where_nothing_can_be_raised_is_not_lost() -> None:
    code = (
        "import time\nfrom pipeline.report.logs import set_up_logs\nset_up_logs()\n"
        "class Collected:\n    def __del__(self):\n        raise KeyboardInterrupt\n"
        "Collected()\ntime.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30)
    assert done.returncode == -signal.SIGINT
