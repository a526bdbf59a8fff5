"""Exchanges as a hostile peer makes them: a grammar of what it sends, the peer that sends it, and what is right then.

An exchange is framing x when the answer starts x the lines of the answer x how it ends. The peer keeps a connection
open where a server would, so that what one exchange leaves behind meets the next request.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from pipeline import errors

Framing = Literal["length", "chunked", "unframed"]
Start = Literal["before", "half", "after"]
Ending = Literal["clean", "stray", "garbage", "fin", "reset", "open"]
"""`stray`: an answer that nobody asked for follows; `garbage`: bytes that are no HTTP; the last three leave a framed
body without its end."""

READY = b'{"type":"ready","request_id":"r-1","model_name":"m","delay_in_frames":0}\n'
STEP = b'{"type":"step","vad":[]}\n'
END = b'{"type":"end_of_stream"}\n'
STRAY = b"HTTP/1.1 200 OK\r\nContent-Length: 58\r\n\r\n" + b'{"type":"text","text":"stray","start_s":1}\n' + END[:15]
REFUSAL = b"Concurrency limit exceeded: 3 active sessions\nand no more"
WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "GZip": 31, "gzip, identity": 31, "deflate": 15, "raw deflate": -15}
"""Codings that are undone, and how zlib makes them; `raw deflate` names itself deflate, as half of all servers do."""
UNREADABLE = ("br", "zstd", "gzip, gzip", "compress")
CODINGS = ("", "identity", "Identity", *WINDOW_BITS, *UNREADABLE)
GARBAGE = b"\x00\xffgarbage\r\n\r\n"
PATIENCE_S = 20
"""After that the peer goes on by itself, and the test fails."""
SMALL_BUFFER = 1 << 14


def text(word: str) -> bytes:
    return b'{"type":"text","text":"' + word.encode() + b'","start_s":1}\n'


LINES: dict[str, bytes] = {
    "ready": READY,
    "text": text("one"),
    "end_text": b'{"type":"end_text","stop_s":1.5}\n',
    "step": STEP,
    "unknown": b'{"type":"speaker_change","at":[1]}\n',
    "blank": b" \r\n",
    "bom": b"\xef\xbb\xbf\n",
    "surrogate": b'{"type":"text","text":"t\\ud83dwo","start_s":2}\n',
    "pair": b'{"type":"text","text":"t\\ud83d\\ude00","start_s":3}\n',
    "bytes": b'{"type":"text","text":"thr\xc3ee","start_s":4}\n',
    "broken": b'{"type":"text","text":"hal\n',
    "html": b"<html>502</html>\n",
    "error": b'{"type":"error","message":"lost \\udc00 it","code":1011}\n',
    "limit": b'{"type":"error","message":"Concurrency limit exceeded"}\n',
    "end": END,
    "end_glued": END.strip() + b"garbage\n",
}
WORDS = {"text": "one", "surrogate": "t\ufffdwo", "pair": "t\U0001f600", "bytes": "thr\ufffdee"}


@dataclass(frozen=True)
class Exchange:
    framing: Framing = "chunked"
    keep_alive: bool = True
    start: Start = "after"
    lines: tuple[str, ...] = ("ready", "text", "end_text", "end")
    ending: Ending = "clean"
    one_write: bool = True
    refuses: bool = False
    """Says 429 and no lines."""
    coding: str | None = None
    """What its Content-Encoding says; None: there is none."""
    is_coding_cut: bool = False
    """The compressed stream lacks its last bytes, however well the answer around it ends."""

    @property
    def is_whole(self) -> bool:
        return self.ending in ("clean", "stray", "garbage")

    @property
    def is_reusable(self) -> bool:
        """The connection, for the next request."""
        return self.start == "after" and self.ending == "clean" and self.framing != "unframed" and self.keep_alive


@dataclass(frozen=True)
class Right:
    """An answer with exactly these words, or one of these errors."""

    words: tuple[str, ...] = ()
    issues: tuple[str, ...] = ()
    is_certain: bool = True
    errors: tuple[type[errors.AttemptError], ...] = ()
    billed: Literal["no", "maybe"] | None = "maybe"
    """None: either may be said."""


def right(exchange: Exchange) -> Right:
    """What the client has to make of it, read line by line from the rules and not from the client."""
    if exchange.refuses:
        # a body that nobody reads any more may break the connection before the refusal is heard
        broken = () if exchange.start == "after" else (errors.ConnectionFailed,)
        # and of one in many packets no more than its head may arrive in time
        headed = () if exchange.one_write and not broken else (errors.RateLimited,)
        if exchange.coding in UNREADABLE:
            return Right(errors=(errors.RateLimited, *broken), billed=None if broken else "no")
        return Right(errors=(errors.ConcurrencyLimit, *headed, *broken), billed=None if broken else "no")
    if exchange.coding in UNREADABLE:
        return Right(errors=_early(exchange, errors.CompressedAnswer))
    words: list[str] = []
    replaced, said, ended, begun = False, False, False, False
    for at, line in enumerate(exchange.lines):
        if line == "bom" and at:
            line = "broken"  # a mark only at the beginning
        if line in ("broken", "html"):
            return Right(errors=_early(exchange, errors.StreamMalformed))
        if line == "error":
            return Right(errors=_early(exchange, errors.ServerFault))
        if line == "limit":
            if exchange.start != "after":
                return Right(errors=_early(exchange, errors.ConcurrencyLimit), billed=None)
            return Right(errors=(errors.ConcurrencyLimit,), billed="maybe" if begun else "no")
        if line.startswith("end_") and line != "end_text":
            line = "end"
        said |= line not in ("blank", "bom", "unknown")
        begun |= line not in ("blank", "bom")
        replaced |= line in ("surrogate", "bytes")
        if line in WORDS and (not words or words[-1] != WORDS[line]):
            words.append(WORDS[line])
        if line == "end":
            ended = True
            break
    if not ended and exchange.ending == "open":
        return Right(errors=(errors.AttemptTimeout,))
    if exchange.start != "after":
        # asyncio tells of a half-closed connection only when it has written what it was given
        timeout = () if ended or exchange.ending not in ("fin", "clean") else (errors.AttemptTimeout,)
        return Right(errors=(errors.StreamCut, errors.ConnectionFailed, *timeout))
    if not ended:
        is_cut = exchange.coding in WINDOW_BITS and exchange.is_coding_cut
        if is_cut or not exchange.is_whole or exchange.framing == "unframed":
            return Right(errors=(errors.StreamCut,))
        if not said:
            return Right(errors=(errors.EmptyAnswer,))
    issues = [] if words else ["no_words"]
    # said again, a word is one word; the grammar has one time for each
    order = sorted(words, key=list(WORDS.values()).index)
    if order != words:
        issues.append("times_backwards")
    if replaced:
        issues.append("replaced_characters")
    return Right(tuple(order), tuple(issues), is_certain=ended or bool(words))


def _early(exchange: Exchange, kind: type[errors.AttemptError]) -> tuple[type[errors.AttemptError], ...]:
    if exchange.start == "after":
        return (kind,)
    # to a body that nobody reads any more the connection may break first
    return (kind, errors.StreamCut, errors.ConnectionFailed)


@dataclass
class Seen:
    """What the peer saw of one request."""

    connection: int
    body_bytes: int
    read_bytes: int = 0
    """Of the body, also after the answer."""
    gone: bool = False
    """The client closed the connection after it."""


@dataclass
class HostilePeer:
    """Plays one exchange after another, whatever the connection; stops when there is none left."""

    exchanges: Sequence[Exchange]
    seen: list[Seen] = field(default_factory=list)
    decided: threading.Event = field(default_factory=threading.Event)
    """Set it when the client is done with the first exchange."""

    def __enter__(self) -> Self:
        self._plan: Iterator[Exchange] = iter(self.exchanges)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)  # inherited by what is accepted
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(16)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/api/post/speech/asr"
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Call it when the client is closed: waits until each connection is."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._socket.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection, number))
            number += 1
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection:
            connection.settimeout(PATIENCE_S)
            while (request := Request.read(connection)) is not None:
                with self._lock:
                    exchange = next(self._plan, Exchange())
                    seen = Seen(number, request.length)
                    self.seen.append(seen)
                try:
                    if not _play(connection, request, exchange, seen, self.decided):
                        return
                except OSError as error:
                    seen.gone = not isinstance(error, TimeoutError)
                    return


class Request:
    """A request whose head has been read, and what came of its body with it."""

    def __init__(self, length: int, begun: bytes) -> None:
        self.length = length
        self.begun = begun

    @classmethod
    def read(cls, connection: socket.socket) -> Self | None:
        head = b""
        while b"\r\n\r\n" not in head:
            try:
                piece = connection.recv(1 << 16)
            except OSError:
                return None
            if not piece:
                return None
            head += piece
        head, _, begun = head.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        return cls(length, begun)

    def read_body(self, connection: socket.socket) -> None:
        left = self.length - len(self.begun)
        while left and (piece := connection.recv(min(left, 1 << 16))):
            left -= len(piece)


def _play(
    connection: socket.socket, request: Request, exchange: Exchange, seen: Seen, decided: threading.Event
) -> bool:
    """Returns whether the connection serves on."""
    seen.read_bytes = len(request.begun)
    wanted = {"before": 0, "half": request.length // 2, "after": request.length}[exchange.start]
    _read(connection, wanted, seen)
    answer = _answer(exchange)
    after = {"stray": STRAY, "garbage": GARBAGE}.get(exchange.ending, b"")
    piece_bytes = len(answer) if exchange.one_write else 37
    pieces = [answer[at : at + piece_bytes] for at in range(0, len(answer), piece_bytes)]
    # in one packet with the last: what comes later may meet the next request, where nothing tells it from an answer
    for piece in [*pieces[:-1], pieces[-1] + after]:
        connection.sendall(piece)
    if exchange.ending == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    if exchange.ending == "fin" or (exchange.ending == "clean" and exchange.framing == "unframed"):
        connection.shutdown(socket.SHUT_WR)
    if exchange.is_reusable:
        return True
    if exchange.start != "after":
        decided.wait(PATIENCE_S)  # what is read now is what was on its way when the client had decided
    while piece := connection.recv(1 << 16):
        seen.read_bytes += len(piece)
    seen.gone = True
    return False


def _read(connection: socket.socket, wanted: int, seen: Seen) -> None:
    while seen.read_bytes < wanted:
        piece = connection.recv(min(1 << 16, wanted - seen.read_bytes))
        if not piece:
            raise ConnectionError("the client went before it sent the whole body")
        seen.read_bytes += len(piece)


def _answer(exchange: Exchange) -> bytes:
    body = _coded(exchange, [REFUSAL] if exchange.refuses else [LINES[line] for line in exchange.lines])
    head = [b"HTTP/1.1 429 No" if exchange.refuses else b"HTTP/1.1 200 OK", b"Content-Type: application/x-ndjson"]
    if exchange.coding is not None:
        head.append(b"Content-Encoding: " + exchange.coding.removeprefix("raw ").encode())
    if not exchange.keep_alive:
        head.append(b"Connection: close")
    if exchange.framing == "chunked":
        head.append(b"Transfer-Encoding: chunked")
        body = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
        if exchange.is_whole:
            body += b"0\r\n\r\n"
    elif exchange.framing == "length":
        head.append(b"Content-Length: %d" % (len(body) + (0 if exchange.is_whole else 10)))
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def _coded(exchange: Exchange, lines: Sequence[bytes]) -> bytes:
    if exchange.coding not in WINDOW_BITS:
        return b"".join(lines)  # what a coding that nobody undoes holds does not matter
    packer = zlib.compressobj(wbits=WINDOW_BITS[exchange.coding])
    pieces = [packer.compress(line) + packer.flush(zlib.Z_SYNC_FLUSH) for line in lines]
    whole = b"".join([*pieces, packer.flush()])
    return whole[:-1] if exchange.is_coding_cut else whole
