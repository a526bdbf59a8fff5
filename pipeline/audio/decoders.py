"""The processes that decode and encode: what they are asked, and what it means when one of them dies or hangs.

Processes, because the codecs hold the interpreter lock. They start when the first recording needs them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pipeline.audio.decode import Decoded, decode
from pipeline.errors import AttemptError, AudioUnreadable, OutputError
from pipeline.workers import Workers

LEAST_S = 120.0
"""What any recording may take …"""
SECONDS_PER_MB = 2.0
"""… and for each of its megabytes: a slow network mount reads as slowly as this."""

Job = Callable[[], Decoded | None]
Ended = Decoded | AttemptError | OutputError | None


def perform(job: Job) -> Ended:
    """One job, in a worker. Errors that mean something travel as values: they are no fault of the worker's."""
    try:
        return job()
    except (AttemptError, OutputError) as error:
        return error


def performer() -> Callable[[Job], Ended]:
    """What a worker makes first: here nothing, the libraries are loaded by the first job that needs them."""
    return perform


class Decoders:
    """As many processes as `count`, or one per CPU for 0."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._workers: Workers[Job, Ended] | None = None

    async def decode(
        self, path: str, target: str, channels: str | int, *, size_bytes: int, allow_truncated: bool
    ) -> Decoded:
        """Decodes a recording into files that begin with `target`. Raises what `decode.decode` raises."""
        job = partial(decode, path, target, channels, allow_truncated=allow_truncated)
        ended = await self._perform(job, LEAST_S + size_bytes / 1e6 * SECONDS_PER_MB)
        assert isinstance(ended, Decoded)  # noqa: S101 for the type checker
        return ended

    async def encode_opus(self, track: str, start: int, samples: int, lead_samples: int, target: str) -> None:
        """Encodes samples of a track into the file `target`, after `lead_samples` of silence."""
        from pipeline.audio.encode import encode_opus

        await self._perform(partial(encode_opus, track, start, samples, lead_samples, target), LEAST_S)

    async def close(self) -> None:
        """Ends the processes, also in the middle of their work."""
        if self._workers is not None:
            await self._workers.close()

    async def _perform(self, job: Job, at_most_s: float) -> Decoded | None:
        if self._workers is None:
            self._workers = Workers(performer, self._count)
            await self._workers.start()
        for last_try in (False, True):
            try:
                ended = await self._workers.call(job, at_most_s=at_most_s)
            except (EOFError, OSError):
                # it may have been another's fault (killed for memory): the second time it is this recording's
                if last_try:
                    raise AudioUnreadable(
                        f"the decoder died of it, or did not come to an end within {at_most_s:.0f} s"
                    ) from None
            else:
                if isinstance(ended, AttemptError | OutputError):
                    raise ended
                return ended
        raise AssertionError  # the second try returns or raises
