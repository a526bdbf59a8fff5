"""The wire format of the speech-to-text endpoint: messages, parameters and documented limits.

The one module that client and local server share. Facts are from the service's public documentation
(speech-to-text-rest, transcription-settings, limits, credits). The types accept what a client must tolerate (unknown
types, missing fields); the constants are what the server enforces.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from pipeline.built import built

PATH = "/api/post/speech/asr"
CREDITS_PATH = "/api/usages/credits"
KEY_HEADER = "x-api-key"
RESIDENCY_HEADER = "x-gradium-residency"
"""Of an answer: where it was computed, `pinned; zone=eu` for instance."""
NDJSON = "application/x-ndjson"

MODEL_RATE = 24_000
FRAME_S = 0.08
"""The model's step: 1,920 samples at 24 kHz."""
MAX_AUDIO_S = 3000.0
"""The most audio one request may carry; 300 s until autumn 2026."""
CREDITS_PER_S = 3.0
TRANSLATING = "stt-translate"
TRANSLATING_CREDITS_PER_S = 4.0
"""Of the model that writes in another language."""

CODE_BEFORE_SETUP = 1002
CODE_POLICY = 1008
CODE_INTERNAL = 1011

CONTENT_TYPES = {"audio/wav": "wav", "audio/pcm": "pcm", "audio/ogg": "opus", "audio/opus": "opus"}
"""Content-Type to `input_format`."""
PCM_RATES = {
    "pcm": 24_000,
    "pcm_8000": 8_000,
    "pcm_16000": 16_000,
    "pcm_22050": 22_050,
    "pcm_24000": 24_000,
    "pcm_44100": 44_100,
    "pcm_48000": 48_000,
}
"""Headerless signed 16-bit little-endian mono formats and their sample rates."""
COMPANDED = {"ulaw_8000": "ULAW", "mulaw_8000": "ULAW", "alaw_8000": "ALAW"}
INPUT_FORMATS = ("wav", "opus", *PCM_RATES, *COMPANDED)
WAV_BITS = (16, 24, 32)

LANGUAGES = ("en", "fr", "de", "es", "pt", "any")
LANGUAGE_REQUIRED = f"A language is required to start an ASR session. Supported languages: {', '.join(LANGUAGES)}."
"""The reason of the refusal, code 1011."""
DELAYS_IN_FRAMES = (7, 8, 10, 12, 14, 16, 20, 24, 32, 36, 48)
SHORTEST_DELAY, LONGEST_DELAY = 5, 80
"""Others between these are taken as well, undocumented; 4 was refused."""
DEFAULT_DELAY_IN_FRAMES = 48
"""What the REST endpoint uses when none is given."""
TEMP_RANGE = (0.0, 1.5)
PADDING_BONUS_RANGE = (-4.0, 4.0)
BOOST_RANGE = (-6.0, 6.0)
MAX_KEYWORDS = 500


@built
class Keywords(msgspec.Struct, frozen=True, kw_only=True):
    """Words that the decoder should prefer: single tokens, case- and accent-sensitive."""

    words: list[str]
    boost: float = 3.0


@built
class JsonConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The `json_config` query parameter. The service ignores unknown keys."""

    language: str | None = None
    delay_in_frames: int | None = None
    delay_in_tokens: int | None = None
    """An older name of `delay_in_frames`."""
    temp: float | None = None
    padding_bonus: float | None = None
    keywords: Keywords | None = None


StreamId = Annotated[int, msgspec.Meta(ge=-(1 << 31), lt=1 << 31)]


class Message(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True):
    """One line of the answer."""


@built
class Ready(Message, frozen=True, tag="ready", kw_only=True):
    request_id: str | None = None
    model_name: str | None = None
    model_ext: str | None = None
    sample_rate: int | None = None
    frame_size: int | None = None
    delay_in_frames: int | None = None
    text_stream_names: list[str] | None = None


@built
class Text(Message, frozen=True, tag="text"):
    """One word or a few, or lone punctuation. `start_s` is the time of the first, with the decoder's delay or not."""

    text: str
    start_s: float
    stream_id: StreamId | None = None


@built
class EndText(Message, frozen=True, tag="end_text"):
    """The end time of the last `text` of that stream."""

    stop_s: float | None = None
    stream_id: StreamId | None = None


@built
class Step(Message, frozen=True, tag="step"):
    """Voice-activity telemetry."""


@built
class EndOfStream(Message, frozen=True, tag="end_of_stream"):
    pass


@built
class Error(Message, frozen=True, tag="error"):
    """Ends the stream."""

    message: Any = ""
    """Text; seen elsewhere: a JSON object with the text in it."""
    code: int | str | None = None


AnyMessage = Ready | Text | EndText | Step | EndOfStream | Error


@built
class Credits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to GET /api/usages/credits."""

    remaining_credits: float
    allocated_credits: float | None = None
    billing_period: str | None = None
    next_rollover_date: str | None = None
    plan_name: str | None = None
    recognizer: str | None = None
    """Only from a local server: the recognizer it uses."""
