"""The processes that decode and encode: their tasks, what follows when one crashes or hangs, and whose fault that is.

Processes, because the codecs hold the interpreter lock. They start when the first recording needs them, and load the
libraries: the process that asks does without.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from pipeline.audio.tracks import Bounds, Channels, Decoded, OutOfRoom
from pipeline.errors import AttemptError, AudioUnavailable, AudioUnreadable, NoDecoder, OutputError, RecordingTooLong
from pipeline.model import FileVersion
from pipeline.workers import NotStarted, WorkerCrashed, Workers

MIN_TIMEOUT_S = 120.0
"""What any recording may take …"""
SECONDS_PER_MB = 2.0
"""… and for each of its megabytes: a slow network mount reads as slowly as this …"""
MIN_SPEED = 20.0
"""… and for its length: a busy machine decodes so many times faster than real time."""
PAUSES_S = (0.2, 1.0, 0.0)
"""After each time that a process could not be started."""
MAX_CRASHES = 2
"""That a recording may be to blame for; it is tried no more."""
MAX_TRIES = 3
"""Also where the processes were killed by somebody else."""
MAX_ALL_CRASH = 10
"""Recordings that decoders crash on, where none ever finished: then it is no recording's fault."""
CRASHES_KEPT = 1_000
"""Recordings that are remembered, for the other rows that are spans of them."""
CONTROL_S = 10.0
"""Of another recording, to see whether that still decodes."""


class DecodeTask(msgspec.Struct, frozen=True, kw_only=True):
    """Decode a recording into files that begin with `target`."""

    path: str
    target: str
    channels: Channels
    allow_truncated: bool
    looked_at: FileVersion
    """What the file was when it was hashed."""
    expected_s: float
    """Its length by its header."""
    bounds: Bounds


class EncodeTask(msgspec.Struct, frozen=True, kw_only=True):
    """Encode samples of a track as Opus into the file `target`, behind `lead_samples` of silence."""

    path: str
    """The recording that they are of."""
    track: str
    start: int
    samples: int
    lead_samples: int
    target: str


DecoderTask = DecodeTask | EncodeTask
DecoderResult = Decoded | AttemptError | OutputError | OutOfRoom | None


def perform(task: DecoderTask) -> DecoderResult:
    """One task, in a worker. Errors that mean something travel as values: they are no fault of the worker's."""
    from pipeline.audio.decode import decode
    from pipeline.audio.ogg import encode_opus

    try:
        if isinstance(task, DecodeTask):
            return decode(
                task.path,
                task.target,
                task.channels,
                allow_truncated=task.allow_truncated,
                looked_at=task.looked_at,
                bounds=task.bounds,
            )
        encode_opus(task.track, task.start, task.samples, task.lead_samples, task.target)
        return None
    except (AttemptError, OutputError, OutOfRoom) as error:
        return error


def make_decoder() -> Callable[[DecoderTask], DecoderResult]:
    """What a worker makes first. Loads all that decoding needs: what is not there is no recording's fault."""
    import pipeline.audio.packets  # noqa: F401

    return perform


class Decoders:
    """As many processes as `count`, or one per CPU for 0."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._workers: Workers[DecoderTask, DecoderResult] | None = None
        self._at_work: Counter[str] = Counter()
        """Recordings that a decoder has, or that wait for one."""
        self._finished: set[str] = set()
        """Two recordings, at most, that a decoder finished with, whatever it found."""
        self._one_ended = asyncio.Event()
        """Replaced after each end of a call."""
        self._decoded: dict[str, DecodeTask] = {}
        """The last two recordings that were decoded."""
        self._crashed: dict[str, str] = {}
        """How the last decoder ended of recordings that are not tried again in this run."""

    async def decode(self, task: DecodeTask) -> Decoded:
        """Raises what `decode.decode` raises, AudioUnreadable for a recording that decoders crash on, AudioUnavailable
        where that may not be its own fault, and NoDecoder."""
        most_s = MIN_TIMEOUT_S + task.looked_at.size_bytes / 1e6 * SECONDS_PER_MB + task.expected_s / MIN_SPEED
        result = await self._perform(task, most_s)
        assert isinstance(result, Decoded)  # noqa: S101 for the type checker
        return result

    async def encode(self, task: EncodeTask) -> None:
        """Raises what `ogg.encode_opus` raises, and as `decode` does where a process crashes."""
        await self._perform(task, MIN_TIMEOUT_S)

    async def close(self) -> None:
        """Ends the processes, also in the middle of their work."""
        if self._workers is not None:
            await self._workers.close()

    async def _perform(self, task: DecoderTask, at_most_s: float) -> DecoderResult:
        self._refuse_crashed(task.path)
        crashes: list[WorkerCrashed] = []
        while len(crashes) < MAX_TRIES and sum(not crash.was_killed for crash in crashes) < MAX_CRASHES:
            try:
                result = await self._call_counted(task, at_most_s)
            except WorkerCrashed as crash:
                crashes.append(crash)
                await self._another_finished(task.path)
                continue
            if isinstance(result, AttemptError | OutputError | OutOfRoom):
                raise result
            if isinstance(task, DecodeTask):
                self._decoded[task.path] = task
                self._decoded = dict([*self._decoded.items()][-2:])
            return result
        _remove(task.target)
        raise await self._verdict(task, crashes)

    async def _call_counted(self, task: DecoderTask, at_most_s: float) -> DecoderResult:
        self._at_work[task.path] += 1
        try:
            result = await self._call(task, at_most_s)
            if len(self._finished) < 2:
                self._finished.add(task.path)
            return result
        finally:
            self._at_work[task.path] -= 1
            self._at_work += Counter()  # without those at 0
            self._one_ended.set()
            self._one_ended = asyncio.Event()

    async def _call(self, task: DecoderTask, at_most_s: float) -> DecoderResult:
        """Raises what NotStarted means: where a decoder has worked in this run, it may again in the next."""
        if self._workers is None:
            self._workers = Workers(make_decoder, self._count)
            await self._workers.start()
        for pause_s in PAUSES_S:
            try:
                return await self._workers.call(task, at_most_s=at_most_s)
            except NotStarted as error:
                why = error
            await asyncio.sleep(pause_s)
        if self._finished:
            raise AudioUnavailable(f"no decoder could be started for it any more: {why}; the next run tries again")
        raise NoDecoder(f"no decoder starts, so nothing can be decoded: {why}; fix the installation and run again")

    async def _another_finished(self, path: str) -> None:
        """Waits until a decoder has finished with another recording, where one is at work: that tells whose fault it
        was."""
        while not self._finished - {path} and any(other != path for other in self._at_work):
            await self._one_ended.wait()

    def _refuse_crashed(self, path: str) -> None:
        """Raises AudioUnavailable for a recording that was tried in this run, and NoDecoder where all crash."""
        if path in self._crashed:
            raise self._unavailable(path)
        if not self._finished and len(self._crashed) >= MAX_ALL_CRASH:
            raise NoDecoder(
                f"decoders crashed on each of the first {MAX_ALL_CRASH} recordings, so it is no recording's fault (the "
                f"last one {[*self._crashed.values()][-1]}); fix the installation and run again"
            )

    async def _verdict(self, task: DecoderTask, crashes: Sequence[WorkerCrashed]) -> AudioUnreadable | AudioUnavailable:
        """Whose fault the crashes were: the recording's only where another one still decodes."""
        own = [crash for crash in crashes if not crash.was_killed]
        if len(own) > 1 and await self._decodes_another(task):
            return AudioUnreadable(f"its decoder failed twice, while other recordings decode: it {own[-1]}")
        self._crashed[task.path] = str(crashes[-1])
        if len(self._crashed) > CRASHES_KEPT:
            del self._crashed[next(iter(self._crashed))]
        return self._unavailable(task.path)

    def _unavailable(self, path: str) -> AudioUnavailable:
        how = self._crashed[path]
        return AudioUnavailable(f"its decoder {how}, which may not be the file's fault; the next run tries again")

    async def _decodes_another(self, crashing: DecoderTask) -> bool:
        """Whether another recording, which was decoded in this run, still decodes: its first seconds are enough."""
        known = next((task for path, task in self._decoded.items() if path != crashing.path), None)
        if known is None:
            return False
        target = f"{crashing.target}.other"
        bounds = Bounds(CONTROL_S, known.bounds.most_bytes)
        try:
            result = await self._call(msgspec.structs.replace(known, target=target, bounds=bounds), MIN_TIMEOUT_S)
        except (WorkerCrashed, AttemptError, NoDecoder):
            return False
        finally:
            _remove(target)
        return isinstance(result, Decoded | RecordingTooLong)


def _remove(target: str) -> None:
    """What a process that crashed has left of its work."""
    for left in (Path(target), *Path(target).parent.glob(f"{Path(target).name}.*.pcm")):
        left.unlink(missing_ok=True)
