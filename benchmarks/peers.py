"""What users would write instead: python -m benchmarks.peers PEER URL FOLDER IN_FLIGHT posts each file once.

Each does no more than POST and read the answer; the imports are inside, so that each pays for its own.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

HEADERS = {"x-api-key": "gd_bench", "content-type": "audio/wav"}


def quickstart(url: str, paths: list[Path], in_flight: int) -> None:
    """The documentation's: one after another."""
    import requests

    for path in paths:
        requests.post(url, headers=HEADERS, data=path.read_bytes(), timeout=60).raise_for_status()


def threads(url: str, paths: list[Path], in_flight: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(in_flight) as pool:
        list(pool.map(lambda path: quickstart(url, [path], 1), paths))


def plain_httpx(url: str, paths: list[Path], in_flight: int) -> None:
    import httpx

    async def main() -> None:
        slots = asyncio.Semaphore(in_flight)
        async with httpx.AsyncClient(timeout=60) as client:

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
                    with path.open("rb") as file:
                        async with session.post(url, headers=HEADERS, data=file) as response:
                            response.raise_for_status()
                            await response.read()

            rest = iter(paths)
            await asyncio.gather(*(worker(rest) for _ in range(in_flight)))

    asyncio.run(main())


PEERS: dict[str, Callable[[str, list[Path], int], None]] = {
    "quickstart": quickstart,
    "threads": threads,
    "httpx": plain_httpx,
    "aiohttp": bare_aiohttp,
}

if __name__ == "__main__":
    peer, url, folder, in_flight = sys.argv[1:]
    PEERS[peer](url, sorted(Path(folder).iterdir()), int(in_flight))
