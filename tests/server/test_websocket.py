"""The WebSocket with clients that break its rules: one clear error each, and no session stays counted."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.bodies import noise, texts, wav
from tests.server.conftest import Client, texts_of, until
from tests.servers import RunningServer, start_server

SAMPLES = noise("websocket", 1.5)
SETUP = {"type": "setup", "input_format": "wav", "client_req_id": "mine"}
END = {"type": "end_of_stream"}


def audio(data: bytes) -> dict[str, str]:
    return {"type": "audio", "audio": base64.b64encode(data).decode()}


async def talk(client: Client, *sent: object, key: str | None = None) -> tuple[list[dict[str, Any]], int | None]:
    """Sends text (or what becomes JSON) and bytes; returns the messages and the code of the Close frame."""
    headers = {"x-api-key": client.server.key if key is None else key}
    url = f"{client.server.base}/api/speech/asr"
    async with aiohttp.ClientSession(headers=headers) as session, session.ws_connect(url) as socket:
        try:
            for one in sent:
                if isinstance(one, bytes):
                    await socket.send_bytes(one)
                else:
                    await socket.send_str(one if isinstance(one, str) else json.dumps(one))
        except ConnectionError:
            pass  # it was closed for what came before
        async with asyncio.timeout(20):
            return [message.json() async for message in socket if message.type is aiohttp.WSMsgType.TEXT], (
                socket.close_code
            )


@pytest.mark.parametrize("size", [1, 7, 44, 1000, 1_000_000])
def test_a_wav_may_be_cut_anywhere(client: Client, size: int) -> None:
    body = wav(SAMPLES[:6_000])
    pieces = [audio(body[at : at + size]) for at in range(0, len(body), size)]
    messages, code = asyncio.run(talk(client, SETUP, *pieces, END))
    assert (texts_of(messages), code) == (texts(SAMPLES[:6_000]), 1000)
    assert (messages[0]["type"], messages[-1]["type"]) == ("ready", "end_of_stream")


REFUSED: dict[str, tuple[list[object], int, str]] = {
    "before setup": ([audio(b"")], 1002, "first message"),
    "setup twice": ([SETUP, SETUP], 1002, "middle"),
    "binary": ([b"\0"], 1002, "binary"),
    "no JSON": (["{"], 1002, "malformed"),
    "bomb": (['{"type":"setup","x":' + "[" * 100_000], 1002, "nested too deeply"),
    "no base64": ([SETUP, {"type": "audio", "audio": "%%"}], 1002, "base64"),
    "unknown type": ([SETUP, {"type": "sing"}], 1002, "malformed"),
    "format": ([SETUP | {"input_format": "mp3"}], 1008, "unsupported input_format 'mp3'"),
    "settings": ([SETUP | {"json_config": {"temp": 9}}], 1008, "temp 9"),
    "config": ([SETUP | {"json_config": "{"}], 1011, "invalid json_config"),
    "no WAV": ([SETUP, audio(b"x" * 12)], 1008, "no RIFF/WAVE header"),
    "no audio": ([SETUP, END], 1008, "no RIFF/WAVE header"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_breaks_the_rules_is_told_once_and_closed(client: Client, name: str) -> None:
    sent, code, reason = REFUSED[name]
    messages, closed = asyncio.run(talk(client, *sent))
    assert [one["type"] for one in messages[-1:]] == ["error"]
    assert reason in messages[-1]["message"]
    assert (messages[-1]["code"], closed) == (code, code)
    until(lambda: client.server.stats()["sessions"] == 0)
    assert client.server.stderr() == ""


def test_a_wrong_key_is_told(client: Client) -> None:
    (error,), code = asyncio.run(talk(client, SETUP, key="gd_wrong"))
    assert (error["message"], error["code"], code) == ("API key is revoked or expired", 1008, 1008)


def test_a_wrong_key_is_told_however_much_audio_is_on_its_way(client: Client) -> None:
    for _ in range(5):
        messages, code = asyncio.run(talk(client, SETUP, audio(bytes(1 << 20)), audio(bytes(1 << 20)), key="gd_wrong"))
        assert ([one["type"] for one in messages], code) == (["error"], 1008)


def test_a_socket_that_stays_open_has_another_session(client: Client) -> None:
    stays = SETUP | {"close_ws_on_eos": False}
    messages, _ = asyncio.run(talk(client, stays, audio(wav(SAMPLES)), END, SETUP, audio(wav(SAMPLES)), END))
    assert texts_of(messages) == texts(SAMPLES) * 2


MESSAGES = [SETUP, END, audio(wav(SAMPLES)), audio(b"\0\0\0"), {"type": "flush", "flush_id": "a"}, "{}", b"\0"]


@settings(max_examples=25, deadline=None)
@given(sent=st.lists(st.sampled_from(MESSAGES), max_size=6))
def test_any_order_ends_in_a_word_or_an_error(client: Client, sent: list[object]) -> None:
    messages, code = asyncio.run(talk(client, *sent, END, END, "{"))
    assert code == messages[-1].get("code", 1000)
    assert messages[-1]["type"] == ("end_of_stream" if code == 1000 else "error")
    until(lambda: client.server.stats()["sessions"] == 0)
    assert client.server.stderr() == ""


def test_a_frame_that_breaks_the_rules_is_counted_before_it_is_told() -> None:
    async def asked(server: RunningServer) -> None:
        headers = {"x-api-key": server.key}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.ws_connect(f"{server.base}/api/speech/asr") as socket,
        ):
            await socket.send_str(json.dumps(SETUP))
            await socket.send_frame(b"\xff", aiohttp.WSMsgType.TEXT)
            assert (await socket.receive_json())["type"] == "ready"
            error = await socket.receive_json()
            assert server.stats()["outcomes"] == {"bad_message": 1}
            assert (error["code"], error["client_req_id"]) == (1007, "mine")
            assert "WebSocket frame" in error["message"]
            await socket.receive()
            assert socket.close_code == 1007

    with start_server() as server:
        asyncio.run(asked(server))
        assert server.stderr() == ""
