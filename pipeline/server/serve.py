"""Runs the local server from start to end: options, signals, stdin, announcement, clean exit.

The one place that starts and ends the recognizer, the listener and the ledger. `main` is the server as a child process
of the pipeline or of a test; users run `gradium-batch serve`.
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

import msgspec

from pipeline.errors import ConfigError, GradiumBatchError, OutputError, UsageError
from pipeline.gradium import wire
from pipeline.server.endpoint import LocalEndpoint
from pipeline.server.faults.plan import FaultPlan, load_plan
from pipeline.server.ledger import Ledger
from pipeline.server.listener import Listener
from pipeline.server.options import KEY_ENV, ServerOptions
from pipeline.server.recognizer import Recognizer, load_recognizer
from pipeline.server.service import Service

ANY_HOST = ("0.0.0.0", "::", "")  # noqa: S104  compared, not bound
STDIN = 0


def main() -> int:
    """Serves with the options in the first argument, as JSON, and the key in the environment.

    Returns the exit status: 0 stopped, 1 could not serve, 2 options or faults file wrong.
    """
    try:
        options = msgspec.json.decode(sys.argv[1] if len(sys.argv) > 1 else "{}", type=ServerOptions)
    except msgspec.DecodeError as error:
        print(f"The server options are invalid: {error}.", file=sys.stderr)
        return 2
    try:
        serve(msgspec.structs.replace(options, key=os.environ.pop(KEY_ENV, None)))
    except GradiumBatchError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


def serve(options: ServerOptions) -> None:
    """Serves until SIGTERM, SIGINT or, when asked for, the end of stdin.

    Raises ConfigError for a bad faults file or recognizer name, or where other machines could use it without a key,
    LocalServerError when a library is missing or the address cannot be used, OutputError when the request log cannot be
    written.
    """
    if options.key is None and not is_loopback(options.host):
        raise ConfigError(
            f"Others than this machine can reach the host {options.host!r}, and the server would let in any key: set "
            f"GRADIUM_API_KEY to the one that it is to ask for, or leave --host out."
        )
    plan = load_plan(Path(options.faults)) if options.faults else FaultPlan()
    recognizer = load_recognizer(options)
    try:
        ledger = Ledger(Path(options.request_log) if options.request_log else None, linger_s=options.linger_s)
    except OSError as error:
        raise OutputError(f"The request log {options.request_log} cannot be written: {error.strerror}.") from error
    try:
        asyncio.run(_run(options, recognizer, plan, ledger))
    finally:
        ledger.close()


async def _run(options: ServerOptions, recognizer: Recognizer, plan: FaultPlan, ledger: Ledger) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.until_stdin_eof:
        threading.Thread(target=_watch_stdin, args=(loop, stop), daemon=True).start()
    endpoint = LocalEndpoint(Service(options, recognizer=recognizer, plan=plan, ledger=ledger))
    listener = Listener(endpoint.handle, options.host, options.port, head_s=options.head_s)
    port = await listener.open()
    try:
        if options.announce:
            announcement = {"url": f"http://{_url_host(options.host)}:{port}{wire.PATH}"}
            if options.host in ANY_HOST:  # the URL is for this machine only, and others reach it as well
                announcement["listens_on"] = f"every address of this machine, port {port}"
            print(json.dumps(announcement), flush=True)
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
        return True  # nothing can listen there, which is reported when it is tried
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)


def _url_host(host: str) -> str:
    """Returns the host as it stands in a URL: an IPv6 address in brackets, "any address" as this machine."""
    if host in ANY_HOST:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stops the server when stdin ends: its parent has ended or has closed the pipe."""
    try:
        while os.read(STDIN, 4096):
            pass
    except OSError:
        print("The local server cannot read its stdin and stops.", file=sys.stderr)
    loop.call_soon_threadsafe(stop.set)
