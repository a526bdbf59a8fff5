"""`gradium-batch serve`: the local endpoint."""

from __future__ import annotations

import os
from typing import Any

import click

from pipeline.cli.base import Command
from pipeline.cli.options import finite
from pipeline.run.asked import KEY_ENV

AT_LEAST_0: dict[str, Any] = {"type": click.FloatRange(min=0), "callback": finite}


@click.command("serve", cls=Command)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes a free one.")
@click.option(
    "--recognizer",
    default="pocketsphinx",
    show_default=True,
    help="pocketsphinx, fingerprint, or package.module:factory.",
)
@click.option("--faults", type=click.Path(), help="Faults file (TOML): how it misbehaves on purpose.")
@click.option(
    "--workers", type=click.IntRange(min=0), default=0, help="Recognizer processes. [default: one per usable CPU]"
)
@click.option("--max-sessions", type=click.IntRange(min=1), help="Refuse more requests at a time than this.")
@click.option("--credits", **AT_LEAST_0, default=1e7, help="Balance of the account. [default: 10 million]")
@click.option("--unit-s", **AT_LEAST_0, default=0.0, help="Seconds that are billed as a whole, rounded up.")
@click.option("--overhead-s", **AT_LEAST_0, default=0.0, help="Seconds that a request is billed for beside its audio.")
@click.option("--balance-lag-s", **AT_LEAST_0, default=0.0, help="The balance is shown as it was so long ago.")
@click.option("--top-up-credits", **AT_LEAST_0, default=0.0, help="Credits that are added to the account …")
@click.option("--top-up-after", type=click.IntRange(min=1), help="… after so many billed requests.")
@click.option("--new-month-after", type=click.IntRange(min=1), help="After so many the balance is as at first.")
@click.option("--others-credits-per-s", **AT_LEAST_0, default=0.0, help="What somebody else spends of it each second.")
@click.option("--latency-s", **AT_LEAST_0, default=0.0, help="An answer takes at least this long,")
@click.option("--realtime-factor", **AT_LEAST_0, default=0.0, help="plus this many seconds per audio second.")
@click.option("--max-audio-s", **AT_LEAST_0, default=3000.0, help="The most audio of a request. [default: 3000]")
@click.option("--language-required/--language-optional", default=True, help="Whether a request has to name a language.")
@click.option(
    "--websocket-language-required/--websocket-language-optional",
    default=False,
    help="The same of the WebSocket. [default: optional]",
)
@click.option(
    "--refusals",
    type=click.Choice(["documented", "live", "json"]),
    default="documented",
    show_default=True,
    help="Their form: as documented, as seen live, or JSON.",
)
@click.option(
    "--times",
    type=click.Choice(["delayed", "audio"]),
    default="delayed",
    show_default=True,
    help="Whether times contain the decoder's delay.",
)
@click.option(
    "--words-per-text",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="The most words of a message; above 1 punctuation comes alone.",
)
@click.option("--linger-s", **AT_LEAST_0, default=0.0, help="A session stays counted so long after its answer.")
@click.option("--residency", help="Value of the header x-gradium-residency.")
@click.option("--request-log", type=click.Path(), help="Append one JSON line per finished request.")
def command(**options: Any) -> None:
    """Run the local endpoint, which speaks the service's protocol with a recognizer of its own.

    It answers POST /api/post/speech/asr and, for the official SDK, the WebSocket /api/speech/asr.

    It lets in the key in GRADIUM_API_KEY, or any key when that is empty, and prints its URL as one line of JSON.
    """
    from pipeline.server.options import ServerOptions
    from pipeline.server.serve import serve

    serve(ServerOptions(key=os.environ.get(KEY_ENV) or None, **options))
