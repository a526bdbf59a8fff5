"""Answers the requests of one server: transcription, credits, statistics.

Has the order of the steps (key, body, fault, credits, format, settings, audio, words, stream); each is in a module of
its own.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
import uuid

import msgspec
from aiohttp import web

from pipeline.gradium import wire
from pipeline.server import answer
from pipeline.server.account import Account
from pipeline.server.audio import Sound, decode
from pipeline.server.body import Bodies
from pipeline.server.faults.before import SessionCap
from pipeline.server.faults.fault import Arrival, Fault
from pipeline.server.faults.plan import FaultPlan
from pipeline.server.ledger import ANSWERED, KEY_REFUSED, UNFINISHED, Entry, Ledger
from pipeline.server.listener import Connection
from pipeline.server.options import ServerOptions
from pipeline.server.recognizer import Recognizer
from pipeline.server.refusal import BAD_KEY, CLOSE, NO_CREDITS, OVER_LIMIT, RefusalError, internal, policy
from pipeline.server.request import credits_per_s, delay_in_frames, input_format, json_config

STATS_PATH = "/_stats"
INLINE_BYTES = 1 << 20
"""Bodies up to this size are decoded in the event loop: faster than a thread's two switches."""

log = logging.getLogger(__name__)


class LocalEndpoint:
    """The request handler of one server, which has one account."""

    def __init__(self, options: ServerOptions, *, recognizer: Recognizer, plan: FaultPlan, ledger: Ledger) -> None:
        self._options = options
        self._recognizer = recognizer
        self._plan = plan
        self._ledger = ledger
        self._account = Account(options)
        self._bodies = Bodies(options.body_s)
        self._residency = {} if options.residency is None else {wire.RESIDENCY_HEADER: options.residency}

    async def handle(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        """Answers any request."""
        match request.method, request.path:
            case "POST", wire.PATH:
                return await self._transcribe(request, connection)
            case "GET", wire.CREDITS_PATH:
                return self._credits_page(request)
            case "GET", path if path == STATS_PATH:
                stats = self._ledger.stats() | {"credits_charged": self._account.charged}
                return web.Response(body=msgspec.json.encode(stats), content_type="application/json")
        return web.Response(status=404, text="404: Not Found")

    async def _transcribe(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        entry = self._ledger.arrive()
        try:
            return await self._perform(request, connection, entry)
        except RefusalError as refusal:
            status, body, content_type = refusal.written(self._options.refusals)
            entry.outcome, entry.status = refusal.outcome, status
            headers = {"Content-Type": content_type, **self._residency, **(refusal.headers or {})}
            return web.Response(status=status, body=body.encode(), headers=headers)
        except (ConnectionError, web.RequestPayloadError) as error:
            # the client disconnected: aiohttp closes the connection of a cancelled handler silently
            raise asyncio.CancelledError from error
        except Exception:
            log.exception("A mistake of the local server itself")
            entry.outcome, entry.status = "server_failed", 500
            return web.Response(status=500, text="error from server 1011: the local server failed, see its stderr")
        finally:
            self._ledger.finish(entry)

    async def _perform(self, request: web.BaseRequest, connection: Connection, entry: Entry) -> web.StreamResponse:
        if not self._is_key_valid(request):  # the body need not be read for it
            raise policy(KEY_REFUSED, BAD_KEY, CLOSE)
        async with self._bodies.body(request) as (body, entry.digest):
            fault = self._admit(request, entry, len(body))
            if fault is not None:
                entry.fault = entry.outcome = str(fault.__struct_config__.tag)
                if (instead := await fault.before(connection)) is not None:
                    return await self._send(request, connection, entry, instead)
            if self._plan.credits_left(self._account.left, self._ledger.audio_s) <= 0:
                raise policy("credits_spent", NO_CREDITS)
            sent_as = input_format(request.query, request.headers.get("Content-Type"))
            config = json_config(request.query, language_required=self._options.language_required)
            sound = await self._decode(body, sent_as)
            stream = await self._recognize(sound, config, entry, credits_per_s(request.query))
            del body, sound
        if fault is None:
            script = answer.Script(chunks=answer.lines(stream))
        else:
            script = fault.script(answer.lines(fault.messages(stream)))
        if fault is None or fault.answer_is_whole:
            entry.outcome = ANSWERED
        return await self._send(request, connection, entry, script)

    def _admit(self, request: web.BaseRequest, entry: Entry, size: int) -> Fault | None:
        """Counts the request and returns the fault to inject into it; no other request runs in between."""
        ledger = self._ledger
        count = ledger.body(entry, size)
        limit = self._options.max_sessions
        if limit is not None and ledger.sessions >= limit:
            raise policy("concurrency_limit", OVER_LIMIT.format(limit))
        arrival = Arrival(
            number=ledger.requests,
            digest=entry.digest,
            repeat=count.requests,
            sessions=ledger.sessions + 1,
            paid_audio_s=ledger.audio_s,
            elapsed_s=time.monotonic() - (ledger.first_at or 0.0),
            query=request.query,
        )
        fault = self._plan.choose(arrival)
        if not isinstance(fault, SessionCap):
            ledger.admit(entry)
        return fault

    async def _decode(self, body: bytes, sent_as: str) -> Sound:
        if len(body) > INLINE_BYTES or sent_as == "opus":
            sound = await asyncio.to_thread(decode, body, sent_as)
        else:
            sound = decode(body, sent_as)
        if sound.duration_s > (most_s := self._options.max_audio_s):
            raise policy("too_long", f"audio of {sound.duration_s:.1f} s is longer than the limit of {most_s:g} s")
        return sound

    async def _recognize(
        self, sound: Sound, config: wire.JsonConfig, entry: Entry, price_per_s: float
    ) -> list[wire.Message]:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._options.latency_s + self._options.realtime_factor * sound.duration_s
        try:
            words = await self._recognizer.recognize(sound, config)
        except Exception as error:
            log.exception("The recognizer failed")
            raise internal("recognizer_failed", "internal server error") from error
        if (wait_s := due - loop.time()) > 0:
            await asyncio.sleep(wait_s)
        entry.request_id = str(uuid.uuid4())
        self._ledger.recognized(entry, sound.duration_s)
        self._account.charge(sound.duration_s, price_per_s)
        return answer.messages(
            words,
            duration_s=sound.duration_s,
            delay_in_frames=delay_in_frames(config),
            request_id=entry.request_id,
            model=f"local-{self._options.recognizer}",
            times=self._options.times,
            words_per_text=self._options.words_per_text,
        )

    async def _send(
        self, request: web.BaseRequest, connection: Connection, entry: Entry, script: answer.Script
    ) -> web.StreamResponse:
        outcome, entry.outcome = entry.outcome, UNFINISHED
        entry.status = 200
        response = web.StreamResponse(headers={"Content-Type": wire.NDJSON, **self._residency})
        await response.prepare(request)
        last = b""
        for chunk in script.chunks:
            if last:
                await response.write(last)
                if script.pause_s:
                    await asyncio.sleep(script.pause_s)
            last = chunk
        if connection.is_open:
            entry.outcome = outcome
        # finished first: a client that has read the end of the answer finds it counted
        self._ledger.finish(entry)
        if script.ending == "clean":
            await response.write_eof(last)  # the last line and the end of the body in one packet
            return response
        if last:
            await response.write(last)
        request.writer.send_headers()  # they wait for the first byte of the body, which need not come
        await (connection.reset() if script.ending == "reset" else connection.close())
        return response

    def _credits_page(self, request: web.BaseRequest) -> web.Response:
        if not self._is_key_valid(request) or self._plan.key_is_revoked(self._ledger.requests):
            refusal = msgspec.json.encode({"detail": BAD_KEY})
            return web.Response(status=401, body=refusal, content_type="application/json")
        page = wire.Credits(
            remaining_credits=self._plan.credits_left(self._account.shown, self._ledger.audio_s),
            allocated_credits=self._options.credits,
            billing_period="monthly",
            next_rollover_date=self._account.rollover_date,
            plan_name="local",
            recognizer=self._options.recognizer,
        )
        return web.Response(body=msgspec.json.encode(page), content_type="application/json")

    def _is_key_valid(self, request: web.BaseRequest) -> bool:
        sent = request.headers.get(wire.KEY_HEADER, "")
        if self._options.key is None:
            return bool(sent)
        # surrogateescape: a header may hold any bytes, and such a key is refused, not a crash
        return hmac.compare_digest(sent.encode(errors="surrogateescape"), self._options.key.encode())
