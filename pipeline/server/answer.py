"""Writes recognized words the way the service sends them: messages in stream order, times on the decoder's clock.

Pure functions; a fault changes what these return.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from pipeline.gradium import wire
from pipeline.server.options import Times
from pipeline.server.recognizer import RecognizedWord

TELEMETRY_EVERY_S = 2.0
"""The service sends a `step` for each 80 ms frame; fewer are enough to test that clients skip them."""
STREAM_ID = 0
PUNCTUATION = ".,;:!?\u2026\u3002\uff0c\uff01\uff1f"
"""What is sent alone where a message may hold several words."""

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
    words: Sequence[RecognizedWord],
    *,
    duration_s: float,
    delay_in_frames: int,
    request_id: str,
    model: str,
    times: Times,
    words_per_text: int,
) -> list[wire.Message]:
    """Returns the whole answer; `words` have true times, the messages are late by the delay, or not."""
    stream: list[wire.Message] = [ready(request_id, model, delay_in_frames)]
    next_s = TELEMETRY_EVERY_S
    late_s = lateness_s(times, delay_in_frames)
    for message in texts(words, late_s=late_s, words_per_text=words_per_text):
        while isinstance(message, wire.Text) and next_s <= message.start_s - late_s:
            stream.append(_telemetry(next_s, speech=True))
            next_s += TELEMETRY_EVERY_S
        stream.append(message)
    while next_s < duration_s:
        stream.append(_telemetry(next_s, speech=False))
        next_s += TELEMETRY_EVERY_S
    stream.append(wire.EndOfStream())
    return stream


def ready(request_id: str, model: str, delay_in_frames: int) -> wire.Ready:
    """Returns the first message; rate and frame are the model's, whatever was sent."""
    return wire.Ready(
        request_id=request_id,
        model_name=model,
        sample_rate=wire.MODEL_RATE,
        frame_size=round(wire.MODEL_RATE * wire.FRAME_S),
        delay_in_frames=delay_in_frames,
        text_stream_names=["text"],
    )


def lateness_s(times: Times, delay_in_frames: int) -> float:
    """Returns by how much times are late."""
    return delay_in_frames * wire.FRAME_S if times == "delayed" else 0.0


def texts(words: Sequence[RecognizedWord], *, late_s: float, words_per_text: int) -> Iterator[wire.Message]:
    """Yields the messages of words."""
    for text, start_s, stop_s in _texts(words, words_per_text):
        yield wire.Text(text, round(start_s + late_s, 3), STREAM_ID)
        if stop_s is not None:
            yield wire.EndText(round(stop_s + late_s, 3), STREAM_ID)


def _texts(words: Sequence[RecognizedWord], most: int) -> Iterator[tuple[str, float, float | None]]:
    """Yields (text, start_s, stop_s) for each message: one for a word, or for up to `most` words (how many depends on
    the words) and one for the punctuation behind them, which has no end."""
    if most == 1:
        yield from ((word.text, word.start_s, word.stop_s) for word in words)
        return
    group: list[RecognizedWord] = []
    for place, word in enumerate(words, 1):
        bare = word.text.rstrip(PUNCTUATION) or word.text
        mark = word.text[len(bare) :]
        group.append(word._replace(text=bare))
        size = 1 + zlib.crc32(group[0].text.encode()) % most
        if mark or len(group) == size or place == len(words):
            yield " ".join(one.text for one in group), group[0].start_s, word.stop_s
            group = []
        if mark:
            yield mark, word.stop_s, None


def _telemetry(at_s: float, *, speech: bool) -> Telemetry:
    """Returns the `step` for a time in the audio."""
    activity = {"horizon_s": 0.5, "inactivity_prob": 0.05 if speech else 0.95}
    return Telemetry(vad=[activity], step_idx=round(at_s / wire.FRAME_S))


def lines(stream: Iterable[wire.Message]) -> list[bytes]:
    """Returns one JSON line per message, each with its newline."""
    return [_encode(message) + b"\n" for message in stream]
