"""Runs the local server from start to end: signals, stdin, announcement, clean exit.

The one place that starts and ends the recognizer, the listener and the books.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path

from aiohttp import web

from pipeline.errors import OutputError
from pipeline.gradium import wire
from pipeline.server.endpoint import Endpoint
from pipeline.server.faults.load import load_plan
from pipeline.server.faults.plan import Plan
from pipeline.server.ledger import Ledger
from pipeline.server.listener import Listener
from pipeline.server.options import ServerOptions
from pipeline.server.recognizer import Recognizer, load_recognizer

STDIN = 0
READ_BUFFER_BYTES = 1 << 18


def serve(options: ServerOptions) -> None:
    """Serves until SIGTERM, SIGINT or, when asked for, the end of stdin.

    Raises ConfigError for a bad faults file or recognizer name, LocalServerError when a library is missing or the
    address cannot be had, OutputError when the request log cannot be written.
    """
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
    server = web.Server(endpoint.handle, handler_cancellation=True, access_log=None, read_bufsize=READ_BUFFER_BYTES)
    port = await listener.open(server)
    try:
        if options.announce:
            print(json.dumps({"url": f"http://{url_host(options.host)}:{port}{wire.PATH}"}), flush=True)
        await recognizer.start()
        await stop.wait()
    finally:
        await listener.close()
        await recognizer.close()


def url_host(host: str) -> str:
    """Returns the host as it stands in a URL: an IPv6 address in brackets, "any address" as this machine."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104  compared, not bound
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
