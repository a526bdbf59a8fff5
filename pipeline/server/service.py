"""What both endpoints of one server do with a request: key, limits, faults, credits, audio, words, bill.

`endpoint.py` (HTTP) and `websocket.py` have the order of the steps.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Mapping

import msgspec
from aiohttp import web

from pipeline.gradium import wire
from pipeline.server import answer
from pipeline.server.account import Account
from pipeline.server.audio import Sound
from pipeline.server.body import Bodies
from pipeline.server.faults.before import SessionCap
from pipeline.server.faults.fault import Arrival, Fault
from pipeline.server.faults.plan import FaultPlan
from pipeline.server.ledger import ANSWERED, KEY_REFUSED, BodyCount, Entry, Ledger
from pipeline.server.options import ServerOptions
from pipeline.server.recognizer import RecognizedWord, Recognizer
from pipeline.server.refusal import BAD_KEY, CLOSE, NO_CREDITS, OVER_LIMIT, internal, policy
from pipeline.server.request import credits_per_s

log = logging.getLogger(__name__)


class Service:
    """One server's recognizer, account and counts."""

    def __init__(self, options: ServerOptions, *, recognizer: Recognizer, plan: FaultPlan, ledger: Ledger) -> None:
        self.options = options
        self.ledger = ledger
        self.bodies = Bodies(options.body_s)
        self._recognizer = recognizer
        self._plan = plan
        self._account = Account(options)

    @property
    def model(self) -> str:
        """The name of the model in answers."""
        return f"local-{self.options.recognizer}"

    def check_key(self, request: web.BaseRequest) -> None:
        """Raises RefusalError (1008) for a key that is not let in."""
        sent = request.headers.get(wire.KEY_HEADER, "")
        right = self.options.key
        # surrogateescape: a header may hold any bytes, and such a key is refused, not a crash
        if not sent or (
            right is not None and not hmac.compare_digest(sent.encode(errors="surrogateescape"), right.encode())
        ):
            raise policy(KEY_REFUSED, BAD_KEY, CLOSE)

    def admit(self, entry: Entry, size: int, query: Mapping[str, str]) -> Fault | None:
        """Counts a request whose body has come, gives it a session, and returns the fault to inject into it; no other
        request runs in between. Raises RefusalError (1008) where there are too many sessions."""
        count = self.ledger.body(entry, size)
        self._check_sessions()
        fault = self._choose(entry, count, query)
        if not isinstance(fault, SessionCap):
            self.ledger.admit(entry)
        return fault

    def admit_early(self, entry: Entry) -> None:
        """Gives a session to a request whose body is to come. Raises RefusalError as `admit`."""
        self._check_sessions()
        self.ledger.admit(entry)

    def fault_of(self, entry: Entry, size: int, query: Mapping[str, str]) -> Fault | None:
        """Counts the body of a request that has a session, and returns the fault to inject into it."""
        return self._choose(entry, self.ledger.body(entry, size), query)

    def check_credits(self) -> None:
        """Raises RefusalError (1008) where nothing is left."""
        if self._plan.credits_left(self._account.left, self.ledger.audio_s) <= 0:
            raise policy("credits_spent", NO_CREDITS)

    async def recognize(self, sound: Sound, config: wire.JsonConfig) -> list[RecognizedWord]:
        """Returns the words, in the time that the options say. Raises RefusalError (1011) when the recognizer fails."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self.options.latency_s + self.options.realtime_factor * sound.duration_s
        try:
            words = await self._recognizer.recognize(sound, config)
        except Exception as error:
            log.exception("The recognizer failed")
            raise internal("recognizer_failed", "internal server error") from error
        if (wait_s := due - loop.time()) > 0:
            await asyncio.sleep(wait_s)
        return words

    def charge(self, entry: Entry, audio_s: float, query: Mapping[str, str]) -> None:
        """Bills a request for the audio that was recognized."""
        self.ledger.recognized(entry, audio_s)
        self._account.charge(audio_s, credits_per_s(query))

    def script(self, entry: Entry, fault: Fault | None, stream: list[wire.Message]) -> answer.Script:
        """Returns how a whole answer is written, damaged by the fault if there is one."""
        if fault is None or fault.answer_is_whole:
            entry.outcome = ANSWERED
        if fault is None:
            return answer.Script(chunks=answer.lines(stream))
        return fault.script(answer.lines(fault.messages(stream)))

    def stats(self, request: web.BaseRequest) -> web.Response:
        """Answers GET /_stats. Raises RefusalError for another key than the server was given."""
        if self.options.key is not None:
            self.check_key(request)
        stats = self.ledger.stats() | {"credits_charged": self._account.charged}
        return web.Response(body=msgspec.json.encode(stats), content_type="application/json")

    def credits_page(self, request: web.BaseRequest) -> web.Response:
        """Answers GET `wire.CREDITS_PATH`. Raises RefusalError for the key."""
        self.check_key(request)
        if self._plan.key_is_revoked(self.ledger.requests):
            raise policy(KEY_REFUSED, BAD_KEY)
        page = wire.Credits(
            remaining_credits=self._plan.credits_left(self._account.shown, self.ledger.audio_s),
            allocated_credits=self.options.credits,
            billing_period="monthly",
            next_rollover_date=self._account.rollover_date,
            plan_name="local",
            recognizer=self.options.recognizer,
        )
        return web.Response(body=msgspec.json.encode(page), content_type="application/json")

    def _check_sessions(self) -> None:
        limit = self.options.max_sessions
        if limit is not None and self.ledger.sessions >= limit:
            raise policy("concurrency_limit", OVER_LIMIT.format(limit))

    def _choose(self, entry: Entry, count: BodyCount, query: Mapping[str, str]) -> Fault | None:
        ledger = self.ledger
        arrival = Arrival(
            number=ledger.requests,
            digest=entry.digest,
            repeat=count.requests,
            sessions=ledger.sessions + (not entry.has_session),
            paid_audio_s=ledger.audio_s,
            elapsed_s=time.monotonic() - (ledger.first_at or 0.0),
            query=query,
        )
        fault = self._plan.choose(arrival)
        if fault is not None:
            entry.fault = entry.outcome = str(fault.__struct_config__.tag)
        return fault
