"""The local server as a child of this process, for as long as a block runs.

Starts and ends one process; talks to it through its pipes only, which never block either side.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from pipeline.built import built
from pipeline.errors import ConfigError, LocalServerError
from pipeline.server.options import KEY_ENV, ServerOptions
from pipeline.workers import python_command

START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 5.0
STDERR_LINES = 5
REFUSED_OPTIONS = 2
"""The server's exit status for options that it does not take."""
PIPE_BYTES = 1 << 16


@built
class Announcement(msgspec.Struct, frozen=True):
    """The line by which a server says that it listens."""

    url: str


@asynccontextmanager
async def embedded_server(
    recognizer: str = "pocketsphinx",
    *,
    faults: str | Path | None = None,
    options: ServerOptions | None = None,
    start_deadline_s: float = START_DEADLINE_S,
) -> AsyncIterator[tuple[str, str]]:
    """Yields (url, key) of a server that is ended with the block, and with this process whatever becomes of it.

    `options` sets the rest; host, port, key, announcement and end are settled here.
    Raises LocalServerError when the server does not come up, with what it said last.
    """
    key = f"gd_local_{secrets.token_hex(16)}"
    settings = msgspec.structs.replace(
        options or ServerOptions(),
        recognizer=recognizer,
        faults=str(faults) if faults is not None else None,
        host="127.0.0.1",
        port=0,
        key=None,
        announce=True,
        until_stdin_eof=True,
    )
    process = await asyncio.create_subprocess_exec(
        *command(settings),
        env=environment(key),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Ctrl-C in a terminal is for the pipeline, which still wants the answers that are under way
        process_group=0,
    )
    said: deque[str] = deque(maxlen=STDERR_LINES)
    reading = [asyncio.create_task(drain(process.stderr, said))]
    try:
        try:
            url = await announced(process.stdout, said, reading[0], start_deadline_s)
        except LocalServerError as error:
            if process.stdout is not None and process.stdout.at_eof():  # it is ending by itself: wait for its status
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), STOP_DEADLINE_S)
            if process.returncode == REFUSED_OPTIONS:  # a recognizer or a faults file that the user named
                raise ConfigError(str(error)) from None
            raise
        # nothing more is to come there, but a recognizer that prints must not be stopped by a full pipe
        reading.append(asyncio.create_task(drain(process.stdout, said)))
        yield url, key
    finally:
        await stop(process)
        await asyncio.gather(*reading)


def command(options: ServerOptions) -> list[str]:
    """Returns the command that serves with these options; the key is not among its words."""
    return python_command("pipeline.server.__main__", msgspec.json.encode(options).decode())


def environment(key: str | None) -> dict[str, str]:
    """Returns this process's environment with the key."""
    return {**os.environ, **({KEY_ENV: key} if key else {})}


async def announced(
    stdout: asyncio.StreamReader | None, said: deque[str], listening: asyncio.Task[None], deadline_s: float
) -> str:
    """Returns the URL that the server announces; raises LocalServerError when it does not."""
    if stdout is None:
        raise RuntimeError("the server's stdout is not a pipe")
    try:
        line = await asyncio.wait_for(stdout.readline(), deadline_s)
    except TimeoutError as error:
        raise LocalServerError(f"The local server did not come up within {deadline_s:g} s{last_words(said)}") from error
    try:
        return msgspec.json.decode(line, type=Announcement).url
    except msgspec.DecodeError as error:
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(listening), STOP_DEADLINE_S)
        raise LocalServerError(f"The local server did not start{last_words(said)}") from error


def last_words(said: deque[str]) -> str:
    """Returns the end of a sentence that quotes what the server wrote last."""
    if not said:
        return ", and said nothing."
    words = " / ".join(said)
    return f": {words}" if words.endswith((".", "?", "!")) else f": {words}."


async def drain(stream: asyncio.StreamReader | None, said: deque[str]) -> None:
    """Reads to the end, so that the server never waits for a reader; keeps the last lines."""
    pending = b""
    while stream is not None and (chunk := await stream.read(PIPE_BYTES)):
        *whole, pending = (pending + chunk).split(b"\n")
        pending = pending[-PIPE_BYTES:]
        said.extend(line.decode(errors="replace").strip() for line in whole if line.strip())
    if pending.strip():
        said.append(pending.decode(errors="replace").strip())


async def stop(process: asyncio.subprocess.Process) -> None:
    """Ends the server: closes its stdin, asks it by SIGTERM, kills it when it does not listen."""
    if process.stdin is not None:
        process.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            process.send_signal(number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_DEADLINE_S)
            return
