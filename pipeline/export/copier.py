"""Makes copies of recordings in worker processes, and keeps what was decoded for further rows of the same recording."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

from pipeline.audio.copies import CopyResult, CopyTask, LengthTask, PartTask, WholeTask, make_copier
from pipeline.audio.decoders import MIN_SPEED, MIN_TIMEOUT_S, SECONDS_PER_MB
from pipeline.audio.probe import Recording
from pipeline.audio.tracks import SAMPLE_RATE, discard
from pipeline.errors import AudioUnreadable, NoDecoder, OutputError
from pipeline.model import FileVersion, Transcript
from pipeline.workers import NotStarted, WorkerCrashed, Workers

MAX_TRIES = 2
"""Of a recording on which a process crashes."""
WHOLES_KEPT = 1_000
"""Recordings that are kept for further rows of them; of those that do not decode, that they do not."""


class _Whole:
    """The whole copy of a recording, which the copies of its parts are made of. Mutable."""

    def __init__(self, copying: asyncio.Task[CopyResult]) -> None:
        self.copying = copying
        self.holders = 0
        """Rows that are being copied from it."""
        self.bytes = 0


class Copier:
    """Makes copies in a folder, in processes of its own. Methods raise OutputError where the folder cannot be written
    to, and NoDecoder where no process starts; errors of a recording are returned."""

    def __init__(self, folder: Path, processes: int, spool_bytes: int) -> None:
        """`spool_bytes` of each whole copy, and of all together that are kept."""
        self._folder = folder
        self._processes = processes
        self._spool_bytes = spool_bytes
        self._workers: Workers[CopyTask, CopyResult] | None = None
        self._wholes: dict[tuple[str, FileVersion], _Whole] = {}
        """In the order in which they were last used."""
        self._copies = 0
        shutil.rmtree(folder, ignore_errors=True)  # what a kill left

    async def is_usable(self, recording: Recording, duration_s: float) -> bool:
        """Whether others find the audio in the file that was transcribed, which was so long."""
        if recording.probe.content_type is not None:
            return True
        return await self._call(LengthTask(path=recording.path, duration_s=duration_s), recording) is True

    async def whole(self, recording: Recording, most_bytes: int) -> CopyResult:
        """The path of a copy of all of it, which is the caller's."""
        version = recording.probe.version
        task = WholeTask(path=recording.path, target=self._target(), version=version, most_bytes=most_bytes)
        return await self._call(task, recording)

    async def part(self, row: Transcript, recording: Recording, most_bytes: int) -> CopyResult:
        """The path of a copy of the part that a row asks for, which is the caller's."""
        key = recording.path, recording.probe.version
        whole = self._wholes.pop(key, None)
        if whole is None:
            whole = _Whole(asyncio.create_task(self.whole(recording, self._spool_bytes)))
        self._wholes[key] = whole
        whole.holders += 1
        try:
            copy = await asyncio.shield(whole.copying)
            if not isinstance(copy, str):
                return copy
            whole.bytes = os.stat(copy).st_size  # noqa: PTH116  of a moment ago
            first = round(row.offset_s * SAMPLE_RATE)
            end = first + round(row.duration_s * SAMPLE_RATE)
            task = PartTask(
                path=copy,
                target=self._target(),
                begin_s=first / SAMPLE_RATE,  # as the run counts, which cuts at its own sample rate
                end_s=None if row.span_s is None else end / SAMPLE_RATE,
                channel=row.channel,
                most_bytes=most_bytes,
            )
            return await self._call(task, recording)
        finally:
            whole.holders -= 1
            self._make_room()

    async def close(self) -> None:
        """Ends the processes at once, and removes the folder."""
        if self._workers is not None:
            await self._workers.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _make_room(self) -> None:
        """Drops whole copies until the others fit."""
        kept = sum(whole.bytes for whole in self._wholes.values())
        for key, whole in [*self._wholes.items()]:
            if kept <= self._spool_bytes and len(self._wholes) <= WHOLES_KEPT:
                return
            if not whole.holders and whole.copying.done():
                del self._wholes[key]
                kept -= whole.bytes
                if isinstance(copy := whole.copying.result(), str):
                    discard(copy)

    def _target(self) -> str:
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"the folder {self._folder} cannot be created: {error.strerror}") from error
        self._copies += 1
        return str(self._folder / f"{self._copies:07d}")

    async def _call(self, task: CopyTask, recording: Recording) -> CopyResult:
        """What a process makes of a task; also its errors of the recording. Raises OutputError or NoDecoder."""
        if self._workers is None:
            self._workers = Workers(make_copier, self._processes)
            await self._workers.start()
        found, crash = recording.probe, ""
        timeout_s = MIN_TIMEOUT_S + found.version.size_bytes / 1e6 * SECONDS_PER_MB + found.duration_s / MIN_SPEED
        for _ in range(MAX_TRIES):
            try:
                result = await self._workers.call(task, timeout_s=timeout_s)
            except NotStarted as error:
                raise NoDecoder(f"no decoder starts, so no audio can be exported: {error}") from None
            except (WorkerCrashed, RuntimeError) as error:
                crash = str(error)
            else:
                if isinstance(result, OutputError):
                    raise result
                return result
        return AudioUnreadable(f"its decoder failed {MAX_TRIES} times: {crash}")
