"""One attempt: sends a clip's request once, and tells the listener, the budget and the breaker how it ended."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from pipeline.errors import AttemptError, CutOff
from pipeline.exchange import Answer, Transcriber
from pipeline.failures import consequence_of
from pipeline.pool.job import Job, Limits, Listener
from pipeline.pool.judge import Judge


class Attempts:
    """The attempts of one pool."""

    def __init__(self, transcriber: Transcriber, listener: Listener, limits: Limits, judge: Judge) -> None:
        self._transcriber = transcriber
        self._listener = listener
        self._limits = limits
        self._judge = judge

    async def send(self, job: Job, price: float) -> Answer | AttemptError:
        """How the request ended, for which `price` was reserved; where it blames the account, after the balance."""
        job.requests += 1
        started_at, started = datetime.now(UTC), _now()
        ended: Answer | AttemptError
        try:
            await self._listener.sending(job, started_at)
            started = _now()
            ended = await self._transcriber.transcribe(job.request)
        except AttemptError as error:
            ended = error.bare()
        except BaseException:  # cancelled, or a bug: counted as sent, to be safe
            cut = CutOff("cut off before the answer came", billed="maybe")
            self._listener.sent(job, started_at, _now() - started, cut)
            raise
        ended = self._judge.confirmed(job, ended)
        latency_s = _now() - started
        job.latency_s += latency_s
        self._limits.budget.settle(price, billed=isinstance(ended, Answer) or ended.billed != "no")
        self._limits.breaker.ended(job)
        self._limits.lengths.ended(job)
        if isinstance(ended, Answer) or not (
            consequence_of(ended).retry == "wait" or consequence_of(ended).is_of_the_file
        ):
            self._limits.limiter.session_ended()
        self._listener.sent(job, started_at, latency_s, ended)
        return ended if isinstance(ended, Answer) else await self._limits.account.judged(ended, price)


def _now() -> float:
    return asyncio.get_running_loop().time()
