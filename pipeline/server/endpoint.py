"""Answers the requests of one server: transcription, credits, statistics.

Knows the order of things (key, body, fault, credits, format, settings, audio, words, stream); each step lives in its
module.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid

import msgspec
from aiohttp import web

from pipeline.gradium import wire
from pipeline.server import answer, asr_request
from pipeline.server.account import Account
from pipeline.server.audio import Sound, decode
from pipeline.server.body import Bodies
from pipeline.server.faults.account import SessionCap, over_limit
from pipeline.server.faults.fault import Arrival, Fault
from pipeline.server.faults.plan import Plan
from pipeline.server.ledger import ANSWERED, Entry, Ledger
from pipeline.server.line import RequestLine
from pipeline.server.listener import Listener
from pipeline.server.options import ServerOptions
from pipeline.server.recognizer import Recognizer
from pipeline.server.refusal import RefusalError, internal, policy

STATS_PATH = "/_stats"
INLINE_BYTES = 1 << 20
"""Bodies up to this size are decoded in the event loop: faster than a thread's two switches."""

log = logging.getLogger(__name__)


class Endpoint:
    """The request handler of one server."""

    def __init__(
        self,
        options: ServerOptions,
        *,
        recognizer: Recognizer,
        plan: Plan,
        ledger: Ledger,
        listener: Listener,
    ) -> None:
        self._options = options
        self._account = Account(options, plan, ledger)
        self._recognizer = recognizer
        self._plan = plan
        self._ledger = ledger
        self._listener = listener
        self._bodies = Bodies(options.body_s)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers any request."""
        match request.method, request.path:
            case "POST", wire.PATH:
                return await self._transcribe(request)
            case "GET", wire.CREDITS_PATH:
                return self._account.page(request)
            case "GET", path if path == STATS_PATH:
                return web.Response(body=msgspec.json.encode(self._ledger.stats()), content_type="application/json")
        return web.Response(status=404, text="404: Not Found")

    async def _transcribe(self, request: web.BaseRequest) -> web.StreamResponse:
        entry = self._ledger.arrive()
        try:
            return await self._perform(request, entry)
        except RefusalError as refusal:
            entry.outcome, entry.status = refusal.outcome, refusal.status
            return web.Response(status=refusal.status, body=refusal.body.encode(), headers=refusal.headers)
        except (ConnectionError, web.RequestPayloadError) as error:
            # the client went, or sent half a body: aiohttp closes the connection of a cancelled handler without a word
            raise asyncio.CancelledError from error
        except Exception:
            log.exception("A mistake of the local server itself")
            entry.outcome, entry.status = "server_failed", 500
            return web.Response(status=500, text="error from server 1011: the local server failed, see its stderr")
        finally:
            self._ledger.finish(entry)

    async def _perform(self, request: web.BaseRequest, entry: Entry) -> web.StreamResponse:
        self._account.check_key(request)
        line = RequestLine(request, self._listener)
        async with self._bodies.body(request) as (body, entry.digest):
            fault = self._admit(request, entry, len(body))
            if fault is not None:
                entry.fault = entry.outcome = str(fault.__struct_config__.tag)
                if (instead := await fault.before(line)) is not None:
                    return await self._write(request, entry, instead, line)
            self._account.check_credits()
            input_format = asr_request.input_format(request.query, request.headers.get("Content-Type"))
            config = asr_request.json_config(request.query)
            sound = await self._sound(body, input_format)
            stream = await self._words(sound, config, entry)
            del body, sound
        if fault is None:
            script = answer.Script(chunks=answer.lines(stream))
        else:
            script = fault.script(answer.lines(fault.messages(stream)))
        if fault is None or fault.honest:
            entry.outcome = ANSWERED
        return await self._write(request, entry, script, line)

    def _admit(self, request: web.BaseRequest, entry: Entry, size: int) -> Fault | None:
        """Counts the request in and returns the fault that strikes it; no other request runs in between."""
        ledger = self._ledger
        count = ledger.body(entry, entry.digest, size)
        limit = self._options.max_sessions
        if limit is not None and ledger.sessions >= limit:
            raise policy("concurrency_limit", over_limit(limit))
        arrival = Arrival(
            number=ledger.requests,
            digest=entry.digest,
            repeat=count.requests,
            sessions=ledger.sessions + 1,
            paid_audio_s=ledger.audio_s,
            elapsed_s=time.monotonic() - (ledger.first_at or 0.0),
            query=request.query,
        )
        fault = self._plan.strike(arrival)
        if not isinstance(fault, SessionCap):
            ledger.admit(entry)
        return fault

    async def _sound(self, body: bytes, input_format: str) -> Sound:
        if len(body) > INLINE_BYTES or input_format == "opus":
            sound = await asyncio.to_thread(decode, body, input_format)
        else:
            sound = decode(body, input_format)
        if sound.duration_s > wire.MAX_AUDIO_S:
            raise policy(
                "too_long", f"audio of {sound.duration_s:.1f} s is longer than the limit of {wire.MAX_AUDIO_S:g} s"
            )
        return sound

    async def _words(self, sound: Sound, config: wire.JsonConfig, entry: Entry) -> list[wire.Message]:
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
        self._ledger.charge(entry, sound.duration_s)
        return answer.messages(
            words,
            duration_s=sound.duration_s,
            delay_in_frames=asr_request.delay_in_frames(config),
            request_id=entry.request_id,
            model=f"local-{self._options.recognizer}",
        )

    async def _write(
        self, request: web.BaseRequest, entry: Entry, script: answer.Script, line: RequestLine
    ) -> web.StreamResponse:
        outcome, entry.outcome = entry.outcome, "client_gone"
        entry.status = 200
        response = web.StreamResponse(headers={"Content-Type": wire.NDJSON})
        await response.prepare(request)
        last = b""
        for chunk in script.chunks:
            if last:
                await response.write(last)
                if script.pause_s:
                    await asyncio.sleep(script.pause_s)
            last = chunk
        if request.transport is not None and not request.transport.is_closing():
            entry.outcome = outcome
        # the books are closed first: whoever has seen the end of the answer finds it counted
        self._ledger.finish(entry)
        if script.ending == "clean":
            await response.write_eof(last)  # the last line and the end of the body in one packet
            return response
        if last:
            await response.write(last)
        request.writer.send_headers()  # they wait for the first byte of the body, which need not come
        await (line.reset() if script.ending == "reset" else line.close())
        return response
