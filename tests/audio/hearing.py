"""What the local server's recognizer hears in decoded tracks."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from pipeline.audio.decoded import Track
from pipeline.audio.encode import wav_header
from tests.servers import RunningServer


def heard(server: RunningServer, track: Track) -> str:
    """The words of a track, sent as the pipeline sends it."""
    audio = Path(track.path).read_bytes()
    assert len(audio) == 2 * track.samples
    headers = server.headers | {"content-type": "audio/wav"}
    answer = httpx.post(server.url, headers=headers, content=wav_header(track.samples) + audio, timeout=60)
    assert answer.status_code == 200, answer.text
    lines = [json.loads(line) for line in answer.text.splitlines() if line.strip()]
    return " ".join(line["text"].strip() for line in lines if line["type"] == "text")
