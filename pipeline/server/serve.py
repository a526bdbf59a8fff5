"""Runs the local server from start to end: signals, stdin, announcement, clean exit.

The one place that starts and ends the recognizer, the listener and the books.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from pipeline.errors import ConfigError, OutputError
from pipeline.gradium import wire
from pipeline.server.connection import Connections
from pipeline.server.endpoint import Endpoint
from pipeline.server.faults.load import load_plan
from pipeline.server.faults.plan import Plan
from pipeline.server.ledger import Ledger
from pipeline.server.listener import Listener
from pipeline.server.options import ServerOptions
from pipeline.server.recognizer import Recognizer, load_recognizer

ANY_HOST = ("0.0.0.0", "::", "")  # noqa: S104  compared, not bound
STDIN = 0
READ_BUFFER_BYTES = 1 << 18
IDLE_S = 75.0
"""A connection without a request is kept as long."""
LINGERING_S = 5.0
"""As long the rest of a body that was refused is read away, so that its sender hears why."""


def serve(options: ServerOptions) -> None:
    """Serves until SIGTERM, SIGINT or, when asked for, the end of stdin.

    Raises ConfigError for a bad faults file or recognizer name, or where strangers could ask it without a key,
    LocalServerError when a library is missing or the
    address cannot be had, OutputError when the request log cannot be written.
    """
    if options.key is None and not is_loopback(options.host):
        raise ConfigError(
            f"Others than this machine can reach the host {options.host!r}, and the server would let in any key: set "
            f"GRADIUM_API_KEY to the one that it is to ask for, or leave --host out."
        )
    plan = load_plan(Path(options.faults)) if options.faults else Plan()
    recognizer = load_recognizer(options)
    try:
        ledger = Ledger(Path(options.request_log) if options.request_log else None)
    except OSError as error:
        raise OutputError(f"The request log {options.request_log} cannot be written: {error.strerror}.") from error
    try:
        asyncio.run(run(options, recognizer, plan, ledger))
    finally:
        ledger.close()


async def run(options: ServerOptions, recognizer: Recognizer, plan: Plan, ledger: Ledger) -> None:
    """Serves until the server is told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.until_stdin_eof:
        threading.Thread(target=watch_stdin, args=(loop, stop), daemon=True).start()
    listener = Listener(options.host, options.port)
    endpoint = Endpoint(options, recognizer=recognizer, plan=plan, ledger=ledger, listener=listener)
    # a handler is cancelled when its client goes, so that a hung request does not hold its session for ever
    server = Connections(
        endpoint.handle,
        head_s=options.head_s,
        handler_cancellation=True,
        access_log=None,
        read_bufsize=READ_BUFFER_BYTES,
        keepalive_timeout=IDLE_S,
        lingering_time=LINGERING_S,
    )
    port = await listener.open(server)
    try:
        if options.announce:
            told = {"url": f"http://{url_host(options.host)}:{port}{wire.PATH}"}
            if options.host in ANY_HOST:  # the URL is for this machine only, and others reach it as well
                told["listens_on"] = f"every address of this machine, port {port}"
            print(json.dumps(told), flush=True)
        await recognizer.start()
        await stop.wait()
    finally:
        await listener.close()
        await recognizer.close()


def is_loopback(host: str) -> bool:
    """Says whether only this machine can reach what listens on the host."""
    try:
        found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return True  # nothing can listen there, which is told when it is tried
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)


def url_host(host: str) -> str:
    """Returns the host as it stands in a URL: an IPv6 address in brackets, "any address" as this machine."""
    if host in ANY_HOST:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stops the server when stdin ends: the process that holds its other end is gone, or wants no more."""
    try:
        while os.read(STDIN, 4096):
            pass
    except OSError:
        print("The local server cannot read its stdin and stops.", file=sys.stderr)
    loop.call_soon_threadsafe(stop.set)
