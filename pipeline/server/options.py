"""The options of the local server, as one record that the command, the embedded server and the tests share."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pipeline.built import built
from pipeline.gradium import wire

KEY_ENV = "GRADIUM_LOCAL_SERVER_KEY"
"""Where a server in a child process finds the key it should ask for; never on the command line, which `ps` shows."""


Refusals = Literal["documented", "live", "json"]
"""The form of the service's refusals: as documented, as seen live (`Some(1008)`, a footer), as JSON."""
Times = Literal["delayed", "audio"]
"""Whether the times of words contain the decoder's delay."""


@built
class ServerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Options of the local server."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free port."""
    recognizer: str = "pocketsphinx"
    """`pocketsphinx`, `fingerprint`, or `package.module:factory` for one of your own."""
    faults: str | None = None
    """A TOML file of faults that the server injects."""
    key: str | None = None
    """The one API key that is accepted; None accepts any key, but a request without one is refused."""
    max_sessions: int | None = None
    """Requests worked on at the same time before the server refuses; None is no limit."""
    credits: float = 10_000_000.0
    """What the account holds at the start; 3 are taken per second that is billed."""
    unit_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Seconds that are billed as a whole, rounded up; 0: any length is billed as it is."""
    overhead_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Seconds that each request is billed for beside its audio."""
    balance_lag_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """The balance is shown as it was so long ago."""
    top_up_credits: float = 0.0
    top_up_after: int | None = None
    """After so many billed requests `top_up_credits` are added."""
    new_month_after: int | None = None
    """After so many billed requests the balance is `credits` again, and has another rollover date."""
    others_credits_per_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """What somebody else with the same key spends each second, from the start."""
    workers: int = 0
    """Recognizer processes; 0 takes one per usable CPU. `fingerprint` has none."""
    latency_s: float = 0.0
    """Each answer takes at least this long,"""
    realtime_factor: float = 0.0
    """plus this many seconds per second of audio."""
    max_audio_s: Annotated[float, msgspec.Meta(gt=0)] = wire.MAX_AUDIO_S
    """The most audio of one request."""
    language_required: bool = True
    """Whether a request that names no language is refused."""
    websocket_language_required: bool = False
    """The same of the WebSocket endpoint: the SDK's command sends none."""
    refusals: Refusals = "documented"
    times: Times = "delayed"
    words_per_text: Annotated[int, msgspec.Meta(ge=1)] = 1
    """The most words of one message; with more than 1, punctuation is sent alone."""
    linger_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """For so long after its answer a request still counts as a session."""
    residency: str | None = None
    """What answers say of where they were computed; None: they do not say it."""
    request_log: str | None = None
    """Append one JSON line per finished request to this file."""
    head_s: float = 20.0
    """A connection has this long to send the head of a request, from its start and after each answer, …"""
    body_s: float = 120.0
    """… and this long to send its body."""
    announce: bool = True
    """Print `{"url": …}` to stdout as soon as requests are taken."""
    until_stdin_eof: bool = False
    """End when stdin ends, so that the server never outlives the process that started it."""

    def __repr__(self) -> str:
        return f"ServerOptions(host={self.host!r}, port={self.port}, recognizer={self.recognizer!r})"
