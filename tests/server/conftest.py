"""Servers for the tests of the server, and a client that asks them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.servers import RunningServer, start_server


class Client:
    """Asks one server and reads its answers."""

    def __init__(self, http: httpx.Client, server: RunningServer) -> None:
        self._http = http
        self.server = server

    def post(
        self, body: bytes, *, content_type: str | None = None, key: str | None = None, **query: Any
    ) -> httpx.Response:
        """Sends audio; a dict in the query is sent as JSON, the language, which the server wants, is English."""
        headers = {"x-api-key": self.server.key if key is None else key}
        if content_type is not None:
            headers["content-type"] = content_type
        config = query.pop("json_config", {})
        query["json_config"] = {"language": "en"} | config if isinstance(config, dict) else config
        params = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in query.items()}
        return self._http.post(self.server.url, headers=headers, content=body, params=params)

    def messages(self, body: bytes, **query: Any) -> list[dict[str, Any]]:
        """Returns the messages of a good answer."""
        answer = self.post(body, **query)
        assert answer.status_code == 200, answer.text
        return lines(answer)

    def texts(self, body: bytes, **query: Any) -> list[str]:
        """Returns the words of a good answer."""
        return texts_of(self.messages(body, **query))

    def refusal(self, body: bytes, **query: Any) -> str:
        """Returns the words of a refusal, which is an HTTP 500 in plain text."""
        answer = self.post(body, **query)
        assert answer.status_code == 500
        assert answer.headers["content-type"].startswith("text/plain")
        return answer.text

    def get(self, path: str, key: str | None = None) -> httpx.Response:
        """Gets a page."""
        headers = {"x-api-key": self.server.key if key is None else key}
        return self._http.get(self.server.base + path, headers=headers)


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    """Returns the messages of an answer's body."""
    return [json.loads(line) for line in answer.content.splitlines() if line.strip()]


def texts_of(messages: list[dict[str, Any]]) -> list[str]:
    """Returns the words among messages."""
    return [message["text"] for message in messages if message["type"] == "text"]


def until(holds: Callable[[], bool], deadline_s: float = 10) -> None:
    """Asks again and again until it holds; fails when it does not in time."""
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, "it did not come to hold in time"


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=20, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def client(http: httpx.Client) -> Iterator[Client]:
    """Asks a well-behaved server, one for all tests."""
    with start_server() as server:
        yield Client(http, server)
