"""Answers the requests of one server: transcription, credits, statistics; the WebSocket goes to `websocket.py`.

Has the order of the steps (key, body, fault, credits, format, settings, audio, words, stream); each is in a module of
its own.
"""

from __future__ import annotations

import asyncio
import logging
import uuid

import msgspec
from aiohttp import web

from pipeline.gradium import wire
from pipeline.server import answer, websocket
from pipeline.server.audio import Sound, check_length, decode
from pipeline.server.ledger import UNFINISHED, Entry
from pipeline.server.listener import Connection
from pipeline.server.refusal import BAD_KEY, RefusalError
from pipeline.server.request import delay_in_frames, input_format, json_config
from pipeline.server.service import Service

STATS_PATH = "/_stats"
INLINE_BYTES = 1 << 20
"""Bodies up to this size are decoded in the event loop: faster than a thread's two switches."""

log = logging.getLogger(__name__)


class LocalEndpoint:
    """The request handler of one server."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._ledger = service.ledger
        options = service.options
        self._residency = {} if options.residency is None else {wire.RESIDENCY_HEADER: options.residency}

    async def handle(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        """Answers any request."""
        match request.method, request.path:
            case "POST", wire.PATH:
                return await self._transcribe(request, connection)
            case "GET", websocket.PATH:
                return await websocket.handle(request, connection, self._service)
            case "GET", path if path in (wire.CREDITS_PATH, STATS_PATH):
                return self._page(request)
        return web.Response(status=404, text="404: Not Found")

    async def _transcribe(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        entry = self._ledger.arrive()
        try:
            return await self._perform(request, connection, entry)
        except RefusalError as refusal:
            status, body, content_type = refusal.written(self._service.options.refusals)
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
        service = self._service
        service.check_key(request)  # the body need not be read for it
        async with service.bodies.body(request) as (body, entry.digest):
            fault = service.admit(entry, len(body), request.query)
            if fault is not None and (instead := await fault.before(connection)) is not None:
                return await self._send(request, connection, entry, instead)
            service.check_credits()
            sent_as = input_format(request.query, request.headers.get("Content-Type"))
            config = json_config(request.query, language_required=service.options.language_required)
            sound = await self._decode(body, sent_as)
            words = await service.recognize(sound, config)
            entry.request_id = str(uuid.uuid4())
            service.charge(entry, sound.duration_s, request.query)
            options = service.options
            stream = answer.messages(
                words,
                duration_s=sound.duration_s,
                delay_in_frames=delay_in_frames(config),
                request_id=entry.request_id,
                model=service.model,
                times=options.times,
                words_per_text=options.words_per_text,
            )
            del body, sound
        return await self._send(request, connection, entry, service.script(entry, fault, stream))

    async def _decode(self, body: bytes, sent_as: str) -> Sound:
        most_s = self._service.options.max_audio_s
        if len(body) > INLINE_BYTES or sent_as == "opus":
            sound = await asyncio.to_thread(decode, body, sent_as, most_s)
        else:
            sound = decode(body, sent_as, most_s)
        check_length(sound.duration_s, most_s)
        return sound

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

    def _page(self, request: web.BaseRequest) -> web.Response:
        try:
            is_stats = request.path == STATS_PATH
            return self._service.stats(request) if is_stats else self._service.credits_page(request)
        except RefusalError:
            refusal = msgspec.json.encode({"detail": BAD_KEY})
            return web.Response(status=401, body=refusal, content_type="application/json")
