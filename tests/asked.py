"""A service that writes down what it is asked, and answers everything with one word.

with Asked(headers={"x-gradium-residency": "pinned; zone=eu"}) as service:
    batch("run", folder, "--out", out, server=service)
assert service.configs[0]["language"] == "en"
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

ANSWER = (
    b'{"type":"ready","request_id":"r-1","model_name":"m"}\n'
    b'{"type":"text","text":"word","start_s":1.5}\n{"type":"end_of_stream"}\n'
)
REFUSAL = b"error from server 1008: The audio could not be decoded: it holds no speech data"


class Asked:
    """Listens on loopback."""

    def __init__(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        recognizer: str | None = None,
        credits: float = 1e6,
        refuses: bool = False,
    ) -> None:
        """`headers` go with every answer; the balance has `credits`, and names the `recognizer`; `refuses` each
        recording."""
        self.queries: list[dict[str, str]] = []
        """Of each POST, decoded once."""
        self._headers = dict(headers or {})
        balance: dict[str, Any] = {"remaining_credits": credits}
        self._balance = json.dumps(balance | ({} if recognizer is None else {"recognizer": recognizer})).encode()
        self._answer = (500, REFUSAL) if refuses else (200, ANSWER)

    @property
    def configs(self) -> list[dict[str, Any]]:
        """The `json_config` of each POST."""
        return [json.loads(query["json_config"]) for query in self.queries]

    def __enter__(self) -> Self:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._say(200, service._balance)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                found = parse_qs(urlsplit(self.path).query, strict_parsing=True)
                service.queries.append({name: value for name, [value] in found.items()})
                self._say(*service._answer)

            def _say(self, status: int, body: bytes) -> None:
                self.send_response(status)
                for name, value in service._headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/api/post/speech/asr"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
