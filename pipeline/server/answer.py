"""Writes recognized words the way the service sends them: messages in stream order, times on the decoder's clock.

Pure functions; a fault changes what these return.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from pipeline.gradium import wire
from pipeline.server.recognizer import RecognizedWord

TELEMETRY_EVERY_S = 2.0
"""The service sends a `step` for each 80 ms frame; fewer are enough to test that clients skip them."""
STREAM_ID = 0

_encode = msgspec.json.Encoder().encode


class Telemetry(wire.Message, tag="step", frozen=True, kw_only=True):
    """Voice activity, derived from the words."""

    vad: list[dict[str, float]]
    step_idx: int


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What is written to the client under status 200, and how it ends."""

    chunks: Iterable[bytes]
    """Each is one write."""
    pause_s: float = 0.0
    """Between two writes."""
    ending: Literal["clean", "cut", "reset"] = "clean"
    """`cut` closes the connection without the end of the chunked body, `reset` with an RST."""


def messages(
    words: Sequence[RecognizedWord], *, duration_s: float, delay_in_frames: int, request_id: str, model: str
) -> list[wire.Message]:
    """Returns the whole answer; `words` have true times, the messages are late by the delay."""
    late_s = delay_in_frames * wire.FRAME_S
    stream: list[wire.Message] = [
        wire.Ready(
            request_id=request_id,
            model_name=model,
            sample_rate=wire.MODEL_RATE,
            frame_size=round(wire.MODEL_RATE * wire.FRAME_S),
            delay_in_frames=delay_in_frames,
            text_stream_names=["text"],
        )
    ]
    next_s = TELEMETRY_EVERY_S
    for word in words:
        while next_s <= word.start_s:
            stream.append(_telemetry(next_s, speech=True))
            next_s += TELEMETRY_EVERY_S
        stream.append(wire.Text(word.text, round(word.start_s + late_s, 3), STREAM_ID))
        stream.append(wire.EndText(round(word.stop_s + late_s, 3), STREAM_ID))
    while next_s < duration_s:
        stream.append(_telemetry(next_s, speech=False))
        next_s += TELEMETRY_EVERY_S
    stream.append(wire.EndOfStream())
    return stream


def _telemetry(at_s: float, *, speech: bool) -> Telemetry:
    """Returns the `step` for a time in the audio."""
    activity = {"horizon_s": 0.5, "inactivity_prob": 0.05 if speech else 0.95}
    return Telemetry(vad=[activity], step_idx=round(at_s / wire.FRAME_S))


def lines(stream: Iterable[wire.Message]) -> list[bytes]:
    """Returns one JSON line per message, each with its newline."""
    return [_encode(message) + b"\n" for message in stream]
