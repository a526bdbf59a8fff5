"""The server as a child of the pipeline, for as long as a block runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from pipeline.errors import ConfigError, LocalServerError
from pipeline.server.embedded import embedded_server
from pipeline.server.options import ServerOptions
from tests.server.bodies import ENGLISH, noise, texts, wav
from tests.server.conftest import lines, texts_of

SAMPLES = noise("embedded", 1.5)
BODY = wav(SAMPLES)


def test_it_answers_to_its_random_key_and_is_gone_after_the_block() -> None:
    async def session() -> tuple[str, str, httpx.Response]:
        async with (
            embedded_server("fingerprint", options=ServerOptions(latency_s=0.01)) as (url, key),
            httpx.AsyncClient(trust_env=False) as http,
        ):
            answer = await http.post(url + ENGLISH, headers={"x-api-key": key}, content=BODY)
            assert (await http.post(url, headers={"x-api-key": "gd_other"}, content=BODY)).status_code == 500
        return url, key, answer

    url, key, answer = asyncio.run(session())
    assert texts_of(lines(answer)) == texts(SAMPLES)
    assert len(key) > 30
    with pytest.raises(httpx.ConnectError):
        httpx.post(url, content=BODY, trust_env=False)


def test_it_is_ended_when_the_block_fails() -> None:
    urls: list[str] = []

    async def session() -> None:
        async with embedded_server("fingerprint") as (url, _):
            urls.append(url)
            raise RuntimeError("the run broke off")

    with pytest.raises(RuntimeError, match="the run broke off"):
        asyncio.run(session())
    with pytest.raises(httpx.ConnectError):
        httpx.get(urls[0], trust_env=False)


def test_server_that_cannot_start_is_one_sentence(tmp_path: Path) -> None:
    faults = tmp_path / "faults.toml"
    faults.write_text('[[fault]]\nkind = "hung"')

    async def session() -> None:
        async with embedded_server("fingerprint", faults=faults):
            pass

    with pytest.raises(ConfigError) as raised:
        asyncio.run(session())
    assert str(raised.value) == (
        f"The local server did not start: {faults}: fault 1 has an unknown kind 'hung', did you mean 'hang'?"
    )


def test_server_that_says_nothing_in_time_is_one_sentence() -> None:
    async def session() -> None:
        async with embedded_server("fingerprint", start_deadline_s=0.01):
            pass

    with pytest.raises(LocalServerError, match=r"did not come up within 0\.01 s, and said nothing\."):
        asyncio.run(session())
