"""The first look at a recording: its content's hash, what is remembered, and how it is ended."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from pipeline.audio.probe import CHUNK_BYTES, read_recording
from pipeline.errors import Stopped
from tests.batch import write_wav


def test_the_hash_is_that_of_the_whole_content(tmp_path: Path) -> None:
    for name, size in {"short.wav": 100, "even.wav": 2 * CHUNK_BYTES, "long.wav": 2 * CHUNK_BYTES + 7}.items():
        path = tmp_path / name
        write_wav(path, seed=1)
        with path.open("ab") as file:
            file.write(bytes(size))
        assert read_recording(str(path)).audio_hash == hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def test_a_look_ends_when_the_run_is_to_stop_and_is_not_remembered_then(tmp_path: Path) -> None:
    path, stopped = tmp_path / "a.wav", threading.Event()
    write_wav(path, seed=1)
    stopped.set()
    with pytest.raises(Stopped):
        read_recording(str(path), stopped)
    stopped.clear()
    found = read_recording(str(path), stopped)
    stopped.set()
    assert read_recording(str(path), stopped) is found
