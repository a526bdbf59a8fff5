"""The audio bytes of rows: the recording's file, or the part of it that a row asks for.

with AudioOf(folder, sources) as audio:
    for row, found in audio.of(rows): ...
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Literal, Self, TypeVar

import msgspec

from pipeline.audio.copies import CopyResult
from pipeline.audio.probe import Probe, read_recording
from pipeline.audio.tracks import OutOfSpace, discard
from pipeline.audio.upload import SHORTER_S
from pipeline.errors import AttemptError, AudioMissing, RecordingTooLong
from pipeline.export.copier import Copier
from pipeline.export.formats.hub import AudioBytes
from pipeline.export.local_copies import LocalCopies
from pipeline.export.names import path_of
from pipeline.machine import usable_cpus
from pipeline.model import FileVersion, Transcript
from pipeline.source import Sources
from pipeline.source.addresses import ending_of
from pipeline.source.local import open_recording, read_error, same_file
from pipeline.texts import presentable
from pipeline.threads import DaemonThreads

MOST_BYTES = 256 << 20
"""Of a row's audio. A cell of a Parquet file is in memory as a whole, a few times, where it is written and read."""
SPOOL_BYTES = 4 << 30
"""Of decoded recordings that are kept for further rows of them."""
_CHANGED = "the recording is not the one that was transcribed: run again, which transcribes it, and export after that"
Why = Literal["missing", "changed", "too large", "unreadable"]
_SUFFIXES = {
    b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff\xfb": ".mp3", b"\xff\xf3": ".mp3"
}  # fmt: skip
"""Of names that have none, as those of rows of Parquet files, by the first bytes."""
T = TypeVar("T")


class NoAudio(msgspec.Struct, frozen=True, kw_only=True):
    """Why a row has no audio to export."""

    why: Why
    """To count them by. `changed`: the recording is not the one that was transcribed."""
    message: str


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """Where the audio of a row lies."""

    path: str
    name: str
    version: FileVersion | None
    """Of a recording as it is; None for a copy, which is deleted when it was read."""


class AudioOf:
    """Reads the audio of rows, decoding some ahead in processes of its own. Not for a thread with an event loop."""

    def __init__(
        self,
        folder: Path,
        sources: Sources,
        *,
        decoders: int = 0,
        most_bytes: int = MOST_BYTES,
        spool_bytes: int = SPOOL_BYTES,
    ) -> None:
        """`folder` is for what is decoded or fetched: emptied before, made where it is needed, removed afterwards.
        `decoders`: processes, 0 for one per CPU. `most_bytes` of a row; `spool_bytes` of each decoded recording that
        has rows for parts of it, and of all that are kept, and as many of all that are fetched."""
        self._most_bytes = most_bytes
        self._count = decoders or usable_cpus()
        self._runner = asyncio.Runner()
        self._threads = DaemonThreads(self._count, "export-audio")
        self._copier = Copier(folder, self._count, spool_bytes)
        self._copies = LocalCopies(sources, folder, spool_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the processes and removes the folder, also in the middle of `of`."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._copies.close()
        self._runner.run(self._copier.close())
        self._runner.close()

    def of(self, rows: Iterable[Transcript]) -> Iterator[tuple[Transcript, AudioBytes | NoAudio]]:
        """Each row with its audio, in the order of the rows, of which a few are taken ahead.

        Raises OutputError where the folder cannot be written to, and NoDecoder where no process starts.
        """
        left, loop = iter(rows), self._runner.get_loop()
        ahead: deque[tuple[Transcript, asyncio.Task[_File | NoAudio]]] = deque()
        try:
            while True:
                for row in islice(left, 2 * self._count - len(ahead)):
                    task = loop.create_task(self._find(row))
                    task.add_done_callback(_note)
                    ahead.append((row, task))
                if not ahead:
                    return
                row, task = ahead.popleft()
                found = self._runner.run(_result_of(task))
                if isinstance(found, NoAudio):
                    yield row, found
                    continue
                audio = _read(found)
                self._copies.release(row.audio)
                yield row, audio
        finally:
            for _, task in ahead:
                task.cancel()

    async def _find(self, row: Transcript) -> _File | NoAudio:
        """Where the audio is; a copy that was fetched is held then."""
        try:
            path = await self._copies.hold(row.audio)
        except AttemptError as error:
            return _no_audio(error)
        found: _File | NoAudio | None = None
        try:
            found = await self._find_in(path, row)
            return found
        except AttemptError as error:
            return _no_audio(error)
        finally:
            if not isinstance(found, _File):
                self._copies.release(row.audio)

    async def _find_in(self, path: str, row: Transcript) -> _File | NoAudio:
        recording = await asyncio.get_running_loop().run_in_executor(self._threads, read_recording, path)
        if recording.audio_hash != row.audio_hash:
            return NoAudio(why="changed", message=_CHANGED)
        is_whole = _is_whole(row, recording.probe)
        is_small = recording.probe.version.size_bytes <= self._most_bytes and "truncated" not in row.issues
        if is_whole and is_small and await self._copier.is_usable(recording, row.duration_s):
            return _File(path=recording.path, name=_name(row, ending_of(row.audio)), version=recording.probe.version)
        if is_whole:
            result = await self._copier.whole(recording, self._most_bytes)
        else:
            result = await self._copier.part(row, recording, self._most_bytes)
        if not isinstance(result, str):
            return _no_audio(result)
        return _File(path=result, name=_name(row, Path(result).suffix, is_part=not is_whole), version=None)


def _read(found: _File) -> AudioBytes | NoAudio:
    try:
        with open_recording(found.path) as file:
            data = file.readall()
            if found.version is not None and not same_file(file, found.version):
                return NoAudio(why="changed", message=_CHANGED)
    except AttemptError as error:
        return _no_audio(error)
    except OSError as error:
        return _no_audio(read_error(found.path, error))
    finally:
        if found.version is None:
            discard(found.path)
    suffixes = (suffix for start, suffix in _SUFFIXES.items() if data.startswith(start))
    return AudioBytes(data=data, name=found.name if ending_of(found.name) else found.name + next(suffixes, ""))


def _no_audio(why: CopyResult) -> NoAudio:
    kind: Why = "unreadable"
    if isinstance(why, AudioMissing):
        kind = "missing"
    elif isinstance(why, OutOfSpace | RecordingTooLong):
        kind = "too large"
    return NoAudio(why=kind, message=presentable(str(why)))


def _is_whole(row: Transcript, probe: Probe) -> bool:
    """Whether a row is all of its recording, also where the manifest gives its length."""
    has_all_channels = row.channel is None or (row.channel == 0 and probe.is_mono)
    is_to_end = row.span_s is None or (probe.is_counted and row.span_s >= probe.duration_s - SHORTER_S)
    return not row.offset_s and has_all_channels and is_to_end


def _name(row: Transcript, suffix: str, *, is_part: bool = False) -> str:
    part = f"_{row.offset_s:.3f}-{row.offset_s + row.duration_s:.3f}" if is_part else ""
    channel = f"_ch{row.channel}" if is_part and row.channel is not None else ""
    return presentable(f"{Path(path_of(row.audio)).stem}{part}{channel}{suffix}")


async def _result_of(task: asyncio.Task[T]) -> T:
    return await task


def _note(task: asyncio.Task[T]) -> None:
    """Takes note of its error, which asyncio would log: of several the first is raised."""
    if not task.cancelled():
        task.exception()
