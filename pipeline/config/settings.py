"""Every configuration key with its default, unit, range and meaning, as docs/configuration.md shows them. Pure."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from pipeline.price import Price
from pipeline.profile import GRADIUM
from pipeline.source.rules import Rules, checked_buckets, checked_places

PINNED = {"delay_in_frames": 16}
"""1.28 s of look-ahead. Never left to the service: its default may change, and all times with it."""

RATES = 1e-4, 1e6
"""Credits per second: what is recorded to a millionth says nothing of less, and sums of more leave the numbers."""
SHORTEST_UNIT_S = 1e-3
"""Shorter units are no more than rounding."""


def _with_pinned_delay(given: Any) -> Any:
    if isinstance(given, dict) and "delay_in_tokens" not in given:
        return PINNED | given
    return given


def _credits_or(word: str, meaning: str, bounds: tuple[float, float] | None = None) -> Callable[[Any], Any]:
    """A check for a number of credits within `bounds`, both included, or above 0; or for the word."""
    least, most = bounds or (sys.float_info.min, sys.float_info.max)
    said = f"from {least:,.10g} to {most:,.10g}" if bounds else "above 0"

    def checked(given: Any) -> Any:
        found = given
        with suppress(ValueError):
            found = float(given) if isinstance(given, str) else given
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        if found != word and not (is_number and least <= found <= most):
            raise ValueError(f'should be a number of credits {said}, or "{word}" for {meaning}')
        return found

    return checked


_credits_or_none = _credits_or("none", "no limit")
_credits_or_auto = _credits_or("auto", "the price of the model", RATES)


def _none_or_a_unit(given: float) -> float:
    if 0 < given < SHORTEST_UNIT_S:
        raise ValueError(f"should be 0 for no units, or at least {SHORTEST_UNIT_S:g}")
    return given


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ServiceSettings(Section):
    url: str = Field(
        GRADIUM.url,
        description='the endpoint, one of a region too; "local" starts the embedded server for the length of the run',
    )
    api_key_env: str = Field("GRADIUM_API_KEY", description="environment variable that holds the API key")
    api_key_file: str = Field("", description="file, or pipe, that holds the API key; used when the variable is empty")
    model: str = Field(
        "default",
        min_length=1,
        description="model name, the query parameter `model`; `stt-translate`, which costs more, translates into "
        "the language",
    )
    language: str = Field(
        "en", description="language of rows that name none, sent with each request; `any` lets the service find out"
    )
    delay_correction: Literal["auto", "on", "off"] = Field(
        "auto",
        description="take the decoder's delay off the times; `auto` finds out from the answers whether they contain it",
    )
    require_credits: bool = Field(
        False, description="stop before the first request when the balance is below the estimate or cannot be learned"
    )
    trust_env: bool = Field(
        False, description="use HTTPS_PROXY and friends from the environment; no proxy is used for plain http"
    )
    json_config: Annotated[dict[str, Any], BeforeValidator(_with_pinned_delay)] = Field(
        default_factory=lambda: dict(PINNED),
        description="the service's own settings: delay_in_frames, temp, padding_bonus, keywords",
    )

    @property
    def is_embedded(self) -> bool:
        """Whether the embedded server answers, which lives as long as the run and bills nothing."""
        return self.url == "local"


class TimeoutSettings(Section):
    connect_s: float = Field(10.0, gt=0, description="to make a connection")
    idle_s: float = Field(60.0, gt=0, description="without a byte from the service")
    attempt_base_s: float = Field(30.0, gt=0, description="for a whole attempt, whatever its audio, plus …")
    attempt_per_audio_s: float = Field(2.0, ge=0, description="… this much for each second of audio")
    drain_s: float = Field(60.0, gt=0, description="for answers in flight to arrive after Ctrl-C, SIGTERM or SIGHUP")
    checkpoint_s: float = Field(
        120.0, gt=0, description="for a checkpoint that another program has locked, or whose disk is full"
    )


class AudioSettings(Section):
    channels: Literal["mix", "split", "first"] = Field(
        "mix",
        description="what is done with more than one channel: their mean, each one by itself, or only the first",
    )
    upload: Literal["auto", "opus"] = Field(
        "auto", description="`auto`: what the service takes untouched, all else as WAV; `opus`: small uploads"
    )
    max_clip_s: float = Field(
        GRADIUM.usual_clip_s,
        ge=5,
        le=GRADIUM.max_request_s,
        description="the most audio one request carries; above 300, shorter where the service refuses that",
    )
    lead_silence_s: float = Field(
        0.0,
        ge=0,
        le=1,
        description="silence put in front of each clip, and paid for, so that a first word at once is heard (0.32); "
        "taken off the times again",
    )
    allow_truncated: bool = Field(
        False, description="transcribe a broken file as far as it decodes, with the issue `truncated`"
    )
    allow_partial: bool = Field(
        False,
        description="write a long recording some of whose clips fail as far as it was answered, its gaps as issues",
    )
    decoders: int = Field(0, ge=0, le=256, description="processes that decode; 0: one per usable CPU")
    spool_mb: int = Field(4096, ge=1, description="most disk for decoded audio and copies of recordings (MiB)")
    max_recording_h: float = Field(24.0, gt=0, description="longest recording that is taken, by what it decodes to")


class PoolSettings(Section):
    concurrency: int = Field(32, ge=1, le=1024, description="most requests in flight")
    adaptive: bool = Field(True, description="find the plan's own limit below that")


class RetrySettings(Section):
    max_attempts: int = Field(6, ge=1, le=100, description="requests for one clip in one run")
    base_s: float = Field(0.5, gt=0, description="longest first pause; it doubles with each attempt")
    max_s: float = Field(60.0, gt=0, description="longest pause, also for Retry-After")
    probe_s: float = Field(1.0, gt=0, le=30, description="before the first probe in an outage; doubles up to 30 s")
    outage_max_s: float = Field(1800.0, ge=0, description="longest outage waited out before the run stops")


class BudgetSettings(Section):
    credits: Annotated[Literal["none"] | float, PlainValidator(_credits_or_none)] = Field(
        "none", description='most credits a run may spend; "none": no limit'
    )
    credits_per_month: Annotated[Literal["none"] | float, PlainValidator(_credits_or_none)] = Field(
        "none", description="most credits that all runs into an output folder may spend in a calendar month (UTC)"
    )

    @property
    def limit(self) -> float | None:
        """The most credits a run may spend; None where there is no limit."""
        return None if self.credits == "none" else self.credits

    @property
    def month_limit(self) -> float | None:
        """The most credits that a calendar month may cost; None where there is no limit."""
        return None if self.credits_per_month == "none" else self.credits_per_month

    @property
    def most(self) -> float | None:
        """The most that a single request may cost for it to be sent some day."""
        return min((limit for limit in (self.limit, self.month_limit) if limit is not None), default=None)


class PriceSettings(Section):
    credits_per_s: Annotated[Literal["auto"] | float, PlainValidator(_credits_or_auto)] = Field(
        "auto", description="credits for a second that is billed; `auto`: 3, and 4 for the model `stt-translate`"
    )
    unit_s: Annotated[float, AfterValidator(_none_or_a_unit)] = Field(
        0.0, ge=0, le=3600, description="seconds that are billed as a whole, rounded up; 0: none"
    )
    overhead_s: float = Field(0.0, ge=0, le=60, description="seconds that each request is billed for beside its audio")
    settle_s: float = Field(
        10.0, ge=0, le=600, description="longest wait at the end for a balance that lags behind; 0: it is asked once"
    )
    per_1000_credits: float = Field(
        0.0,
        ge=0,
        le=1e9,
        description="money for 1,000 credits, in your currency, which `check` then shows; 0: not told",
    )


class SinkSettings(Section):
    formats: tuple[Literal["parquet", "jsonl"], ...] = Field(
        ("parquet", "jsonl"),
        min_length=1,
        description="what transcripts are written as",
    )
    rows_per_part: int = Field(10_000, ge=1, le=1_000_000, description="rows in one Parquet part")


class SourceSettings(Section):
    allow_private: Annotated[tuple[str, ...], AfterValidator(checked_places)] = Field(
        (), description="private and loopback addresses that may be read from, as `host:port`; all others are refused"
    )
    anonymous: Annotated[tuple[str, ...], AfterValidator(checked_buckets)] = Field(
        (), description="buckets that are read without credentials, as `s3://bucket`"
    )
    timeout_s: float = Field(60.0, gt=0, description="for a store or server to hand a recording out, plus …")
    per_mib_s: float = Field(10.0, ge=0, description="… this much for each MiB of it")


class LocalSettings(Section):
    recognizer: str = Field("pocketsphinx", description="recognizer of the embedded server")
    faults: str = Field("", description="faults file of the embedded server")


class Settings(Section):
    """The whole configuration of one run. Flags beat environment beats file beats default."""

    service: ServiceSettings = Field(default_factory=ServiceSettings)
    timeouts: TimeoutSettings = Field(default_factory=TimeoutSettings)
    audio: AudioSettings = Field(default_factory=AudioSettings)
    pool: PoolSettings = Field(default_factory=PoolSettings)
    retry: RetrySettings = Field(default_factory=RetrySettings)
    price: PriceSettings = Field(default_factory=PriceSettings)
    budget: BudgetSettings = Field(default_factory=BudgetSettings)
    sink: SinkSettings = Field(default_factory=SinkSettings)
    sources: SourceSettings = Field(default_factory=SourceSettings)
    local: LocalSettings = Field(default_factory=LocalSettings)

    @property
    def request_price(self) -> Price:
        """What a request costs."""
        price = self.price
        rate = GRADIUM.credits_per_s(self.service.model) if price.credits_per_s == "auto" else price.credits_per_s
        return Price(rate, price.unit_s, price.overhead_s)

    @property
    def source_rules(self) -> Rules:
        """How sources are asked."""
        return Rules.of(self.retry.model_dump() | self.sources.model_dump())
