"""The local server as a child process, for the duration of a `with` block.

Starts and ends one process; talks to it through its pipes only, which never block either side.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec

from pipeline.built import built
from pipeline.errors import ConfigError, LocalServerError
from pipeline.interpreter import python_command
from pipeline.server.options import KEY_ENV, ServerOptions

START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 5.0
LOOK_S = 0.01
REFUSED_OPTIONS = 2
"""The server's exit status for options that it does not take."""
PIPE_BYTES = 1 << 16
QUOTED_LINES, QUOTED_BYTES = 5, 1 << 13
"""The last of what the server wrote, for error messages."""


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
    """Yields (url, key) of a server that is ended with the block, and with this process however it ends.

    `options` sets the rest; host, port, key, announcement and end are decided here.
    Raises ConfigError when the server refuses the recognizer or the faults file, LocalServerError when it does not
    start, with what it wrote last.
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
    # not asyncio's own: that asks a policy of the whole program, which may have none for processes (uvloop's)
    process = subprocess.Popen(  # noqa: ASYNC220, S603 it returns once the process has started
        command(settings),
        env=environment(key),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Ctrl-C in a terminal is for the pipeline, which still wants the answers in flight
        process_group=0,
    )
    output = bytearray()
    try:
        stdout, stderr = await _reader(process.stdout), await _reader(process.stderr)
    except BaseException:  # cancelled at once: nothing is read yet
        process.kill()
        process.wait()
        raise
    reading = [asyncio.create_task(_drain(stderr, output))]
    try:
        url = await _announced_url(process, stdout, reading[0], output, start_deadline_s)
        # nothing more is to come there, but a recognizer that prints must not be stopped by a full pipe
        reading.append(asyncio.create_task(_drain(stdout, output)))
        yield url, key
    finally:
        await _stop(process)
        await asyncio.gather(*reading)
        await _drain(stdout, output)  # where it was cancelled before: at its end the pipe is closed


def command(options: ServerOptions) -> list[str]:
    """Returns the command that serves with these options; the key is not among its words."""
    return python_command("pipeline.server.serve", msgspec.json.encode(options).decode())


def environment(key: str | None) -> dict[str, str]:
    """Returns this process's environment with the key."""
    return {**os.environ, **({KEY_ENV: key} if key else {})}


async def _reader(pipe: IO[bytes] | None) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


async def _announced_url(
    process: subprocess.Popen[bytes],
    stdout: asyncio.StreamReader,
    reading: asyncio.Task[None],
    output: bytearray,
    deadline_s: float,
) -> str:
    try:
        line = await asyncio.wait_for(stdout.readline(), deadline_s)
    except TimeoutError as error:
        raise LocalServerError(f"The local server did not come up within {deadline_s:g} s{_quoted(output)}") from error
    try:
        return msgspec.json.decode(line, type=Announcement).url
    except msgspec.DecodeError as error:
        with suppress(TimeoutError):  # it is ending by itself: its last lines and its exit status are to come
            await asyncio.wait_for(asyncio.gather(asyncio.shield(reading), _ended(process)), STOP_DEADLINE_S)
        kind = ConfigError if process.returncode == REFUSED_OPTIONS else LocalServerError
        raise kind(f"The local server did not start{_quoted(output)}") from error


def _quoted(output: bytearray) -> str:
    """Returns the end of a sentence that quotes what the server wrote last."""
    lines = [line.strip() for line in output.decode(errors="replace").split("\n") if line.strip()]
    if not lines:
        return ", and said nothing."
    text = " / ".join(lines[-QUOTED_LINES:])
    return f": {text}" if text.endswith((".", "?", "!")) else f": {text}."


async def _drain(stream: asyncio.StreamReader, output: bytearray) -> None:
    """Reads to the end, so that the server never waits for a reader; keeps the last bytes."""
    while chunk := await stream.read(PIPE_BYTES):
        output += chunk
        del output[:-QUOTED_BYTES]


async def _ended(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:  # noqa: ASYNC110 nothing tells that it has ended
        await asyncio.sleep(LOOK_S)


async def _stop(process: subprocess.Popen[bytes]) -> None:
    """Closes the server's stdin, which ends it; sends SIGTERM, and SIGKILL when it does not end in time."""
    if process.stdin is not None:
        process.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            process.send_signal(number)
        with suppress(TimeoutError):
            await asyncio.wait_for(_ended(process), STOP_DEADLINE_S)
            return
