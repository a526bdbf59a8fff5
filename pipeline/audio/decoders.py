"""The processes that decode and encode: what they are asked, and what it means when one of them dies or hangs.

Processes, because the codecs hold the interpreter lock. They start when the first recording needs them, and load the
libraries: the process that asks does without.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from pipeline.audio.decoded import Bounds, Channels, Decoded, OutOfRoom
from pipeline.errors import AttemptError, AudioUnreadable, OutputError
from pipeline.model import FileVersion
from pipeline.workers import Workers

STDERR = 2
LEAST_S = 120.0
"""What any recording may take …"""
SECONDS_PER_MB = 2.0
"""… and for each of its megabytes: a slow network mount reads as slowly as this …"""
SLOWEST = 20.0
"""… and for its length: a busy machine decodes so many times faster than real time."""


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
    """What a worker makes first: nothing, the first job loads what it needs."""
    # what the codec libraries write there is no line of ours, and may be text of the recording
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDERR)
    return perform


class Decoders:
    """As many processes as `count`, or one per CPU for 0."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._workers: Workers[Job, Ended] | None = None

    async def decode(self, job: Decode) -> Decoded:
        """Raises what `decode.decode` raises, and AudioUnreadable for a recording that no decoder survives."""
        most_s = LEAST_S + job.looked_at.size_bytes / 1e6 * SECONDS_PER_MB + job.expected_s / SLOWEST
        ended = await self._perform(job, most_s)
        assert isinstance(ended, Decoded)  # noqa: S101 for the type checker
        return ended

    async def encode(self, job: EncodeOpus) -> None:
        """Raises what `encode.encode_opus` raises."""
        await self._perform(job, LEAST_S)

    async def close(self) -> None:
        """Ends the processes, also in the middle of their work."""
        if self._workers is not None:
            await self._workers.close()

    async def _perform(self, job: Job, at_most_s: float) -> Ended:
        if self._workers is None:
            self._workers = Workers(performer, self._count)
            await self._workers.start()
        try:
            ended = await self._workers.call(job, at_most_s=at_most_s)
        except (EOFError, OSError):
            # it may have been another's fault, killed for memory: the second time it is this recording's
            try:
                ended = await self._workers.call(job, at_most_s=at_most_s)
            except (EOFError, OSError):
                raise AudioUnreadable(
                    f"the decoder died of it, or did not come to an end within {at_most_s:.0f} s"
                ) from None
        if isinstance(ended, AttemptError | OutputError | OutOfRoom):
            raise ended
        return ended
