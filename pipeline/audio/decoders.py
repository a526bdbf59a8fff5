"""The worker processes that decode and encode: their tasks, and which error follows when one crashes or hangs.

Processes, because the codecs hold the interpreter lock. They start when the first recording needs them, and only they
load the codec libraries.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from pipeline.audio.tracks import SAMPLE_RATE, Channels, Decoded, DecodeLimits, OutOfSpace
from pipeline.errors import AttemptError, AudioUnavailable, AudioUnreadable, NoDecoder, OutputError, RecordingTooLong
from pipeline.model import FileVersion
from pipeline.workers import NotStarted, WorkerCrashed, Workers

MIN_TIMEOUT_S = 120.0
"""Timeout of a task, to which the time for reading and for decoding the recording is added."""
SECONDS_PER_MB = 2.0
"""Allowed for reading, as from a slow network mount."""
MIN_SPEED = 20.0
"""Assumed decoding speed on a busy machine, in multiples of real time."""
PAUSES_S = (0.2, 1.0, 0.0)
"""Waits after the first, second and third failed start of a process."""
MAX_CRASHES = 2
"""Crashes on one recording before it fails; decoders that another process killed are not counted."""
MAX_TRIES = 3
"""Attempts to decode one recording, whatever ended its decoders."""
MAX_ALL_CRASH = 10
"""If decoders crash on this many recordings before any is decoded, the installation is taken to be broken."""
CRASHES_KEPT = 1_000
"""Recordings that are remembered, for other rows that are spans of them."""
CONTROL_S = 10.0
"""How much of another recording is decoded to see whether decoding works."""


class DecodeTask(msgspec.Struct, frozen=True, kw_only=True):
    """Decode a recording into files that begin with `target`."""

    path: str
    target: str
    channels: Channels
    allow_truncated: bool
    version: FileVersion
    """Of the file when it was hashed."""
    expected_s: float
    """Length by the header."""
    limits: DecodeLimits


class EncodeTask(msgspec.Struct, frozen=True, kw_only=True):
    """Encode samples of a track as Opus into the file `target`, behind `lead_samples` of silence."""

    path: str
    """The recording."""
    track: str
    start: int
    samples: int
    lead_samples: int
    target: str


DecoderTask = DecodeTask | EncodeTask
DecoderResult = Decoded | AttemptError | OutputError | OutOfSpace | None


def perform(task: DecoderTask) -> DecoderResult:
    """Performs one task in a worker. Returns errors of the recording or the disk; raises only errors of the worker."""
    from pipeline.audio.decode import decode
    from pipeline.audio.ogg import encode_opus

    try:
        if isinstance(task, DecodeTask):
            return decode(
                task.path,
                task.target,
                task.channels,
                allow_truncated=task.allow_truncated,
                version=task.version,
                limits=task.limits,
            )
        encode_opus(task.track, task.start, task.samples, task.lead_samples, task.target)
        return None
    except (AttemptError, OutputError, OutOfSpace) as error:
        return error


def make_decoder() -> Callable[[DecoderTask], DecoderResult]:
    """Returns the function that a worker calls for each task. Loads all codec libraries first, so that a missing one
    is not reported as an error of a recording."""
    import pipeline.audio.decode
    import pipeline.audio.packets  # noqa: F401

    return perform


class Decoders:
    """A pool of `count` processes, or one per CPU for 0."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._workers: Workers[DecoderTask, DecoderResult] | None = None
        self._running: Counter[str] = Counter()
        """Calls by recording, those that wait for a process included."""
        self._finished: set[str] = set()
        """Up to two recordings for which a decoder returned a result or an error, so did not crash."""
        self._call_ended = asyncio.Event()
        """Replaced whenever a call ends."""
        self._decoded: dict[str, DecodeTask] = {}
        """The last two recordings that were decoded."""
        self._crashed: dict[str, str] = {}
        """For recordings that are not tried again in this run: how their last decoder ended."""

    async def decode(self, task: DecodeTask) -> Decoded:
        """Decodes a recording in a worker.

        Raises what `decode.decode` raises, AudioUnreadable for a recording that decoders crash on, AudioUnavailable
        where the cause of the crash may be another, and NoDecoder.
        """
        timeout_s = MIN_TIMEOUT_S + task.version.size_bytes / 1e6 * SECONDS_PER_MB + task.expected_s / MIN_SPEED
        result = await self._perform(task, timeout_s)
        assert isinstance(result, Decoded)  # noqa: S101 for the type checker
        return result

    async def encode(self, task: EncodeTask) -> None:
        """Encodes a span in a worker. Raises what `ogg.encode_opus` raises, and as `decode` does after crashes."""
        await self._perform(task, MIN_TIMEOUT_S + task.samples / SAMPLE_RATE / MIN_SPEED)

    async def close(self) -> None:
        """Ends the processes at once."""
        if self._workers is not None:
            await self._workers.close()

    async def _perform(self, task: DecoderTask, timeout_s: float) -> DecoderResult:
        self._refuse_crashed(task.path)
        crashes: list[WorkerCrashed] = []
        while len(crashes) < MAX_TRIES and sum(not crash.was_killed for crash in crashes) < MAX_CRASHES:
            try:
                result = await self._call_counted(task, timeout_s)
            except WorkerCrashed as crash:
                crashes.append(crash)
                await self._wait_for_another(task.path)
                continue
            if isinstance(result, AttemptError | OutputError | OutOfSpace):
                raise result
            if isinstance(task, DecodeTask):
                self._decoded[task.path] = task
                self._decoded = dict([*self._decoded.items()][-2:])
            return result
        _remove(task.target)
        raise await self._error_of_crashes(task, crashes)

    async def _call_counted(self, task: DecoderTask, timeout_s: float) -> DecoderResult:
        self._running[task.path] += 1
        try:
            result = await self._call(task, timeout_s)
            if len(self._finished) < 2:
                self._finished.add(task.path)
            return result
        finally:
            self._running[task.path] -= 1
            self._running += Counter()  # drops those at 0
            self._call_ended.set()
            self._call_ended = asyncio.Event()

    async def _call(self, task: DecoderTask, timeout_s: float) -> DecoderResult:
        """Calls a worker. Where none starts, raises AudioUnavailable if one did before in this run, else NoDecoder."""
        if self._workers is None:
            self._workers = Workers(make_decoder, self._count)
            await self._workers.start()
        for pause_s in PAUSES_S:
            try:
                return await self._workers.call(task, timeout_s=timeout_s)
            except NotStarted as error:
                reason = error
            await asyncio.sleep(pause_s)
        if self._finished:
            raise AudioUnavailable(f"no decoder could be started for it any more: {reason}; the next run tries again")
        raise NoDecoder(f"no decoder starts, so nothing can be decoded: {reason}; fix the installation and run again")

    async def _wait_for_another(self, path: str) -> None:
        """Waits until a decoder has finished another recording: only then is the crash known to come from this one."""
        while not self._finished - {path} and any(other != path for other in self._running):
            await self._call_ended.wait()

    def _refuse_crashed(self, path: str) -> None:
        """Raises AudioUnavailable for a recording that crashed decoders before, and NoDecoder where all have."""
        if path in self._crashed:
            raise self._unavailable(path)
        if not self._finished and len(self._crashed) >= MAX_ALL_CRASH:
            raise NoDecoder(
                f"decoders crashed on each of the first {MAX_ALL_CRASH} recordings, so it is no recording's fault (the "
                f"last one {[*self._crashed.values()][-1]}); fix the installation and run again"
            )

    async def _error_of_crashes(self, task: DecoderTask, crashes: Sequence[WorkerCrashed]) -> AttemptError:
        """AudioUnreadable (final) if another recording still decodes; otherwise AudioUnavailable (tried again)."""
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
        """Whether the first seconds of another recording, which was decoded in this run, still decode."""
        control = next((task for path, task in self._decoded.items() if path != crashing.path), None)
        if control is None:
            return False
        target = f"{crashing.target}.other"
        limits = DecodeLimits(CONTROL_S, control.limits.max_bytes)
        try:
            result = await self._call(msgspec.structs.replace(control, target=target, limits=limits), MIN_TIMEOUT_S)
        except (WorkerCrashed, AttemptError, NoDecoder):
            return False
        finally:
            _remove(target)
        return isinstance(result, Decoded | RecordingTooLong)


def _remove(target: str) -> None:
    """Deletes the files of a task whose process crashed."""
    for path in (Path(target), *Path(target).parent.glob(f"{Path(target).name}.*.pcm")):
        path.unlink(missing_ok=True)
