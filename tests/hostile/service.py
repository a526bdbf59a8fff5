"""A service that answers as the grammar says, bills whatever it may, and keeps its own books.

with HostileService(seed=1, words=words, credits=prices) as service: ...
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Self

from tests.hostile.grammar import Reply, answer_to, balance

PATIENCE_S = 5.0
"""Then a connection that says nothing is closed, and an answer that stays open ends."""
GOOD_SHARE = 0.5


class HostileService:
    """Listens on loopback. Bodies are known by the SHA-256 of what they hold."""

    def __init__(self, seed: int, words: Mapping[str, str], credits: Mapping[str, float]) -> None:
        """`words` and `credits`: what each body says, and what it costs, by its digest."""
        self.exchanges = 0
        self.billed = 0.0
        """What it charges: every exchange of which it saw a byte of the body, but those refusals."""
        self.unknown = 0
        """Bodies that came whole and are no recording of ours."""
        self._seed, self._words, self._credits = seed, words, credits
        self._lock = threading.Lock()
        self._asked: dict[str, int] = defaultdict(int)
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/api/post/speech/asr"
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)
        with self._lock:
            self._open.add(connection)
        try:
            with connection, connection.makefile("rb") as reader, contextlib.suppress(OSError, ValueError):
                while self._exchange(connection, reader):
                    pass
        finally:
            with self._lock:
                self._open.discard(connection)

    def _exchange(self, connection: socket.socket, reader: object) -> bool:
        """Whether another one may follow."""
        line = reader.readline(65_536)  # type: ignore[attr-defined]
        if not line:
            return False
        length = 0
        while header := reader.readline(65_536).strip():  # type: ignore[attr-defined]
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if line.startswith(b"GET"):
            with self._lock:
                rng = random.Random(f"{self._seed} balance {self._asked['balance']}")
                self._asked["balance"] += 1
            connection.sendall(balance(rng))
            return True
        with self._lock:
            self.exchanges += 1
            number = self.exchanges
        rng = random.Random(f"{self._seed} {number}")
        early = rng.random() < 0.2  # what is answered before it is read can only be hostile
        head = b"" if early and rng.random() < 0.5 else reader.read(length // 2)  # type: ignore[attr-defined]
        if early:  # of a body so small all bytes have left the client, who may take it for an answer: to this very body
            reply = answer_to(rng, "early", 0.0)
            with self._lock:
                self.billed += max(self._credits.values()) if head and not reply.is_free else 0.0
            # the rest of the body is no request, so the connection goes
            self._send(connection, reply)
            return False
        body = head + reader.read(length - len(head))  # type: ignore[attr-defined]
        digest = hashlib.sha256(body).hexdigest()
        word = self._words.get(digest, "unknown")
        reply = answer_to(rng, word, GOOD_SHARE)
        with self._lock:
            self.unknown += len(body) == length and digest not in self._words
            if body and not reply.is_free:
                self.billed += self._credits.get(digest, max(self._credits.values()))
        return self._send(connection, reply)

    def _send(self, connection: socket.socket, reply: Reply) -> bool:
        for piece in reply.pieces:
            if piece:
                connection.sendall(piece)
            if reply.pause_s:
                time.sleep(reply.pause_s)
        if reply.ending == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if reply.ending == "open":
            with contextlib.suppress(OSError):
                connection.recv(1)  # until the client goes, or patience ends
        return reply.ending == "keep"
