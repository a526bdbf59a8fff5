"""Faults that depend on what went before: outages, caps, revoked keys, spent credits, and when a fault strikes."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from pipeline.server.faults.before import InternalError
from pipeline.server.faults.fault import Arrival
from pipeline.server.faults.plan import FaultPlan
from pipeline.server.listener import Connection, Listener
from tests.server.bodies import noise, sha256, texts, wav
from tests.server.conftest import Client, texts_of, until
from tests.server.test_faults import raw, toml
from tests.servers import start_server

SAMPLES = noise("standing", 2)
BODY = wav(SAMPLES)
OTHER = wav(noise("other", 1))


def test_connection_refused_resets_all_and_comes_back_on_the_same_port(http: httpx.Client) -> None:
    with start_server(faults=toml("connection_refused", after_requests=1, for_s=0.3)) as server:
        client = Client(http, server)
        address = (server.host, server.port)
        client.messages(BODY)
        with socket.create_connection(address, 10) as idle:
            until(lambda: server.stats()["requests"] == 1)
            with pytest.raises(ConnectionResetError):
                raw(server, BODY)
            with pytest.raises(ConnectionResetError):
                idle.recv(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 10)

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(address) == 0

        until(listens)
        assert client.texts(BODY) == texts(SAMPLES)


@pytest.mark.parametrize("turns", range(5))
def test_an_outage_spares_no_connection_that_is_just_being_accepted(turns: int) -> None:
    async def handle(_: web.BaseRequest, __: Connection) -> web.Response:
        return web.Response(text="alive")

    async def run() -> None:
        listener = Listener(handle, "127.0.0.1", 0, head_s=10)
        port = await listener.open()
        clients = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(5)]
        for _ in range(turns):
            await asyncio.sleep(0)
        listener.start_outage(60)
        listener.start_outage(60)  # several requests may ask for it at once
        assert [await asyncio.to_thread(answer_to, client) for client in clients] == [b""] * 5
        await listener.close()

    asyncio.run(run())


def answer_to(client: socket.socket) -> bytes:
    with client:
        try:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return client.recv(100)
        except ConnectionError:
            return b""


@pytest.mark.parametrize("key", ["response", "dress"])
def test_session_cap_with_each_kind_of_response(http: httpx.Client, key: str) -> None:
    statuses = {"policy": 500, "rate_limited": 429, "in_stream": 200}
    bodies = {kind: wav(noise(kind, 1)) for kind in statuses}
    faults = [toml("session_cap", cap=0, **{key: kind}, sha256=sha256(bodies[kind])) for kind in statuses]
    with start_server(faults="".join(faults)) as server:
        client = Client(http, server)
        refusals = {kind: client.post(body) for kind, body in bodies.items()}
        assert server.stats()["outcomes"] == {"session_cap": 3}
    assert {kind: refusal.status_code for kind, refusal in refusals.items()} == statuses
    assert all("Concurrency limit" in refusal.text for refusal in refusals.values())
    assert refusals["policy"].text.startswith("error from server 1008: ")
    assert refusals["in_stream"].json()["type"] == "error"


def test_session_cap_changes_after_requests(http: httpx.Client) -> None:
    with start_server(faults=toml("session_cap", cap=0, then_cap=5, then_after_requests=1)) as server:
        client = Client(http, server)
        assert "Concurrency limit" in client.refusal(BODY)
        assert client.texts(BODY) == texts(SAMPLES)


def test_session_cap_lets_as_many_in_as_it_says(http: httpx.Client) -> None:
    with (
        start_server(faults=toml("session_cap", cap=2), latency_s=0.2) as server,
        ThreadPoolExecutor(8) as threads,
    ):
        client = Client(http, server)
        answers = list(threads.map(lambda _: client.post(BODY), range(8)))
        stats = server.stats()
        assert stats["max_sessions"] <= 2
        assert stats["answered"] >= 2
        assert {answer.status_code for answer in answers} == {200, 500}


def test_session_cap_changes_after_seconds(http: httpx.Client) -> None:
    faults = toml("session_cap", cap=0, then_cap=5, then_after_s=0.1)
    with start_server(faults=faults) as server:
        client = Client(http, server)
        assert "Concurrency limit" in client.refusal(BODY)
        until(lambda: client.post(BODY).status_code == 200)


def test_key_is_revoked_for_requests_and_credits_page(http: httpx.Client) -> None:
    with start_server(faults=toml("key_revoked", after_requests=1)) as server:
        client = Client(http, server)
        assert client.get("/api/usages/credits").status_code == 200
        client.messages(BODY)
        assert client.refusal(BODY) == "error from server 1008: API key is revoked or expired"
        assert client.get("/api/usages/credits").status_code == 401


def test_credits_are_spent_after_seconds_of_audio(http: httpx.Client) -> None:
    with start_server(faults=toml("credits_spent", after_audio_s=3)) as server:
        client = Client(http, server)
        client.messages(BODY)
        assert client.get("/api/usages/credits").json()["remaining_credits"] == pytest.approx(3)
        client.messages(BODY)
        assert client.get("/api/usages/credits").json()["remaining_credits"] == 0
        assert "credits" in client.refusal(BODY)


def test_times_lets_a_retry_of_each_body_pass(http: httpx.Client) -> None:
    with start_server(faults=toml("internal_error", times=1)) as server:
        client = Client(http, server)
        statuses = [client.post(body).status_code for body in (BODY, OTHER, BODY, OTHER)]
        assert statuses == [500, 500, 200, 200]
        assert server.stats()["faults"] == {"internal_error": 2}


def test_at_most_and_the_window_of_requests_count_all_bodies(http: httpx.Client) -> None:
    faults = toml("internal_error", at_most=1) + toml("bad_gateway", after_requests=2, until_requests=3)
    with start_server(faults=faults) as server:
        client = Client(http, server)
        assert [client.post(BODY).status_code for _ in range(4)] == [500, 200, 502, 200]


def test_file_names_the_body_that_gets_the_fault(http: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(BODY)
    faults = tmp_path / "faults.toml"
    faults.write_text(toml("empty_200", file="bad.wav"))
    with start_server(faults=faults) as server:
        client = Client(http, server)
        assert client.post(BODY).content == b""
        assert texts_of(client.messages(OTHER))


def test_probability_chooses_the_same_bodies_in_any_order() -> None:
    def chosen(numbers: range) -> set[str]:
        plan = FaultPlan([InternalError(probability=0.3)], seed=5)
        return {arrival.digest for arrival in map(arrival_of, numbers) if plan.choose(arrival)}

    assert chosen(range(1000)) == chosen(range(999, -1, -1))
    assert 250 <= len(chosen(range(1000))) <= 350


def arrival_of(number: int) -> Arrival:
    digest = sha256(str(number).encode())
    return Arrival(number=number + 1, digest=digest, repeat=1, sessions=1, paid_audio_s=0, elapsed_s=0, query={})
