"""The processes that decode and encode: what they are asked, and how often, when one of them dies or hangs.

Processes, because the codecs hold the interpreter lock. They start when the first recording needs them, and load the
libraries: the process that asks does without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from pipeline.audio.deaths import Deaths
from pipeline.audio.decoded import Bounds, Channels, Decoded, OutOfRoom
from pipeline.errors import AttemptError, AudioUnavailable, NoDecoder, OutputError, RecordingTooLong
from pipeline.model import FileVersion
from pipeline.workers import NotStarted, WorkerDied, Workers

LEAST_S = 120.0
"""What any recording may take …"""
SECONDS_PER_MB = 2.0
"""… and for each of its megabytes: a slow network mount reads as slowly as this …"""
SLOWEST = 20.0
"""… and for its length: a busy machine decodes so many times faster than real time."""
PAUSES_S = (0.2, 1.0, 0.0)
"""After each time that a process could not be started."""
OWN_DEATHS = 2
"""Of processes that a recording may be to blame for; it is tried no more."""
MOST_TRIES = 3
"""Also where they are killed by others."""
LOOKED_AT_S = 10.0
"""Of another recording, to see whether that is decoded."""


class Decode(msgspec.Struct, frozen=True, kw_only=True):
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


class EncodeOpus(msgspec.Struct, frozen=True, kw_only=True):
    """Encode samples of a track into the file `target`, behind `lead_samples` of silence."""

    path: str
    """The recording that they are of."""
    track: str
    start: int
    samples: int
    lead_samples: int
    target: str


Job = Decode | EncodeOpus
Ended = Decoded | AttemptError | OutputError | OutOfRoom | None


def perform(job: Job) -> Ended:
    """One job, in a worker. Errors that mean something travel as values: they are no fault of the worker's."""
    from pipeline.audio.decode import decode
    from pipeline.audio.encode import encode_opus

    try:
        match job:
            case Decode():
                return decode(
                    job.path,
                    job.target,
                    job.channels,
                    allow_truncated=job.allow_truncated,
                    looked_at=job.looked_at,
                    bounds=job.bounds,
                )
            case EncodeOpus():
                encode_opus(job.track, job.start, job.samples, job.lead_samples, job.target)
                return None
    except (AttemptError, OutputError, OutOfRoom) as error:
        return error


def performer() -> Callable[[Job], Ended]:
    """What a worker makes first. Loads all that decoding needs: what is not there is no recording's fault."""
    import pipeline.audio.encode
    import pipeline.audio.packets  # noqa: F401

    return perform


class Decoders:
    """As many processes as `count`, or one per CPU for 0."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._workers: Workers[Job, Ended] | None = None
        self._deaths = Deaths()
        self._has_worked = False
        self._decoded: dict[str, Decode] = {}
        """The last two recordings that were decoded."""

    async def decode(self, job: Decode) -> Decoded:
        """Raises what `decode.decode` raises, AudioUnreadable for a recording that no decoder survives,
        AudioUnavailable where that may not be its own fault, and NoDecoder."""
        most_s = LEAST_S + job.looked_at.size_bytes / 1e6 * SECONDS_PER_MB + job.expected_s / SLOWEST
        ended = await self._perform(job, most_s)
        assert isinstance(ended, Decoded)  # noqa: S101 for the type checker
        return ended

    async def encode(self, job: EncodeOpus) -> None:
        """Raises what `encode.encode_opus` raises, and as `decode` does where a process dies."""
        await self._perform(job, LEAST_S)

    async def close(self) -> None:
        """Ends the processes, also in the middle of their work."""
        if self._workers is not None:
            await self._workers.close()

    async def _perform(self, job: Job, at_most_s: float) -> Ended:
        self._deaths.refuse_given_up(job.path)
        died: list[WorkerDied] = []
        while len(died) < MOST_TRIES and sum(not death.by_others for death in died) < OWN_DEATHS:
            try:
                with self._deaths.at_work(job.path):
                    ended = await self._call(job, at_most_s)
                self._has_worked = True
            except WorkerDied as death:
                died.append(death)
                await self._deaths.another_ended(job.path)
                continue
            if isinstance(ended, AttemptError | OutputError | OutOfRoom):
                raise ended
            if isinstance(job, Decode):
                self._decoded[job.path] = job
                self._decoded = dict([*self._decoded.items()][-2:])
            return ended
        _remove(job.target)
        raise self._deaths.given_up(job.path, died, decodes_others=await self._decodes_others(job))

    async def _call(self, job: Job, at_most_s: float) -> Ended:
        """Raises NotStarted's meaning: where a decoder has worked in this run, it may be there again for the next."""
        if self._workers is None:
            self._workers = Workers(performer, self._count)
            await self._workers.start()
        for pause_s in PAUSES_S:
            try:
                return await self._workers.call(job, at_most_s=at_most_s)
            except NotStarted as error:
                why = error
            await asyncio.sleep(pause_s)
        if self._has_worked:
            raise AudioUnavailable(f"no decoder could be started for it any more: {why}; the next run tries again")
        raise NoDecoder(f"no decoder starts, so nothing can be decoded: {why}; mend the installation and run again")

    async def _decodes_others(self, dying: Job) -> bool:
        """Whether another recording, which was decoded in this run, still is: its first seconds are enough."""
        known = next((job for path, job in self._decoded.items() if path != dying.path), None)
        if known is None:
            return False
        target = f"{dying.target}.other"
        bounds = Bounds(LOOKED_AT_S, known.bounds.most_bytes)
        try:
            ended = await self._call(msgspec.structs.replace(known, target=target, bounds=bounds), LEAST_S)
        except (WorkerDied, AttemptError, NoDecoder):
            return False
        finally:
            _remove(target)
        return isinstance(ended, Decoded | RecordingTooLong)


def _remove(target: str) -> None:
    """What a process that died has left of its work."""
    for left in (Path(target), *Path(target).parent.glob(f"{Path(target).name}.*.pcm")):
        left.unlink(missing_ok=True)
