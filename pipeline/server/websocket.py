"""The WebSocket endpoint, which the official SDK speaks: one connection, with one session after another.

Has the order of the messages; a session's audio and words are in `session.py`.
"""

from __future__ import annotations

import asyncio
import logging
from http.client import responses

import msgspec
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from pipeline.gradium import wire
from pipeline.server import answer, frames
from pipeline.server.body import too_slow
from pipeline.server.ledger import UNFINISHED, Entry
from pipeline.server.listener import LINGERING_S, Connection
from pipeline.server.refusal import RefusalError, internal
from pipeline.server.service import Service
from pipeline.server.session import Session

PATH = "/api/speech/asr"
WRONG_KEY_BYTES = 1 << 21
"""The most of one message where the key is wrong; all are dropped. A larger one resets the connection, and its client
may never read why."""
REASON_BYTES = 123
"""A Close frame has no room for more."""

log = logging.getLogger(__name__)


async def handle(request: web.BaseRequest, connection: Connection, service: Service) -> web.StreamResponse:
    """Speaks with one client until the connection is closed."""
    socket = Socket(frames.MAX_MESSAGE_BYTES)
    if not socket.can_prepare(request):
        return web.Response(status=426, text="426: Upgrade Required", headers={"Upgrade": "websocket"})
    entry: Entry | None = service.ledger.arrive()
    wrong_key: RefusalError | None = None
    try:
        service.check_key(request)
    except RefusalError as refusal:
        wrong_key, socket = refusal, Socket(WRONG_KEY_BYTES)
    try:
        await socket.prepare(request)
        sessions = _Sessions(socket, connection, service, request.remote or "")
        stays_open = True
        while stays_open:
            try:
                if wrong_key is not None:
                    raise wrong_key
                if (message := await sessions.receive()) is None:
                    break
                entry = entry or service.ledger.arrive()
                entry.status = 101
                stays_open = await sessions.session(entry, message)
            except RefusalError as refusal:
                await sessions.refuse(refusal, entry)
                break
            except (ConnectionError, asyncio.CancelledError):
                raise
            except Exception:
                log.exception("A mistake of the local server itself")
                await sessions.refuse(internal("server_failed", "the local server failed, see its stderr"), entry)
                break
            service.ledger.finish(entry)
            entry = None
    except ConnectionError:
        pass  # the client is gone, which is counted
    finally:
        if entry is not None:
            service.ledger.finish(entry)
    return socket


class Socket(web.WebSocketResponse):
    """aiohttp's, which is not closed for a frame that is wrong before the client is told in an `error`."""

    def __init__(self, max_bytes: int) -> None:
        # compressed messages may inflate
        super().__init__(compress=False, max_msg_size=max_bytes, timeout=LINGERING_S)
        self._is_told = False

    async def tell(self, *messages: wire.Message) -> None:
        """Sends messages."""
        for message in messages:
            await self.send_frame(msgspec.json.encode(message), WSMsgType.TEXT)

    async def fail(self, reason: str, code: int, client_req_id: str | None = None) -> None:
        """Sends an `error` and closes with its code."""
        self._is_told = True
        await self.tell(frames.Failed(message=reason, code=code, client_req_id=client_req_id))
        await super().close(code=code, message=reason.encode()[:REASON_BYTES].decode(errors="ignore").encode())

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:
        """aiohttp calls it with another code than 1000 for a frame that breaks its rules or is too large. Raises
        RefusalError then, so that the client is told."""
        if code != WSCloseCode.OK and not self._is_told and not self.closed:
            raise frames.out_of_order("malformed or too large WebSocket frame", code)
        return await super().close(code=code, message=message, drain=drain)


class _Sessions:
    """The sessions of one connection."""

    def __init__(self, socket: Socket, connection: Connection, service: Service, client: str) -> None:
        self._socket = socket
        self._connection = connection
        self._service = service
        self._client = client
        self._client_req_id: str | None = None
        self._waited_s = 0.0
        """For the client, in this session."""
        self._reading: asyncio.Task[WSMessage] | None = None
        """Waits for the next message."""

    async def receive(self, audio_s: float = 0.0) -> frames.Setup | frames.Audio | frames.Flush | frames.End | None:
        """Returns the next message; None: the client has left.

        A session waits as long as a body, plus the length of its audio so far. Raises RefusalError: 408 after that,
        1002 for what is no message.
        """
        body_s = self._service.options.body_s
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(min(body_s, body_s + audio_s - self._waited_s)):
                received = await asyncio.shield(self._read())
        except TimeoutError:
            raise too_slow() from None
        self._reading = None
        self._waited_s += loop.time() - began
        if received.type is WSMsgType.TEXT:
            return frames.parse(received.data)
        if received.type is WSMsgType.BINARY:
            raise frames.out_of_order("malformed message: a binary frame, all are JSON in text frames")
        return None

    def _read(self) -> asyncio.Task[WSMessage]:
        """Begins to wait for the next message, where that has not begun: meanwhile pings are answered."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._socket.receive())
            self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())  # may be of no interest
        return self._reading

    async def session(self, entry: Entry, first: object) -> bool:
        """Has one session; says whether another one may follow. Raises RefusalError for all that ends it."""
        if not isinstance(first, frames.Setup):
            raise frames.out_of_order("the first message has to be a setup")
        self._client_req_id = first.client_req_id
        self._waited_s = 0.0
        async with self._service.bodies.memory(self._client) as memory:
            session = Session(first, entry, self._service, memory)
            try:
                await self._socket.tell(session.ready)
                while True:
                    match await self.receive(session.audio_s):
                        case frames.Audio() as audio:
                            await self._socket.tell(*await session.feed(audio.decoded()))
                        case frames.Flush(flush_id):
                            self._read()
                            await self._socket.tell(*await session.rest(at_end=False), *await session.words())
                            await self._socket.tell(frames.Flushed(flush_id))
                        case frames.End():
                            await self._end(session, entry, stays_open=not first.close_ws_on_eos)
                            return not self._socket.closed
                        case frames.Setup():
                            raise frames.out_of_order("a setup in the middle of a session")
                        case None:
                            return False
            finally:
                session.leave()

    async def refuse(self, refusal: RefusalError, entry: Entry | None) -> None:
        """Tells the client, and closes the connection."""
        if entry is not None:
            entry.outcome = refusal.outcome
            self._service.ledger.finish(entry)  # a client that has read it finds it counted
        is_clients = 400 <= refusal.status < 500
        code = refusal.code or (wire.CODE_POLICY if is_clients else wire.CODE_INTERNAL)
        reason = refusal.body or responses.get(refusal.status, "refused")
        await self._socket.fail(reason, code, self._client_req_id)

    async def _end(self, session: Session, entry: Entry, *, stays_open: bool) -> None:
        """Answers, and closes the connection where it does not stay open."""
        self._read()
        await self._socket.tell(*await session.rest(at_end=True))
        fault = session.fault()
        script = None if fault is None else await fault.before(self._connection)
        if script is None:
            words = await session.words()
            session.bill()
            script = self._service.script(entry, fault, [session.ready, *words, wire.EndOfStream()])
        session.leave()
        await self._write(script, session.ready, entry)
        if stays_open and fault is None:
            return
        await self._socket.close()

    async def _write(self, script: answer.Script, ready: wire.Ready, entry: Entry) -> None:
        """Sends the script's lines, each in a frame, but for the `ready` that the client has already."""
        outcome, entry.outcome = entry.outcome, UNFINISHED
        held: bytes | None = None
        for line in frames.lines_of(script, answer.lines([ready])[0]):
            if held is not None:
                await self._socket.send_frame(held, WSMsgType.TEXT)
            held = line
            if line is None:
                await asyncio.sleep(script.pause_s)
        if self._connection.is_open:
            entry.outcome = outcome
        self._service.ledger.finish(entry)  # a client that has read the end of the answer finds it counted
        if held is not None:
            await self._socket.send_frame(held, WSMsgType.TEXT)
        if script.ending != "clean":
            await (self._connection.reset() if script.ending == "reset" else self._connection.close())
        if (code := frames.error_code(held)) is not None:
            await self._socket.close(code=code)
