"""The vendor's own client against a real server."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradium import GradiumClient

from tests.server.bodies import noise, texts, wav
from tests.server.conftest import Client, until
from tests.servers import RunningServer, start_server

PAGE = Path(__file__).parents[2] / "docs" / "local-server.md"
SAMPLES = noise("sdk", 2.5, 24_000)
WORDS = texts(SAMPLES, 24_000)


def sdk(server: RunningServer, key: str | None = None) -> Any:
    return GradiumClient(base_url=f"{server.base}/api", api_key=key or server.key)


def run(server: RunningServer, file: Path, key: str) -> subprocess.CompletedProcess[str]:
    """Runs the command of docs/local-server.md."""
    [line] = re.findall(r"^gradium stt .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    line = (
        line.replace("http://127.0.0.1:8765", server.base)
        .replace("manifests/sample/rain-16k.wav", str(file))
        .replace("any", key)
    )
    command = [str(Path(sys.executable).with_name("gradium")), *shlex.split(line)[1:]]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_prints_the_words(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(wav(SAMPLES, rate=24_000))
    found = run(client.server, file, client.server.key)
    assert (found.returncode, found.stdout.split()) == (0, WORDS), found.stderr
    found = run(client.server, file, "gd_wrong")
    assert found.returncode == 1
    assert "API key is revoked or expired (1008)" in found.stderr


def test_stt_and_stt_stream_and_credits(client: Client) -> None:
    async def ask() -> None:
        service = sdk(client.server)
        array = np.frombuffer(SAMPLES, dtype="<i2")
        answer = await service.stt({"input_format": "pcm"}, array, sample_rate=24_000)
        assert answer.text.split() == WORDS
        late_s = 48 * 0.08
        assert [word.start_s for word in answer.text_with_timestamps] == pytest.approx([late_s, late_s + 1, late_s + 2])

        async def pieces() -> Any:
            for at in range(0, len(SAMPLES), 999):
                yield SAMPLES[at : at + 999]

        stream = await service.stt_stream({"input_format": "pcm", "json_config": {"delay_in_frames": 10}}, pieces())
        assert [word.text async for word in stream.iter_text()] == WORDS
        assert (await service.get("usages/credits"))["plan_name"] == "local"

    asyncio.run(ask())


def test_stt_realtime_has_steps_and_words_after_a_flush(client: Client) -> None:
    async def ask() -> list[dict[str, Any]]:
        async with sdk(client.server).stt_realtime(input_format="pcm") as stream:
            ready = await stream.wait_for_ready()
            assert (ready["sample_rate"], ready["frame_size"]) == (24_000, 1920)
            await stream.send_audio(SAMPLES[:48_000])
            await stream.send_flush(7)
            await stream.send_audio(SAMPLES[48_000:])
            await stream.send_eos()
            return [message async for message in stream]

    messages = asyncio.run(ask())
    kinds = [message["type"] for message in messages]
    steps = [message for message in messages if message["type"] == "step"]
    assert len(steps) == 31
    assert steps[-1]["vad"][2] == {"horizon_s": 2.0, "inactivity_prob": 0.01}
    flushed = kinds.index("flushed")
    assert messages[flushed]["flush_id"] == 7
    assert [kinds[:flushed].count("text"), kinds[flushed:].count("text")] == [1, 2]
    assert [one["text"] for one in messages if one["type"] == "text"] == WORDS
    assert kinds[-1] == "end_of_stream"


def test_a_cut_answer_is_a_success_for_the_sdk_and_frees_the_session() -> None:
    with start_server(faults='[[fault]]\nkind = "cut"\nat_byte = 400', max_sessions=1) as server:
        answer = asyncio.run(sdk(server).stt({"input_format": "wav"}, wav(SAMPLES, rate=24_000)))
        assert WORDS[: len(answer.text.split())] == answer.text.split() != WORDS
        until(lambda: server.stats()["sessions"] == 0)
        assert server.stats()["outcomes"] == {"cut": 1}
        assert server.stderr() == ""
