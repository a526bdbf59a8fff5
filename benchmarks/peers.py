"""What users would write instead: python -m benchmarks.peers PEER URL FOLDER IN_FLIGHT posts each file once.

Each is what a good engineer would write, and does no more than POST and read the answer: bodies as bytes, connections
that are kept. The imports are inside, so that each pays for its own.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

HEADERS = {"x-api-key": "gd_bench", "content-type": "audio/wav"}


def quickstart(url: str, paths: list[Path], in_flight: int) -> None:
    """The documentation's: one after another."""
    import requests

    for path in paths:
        requests.post(url, headers=HEADERS, data=path.read_bytes(), timeout=60).raise_for_status()


def threads(url: str, paths: list[Path], in_flight: int) -> None:
    import threading
    from concurrent.futures import ThreadPoolExecutor

    import requests

    of_thread = threading.local()

    def start() -> None:
        of_thread.session = requests.Session()

    def one(path: Path) -> None:
        of_thread.session.post(url, headers=HEADERS, data=path.read_bytes(), timeout=60).raise_for_status()

    with ThreadPoolExecutor(in_flight, initializer=start) as pool:
        list(pool.map(one, paths))


def plain_httpx(url: str, paths: list[Path], in_flight: int) -> None:
    import httpx

    async def main() -> None:
        slots = asyncio.Semaphore(in_flight)
        # the limits that are the default keep 20 connections, and open a new one for almost every request beyond
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx.AsyncClient(timeout=60, limits=limits) as client:

            async def one(path: Path) -> None:
                async with slots:
                    (await client.post(url, headers=HEADERS, content=path.read_bytes())).raise_for_status()

            await asyncio.gather(*map(one, paths))

    asyncio.run(main())


def bare_aiohttp(url: str, paths: list[Path], in_flight: int) -> None:
    import aiohttp

    async def main() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def worker(rest: Iterator[Path]) -> None:
                for path in rest:
                    # the bytes, because aiohttp reads an open file in threads, which takes three times as long
                    async with session.post(url, headers=HEADERS, data=path.read_bytes()) as response:
                        response.raise_for_status()
                        await response.read()

            rest = iter(paths)
            await asyncio.gather(*(worker(rest) for _ in range(in_flight)))

    asyncio.run(main())


def bare_pyreqwest(url: str, paths: list[Path], in_flight: int) -> None:
    from pyreqwest.client import ClientBuilder

    async def main() -> None:
        async with ClientBuilder().build() as client:

            async def worker(rest: Iterator[Path]) -> None:
                for path in rest:
                    request = client.post(url).headers(HEADERS).body_bytes(path.read_bytes()).build()
                    await (await request.send()).bytes()

            rest = iter(paths)
            await asyncio.gather(*(worker(rest) for _ in range(in_flight)))

    asyncio.run(main())
    os._exit(0)  # at a usual exit it aborts, in half of the runs


LOOPS: dict[str, Callable[[str, list[Path], int], None]] = {
    "quickstart": quickstart,
    "threads": threads,
    "httpx": plain_httpx,
    "aiohttp": bare_aiohttp,
    "pyreqwest": bare_pyreqwest,
}
"""Peers in Python."""


def _installed() -> list[str]:
    tools = {"xargs curl": "curl", "curl parallel": "curl", "h2load": "h2load"}
    there = [*LOOPS, *(name for name, tool in tools.items() if shutil.which(tool))]
    return [name for name in there if name != "pyreqwest" or find_spec("pyreqwest")]


PEERS = _installed()
"""Those that this machine has."""


def peer_command(name: str, folder: Path, in_flight: int, url: str) -> list[str]:
    """The command that posts each file of the folder once; h2load posts one of them as often as there are files."""
    headers = [word for key, value in HEADERS.items() for word in ("-H", f"{key}: {value}")]
    paths = sorted(folder.iterdir())
    match name:
        case "xargs curl":
            curl = ["curl", "-sf", "-o", "/dev/null", *headers, "--data-binary", "@{}", url]
            return ["sh", "-c", f"ls -d {shlex.quote(str(folder))}/* | xargs -P{in_flight} -I{{}} {shlex.join(curl)}"]
        case "curl parallel":
            config = folder.parent / f"{folder.name}.curl"
            common = "".join(f'header = "{key}: {value}"\n' for key, value in HEADERS.items())
            each = (
                f'url = "{url}"\n{common}data-binary = "@{path}"\noutput = "/dev/null"\nfail\nsilent\n'
                for path in paths
            )
            config.write_text("next\n".join(each))
            return ["curl", "--parallel", "--parallel-max", str(in_flight), "-K", str(config)]
        case "h2load":
            clients = str(min(in_flight, len(paths)))
            return ["h2load", "--h1", "-n", str(len(paths)), "-c", clients, "-d", str(paths[0]), *headers, url]
    return [sys.executable, "-m", "benchmarks.peers", name, url, str(folder), str(in_flight)]


if __name__ == "__main__":
    peer, address, files, slots = sys.argv[1:]
    LOOPS[peer](address, sorted(Path(files).iterdir()), int(slots))
