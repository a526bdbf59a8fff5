"""Faults that depend on what went before: outages, caps, revoked keys, spent credits, and when a fault strikes."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from pipeline.server.faults.fault import Arrival
from pipeline.server.faults.plan import Plan
from pipeline.server.faults.refusals import InternalError
from pipeline.server.listener import Listener
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
def test_an_outage_spares_no_connection_that_is_just_being_taken(turns: int) -> None:
    async def handler(_: web.BaseRequest) -> web.Response:
        return web.Response(text="alive")

    async def run() -> None:
        listener = Listener("127.0.0.1", 0)
        port = await listener.open(web.Server(handler))
        clients = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(5)]
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.gather(listener.outage(60), listener.outage(60))  # several requests may be struck at once
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


def test_session_cap_in_each_dress(http: httpx.Client) -> None:
    dresses = {"policy": 500, "rate_limited": 429, "in_stream": 200}
    bodies = {dress: wav(noise(dress, 1)) for dress in dresses}
    faults = [toml("session_cap", cap=0, dress=dress, sha256=sha256(bodies[dress])) for dress in dresses]
    with start_server(faults="".join(faults)) as server:
        client = Client(http, server)
        refusals = {dress: client.post(body) for dress, body in bodies.items()}
        assert server.stats()["outcomes"] == {"session_cap": 3}
    assert {dress: refusal.status_code for dress, refusal in refusals.items()} == dresses
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


def test_file_names_the_body_that_is_struck(http: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(BODY)
    faults = tmp_path / "faults.toml"
    faults.write_text(toml("empty_200", file="bad.wav"))
    with start_server(faults=faults) as server:
        client = Client(http, server)
        assert client.post(BODY).content == b""
        assert texts_of(client.messages(OTHER))


def test_probability_strikes_the_same_bodies_in_any_order() -> None:
    def struck(numbers: range) -> set[str]:
        plan = Plan([InternalError(probability=0.3)], seed=5)
        return {arrival.digest for arrival in map(arrival_of, numbers) if plan.strike(arrival)}

    assert struck(range(1000)) == struck(range(999, -1, -1))
    assert 250 <= len(struck(range(1000))) <= 350


def arrival_of(number: int) -> Arrival:
    digest = sha256(str(number).encode())
    return Arrival(number=number + 1, digest=digest, repeat=1, sessions=1, paid_audio_s=0, elapsed_s=0, query={})
