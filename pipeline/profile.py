"""The client's facts about a speech service: limits, formats, settings, price and addresses, in one record.

The local server uses its own constants (`gradium/wire.py`), so that a mistake here fails against it. Facts are from
the service's public documentation (speech-to-text-rest, transcription-settings, limits, credits).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ServiceProfile:
    """A speech service from the client's point of view."""

    name: str
    url: str
    """Where requests go by default."""
    regional_hosts: tuple[str, ...]
    """Hosts of the same service that keep the data in one region."""
    balance_path: str
    plain_hosts: tuple[str, ...]
    """Hosts that the key may be sent to without TLS: this machine."""
    sample_rate: int
    """Hz of its model, and of decoded audio that is sent."""
    frame_s: float
    """The model's step."""
    max_request_s: float
    """The most audio of one request, by its newest documentation; …"""
    usual_clip_s: float
    """… what it has always taken, and clips carry by default."""
    content_types: tuple[str, str]
    """Of WAV and of Ogg-Opus, the files that are sent as they are."""
    wav_bits: tuple[int, ...]
    """Bits of the integer PCM samples that it takes in WAV."""
    channels: int
    """Of a file that is sent."""
    languages: tuple[str, ...]
    detected: str
    """The one of them that lets the service find out what is spoken."""
    translating: tuple[str, ...]
    """Models that write in the language of the request, whatever is spoken."""
    delays_in_frames: tuple[int, ...]
    """The documented ones."""
    delay_range: tuple[int, int]
    """What may be tried."""
    default_delay_in_frames: int
    """Of its REST endpoint, where a request names none."""
    temp: Range
    padding_bonus: Range
    boost: Range
    max_keywords: int
    keywords_bytes: int
    """The most bytes of keywords, which are part of the URL: many servers limit that to 8 KB, httpx to 64."""
    prices: Mapping[str, float]
    """Credits for a second of sent audio, by model; of other models `price_of_others`."""
    price_of_others: float

    def credits_per_s(self, model: str) -> float:
        """Price of a second of audio that is sent to the model."""
        return self.prices.get(model, self.price_of_others)

    def languages_of(self, model: str) -> tuple[str, ...]:
        """The languages that a request to the model may name."""
        return tuple(one for one in self.languages if one != self.detected or model not in self.translating)

    def is_regional(self, url: str) -> bool:
        """Whether the address is one of a region."""
        return urlsplit(url).hostname in self.regional_hosts

    def is_this_machine(self, url: str) -> bool:
        """Whether the address is on this machine."""
        return urlsplit(url).hostname in self.plain_hosts


GRADIUM = ServiceProfile(
    name="gradium",
    url="https://api.gradium.ai/api/post/speech/asr",
    regional_hosts=("eu.api.gradium.ai", "us.api.gradium.ai"),
    balance_path="/api/usages/credits",
    plain_hosts=("127.0.0.1", "::1", "localhost"),
    sample_rate=24_000,
    frame_s=0.08,
    max_request_s=3000.0,
    usual_clip_s=300.0,
    content_types=("audio/wav", "audio/ogg"),
    wav_bits=(16, 24, 32),
    channels=1,
    languages=("en", "fr", "de", "es", "pt", "any"),
    detected="any",
    translating=("stt-translate",),
    delays_in_frames=(7, 8, 10, 12, 14, 16, 20, 24, 32, 36, 48),
    delay_range=(4, 80),
    default_delay_in_frames=48,
    temp=(0.0, 1.5),
    padding_bonus=(-4.0, 4.0),
    boost=(-6.0, 6.0),
    max_keywords=500,
    keywords_bytes=7_000,
    prices={"stt-translate": 4.0},
    price_of_others=3.0,
)
