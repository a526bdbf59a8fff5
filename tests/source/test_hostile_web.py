"""Random exchanges with a web server that is wrong, slow or hostile: what is fetched is the recording, or there is an
error, in time.

A server can lie so that nobody could tell (a shorter recording with the right length for it). These do not: each step
breaks an answer of a good server in a way that the answer itself, or the one before it, gives away.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from pipeline.errors import AttemptError, SourceOut
from pipeline.source import Sources
from pipeline.source.rules import Rules
from tests.https import Answer, Hosted, Raw, Seen, WebServer, https_server

SECRET = "5ec4e7ab12"  # noqa: S105
TIMEOUT_S = 0.25
ATTEMPTS = 3
SIZE = 9_000
"""In bytes: comes in one piece, so that what comes behind it is seen."""
CHUNKED: dict[str, str | None] = {"Content-Length": None, "Transfer-Encoding": "chunked"}
FIRST, OTHER = random.Random(1).randbytes(SIZE), random.Random(2).randbytes(SIZE)
KNOWN = {sha256(data).digest() for data in (FIRST, OTHER)}
VALIDATORS = {
    "etag": ({"etag": '"1"'}, {"etag": '"2"'}),
    "time": ({"etag": None, "modified": 1e9}, {"etag": None, "modified": 2e9}),
    "none": ({"etag": None, "modified": None},) * 2,
}


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"


def moved(seen: Seen) -> str:
    """The part that is asked for, or the whole, moved by a byte."""
    return re.sub(r"\d+", lambda found: str(int(found[0]) + 1), seen.headers.get("range", ""))


def broken(kind: str, number: int, answer: Answer, address: str) -> Answer | Raw:
    """An answer of a good server, broken."""
    body, size = answer.body, len(answer.body)
    at = number % size if size else 0

    def with_headers(**headers: str | None) -> Answer:
        return replace(answer, headers=answer.headers | {name.replace("_", "-"): one for name, one in headers.items()})

    def redirect(location: str) -> Answer:
        status = (301, 302, 303, 307, 308)[number % 5]
        return Answer(status, body[: number % 99], {"Location": location, "Set-Cookie": f"s={SECRET}"})

    part = f"bytes {at}-{max(at, size - 1)}/{SIZE}"
    return {
        "good": lambda: answer,
        "cut": lambda: replace(with_headers(Content_Length=str(size)), body=body[:at], close=True),
        "shorter told": lambda: with_headers(Content_Length=str(max(1, at))),
        "longer told": lambda: replace(with_headers(Content_Length=str(size + 1 + at)), close=True),
        "no length": lambda: replace(with_headers(Content_Length=None), close=bool(number % 2)),
        "chunked": lambda: replace(with_headers(**CHUNKED), body=chunked(body)),
        "chunked cut": lambda: replace(with_headers(**CHUNKED), body=chunked(body)[: at + 1], close=True),
        "status": lambda: replace(with_headers(Content_Range=None), status=201 + number % 400),
        "range told": lambda: with_headers(Content_Range=part),
        "range to a whole": lambda: replace(with_headers(Content_Range=part), status=206),
        "no range told": lambda: with_headers(Content_Range=None),
        "other part": lambda: replace(answer, body=body[1:]) if answer.status == 206 else answer,
        "nothing there": lambda: Answer(416, b"", {"Content-Range": f"bytes */{number}"}),
        "html": lambda: with_headers(Content_Type="text/html"),
        "gzip": lambda: with_headers(Content_Encoding="gzip"),
        "noise": lambda: Raw((random.Random(number).randbytes(number % 999),)),
        "odd header": lambda: Raw((b"HTTP/1.1 200 OK\r\n" + random.Random(number).randbytes(99) + b"\r\n\r\n",)),
        "behind": lambda: replace(answer, body=body + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother",
                                  headers={"Content-Length": str(size)} | answer.headers),
        "closed": lambda: Raw(()),
        "redirect": lambda: redirect(f"{address}?n={number}&sig={SECRET}"),
        "to http": lambda: redirect(f"http://127.0.0.1/?sig={SECRET}"),
        "to private": lambda: redirect(f"https://127.0.0.1:{1 + number % 60_000}/?sig={SECRET}"),
        "nowhere": lambda: redirect(f"https://[{SECRET}"),
        "slow body": lambda: replace(answer, drip=(max(1, size // (1 + number % 50)), 0.02)),
        "slow head": lambda: replace(answer, head_drip=0.02),
        "stuck": lambda: replace(with_headers(Content_Length=str(size + 1)), hang=True),
    }[kind]()  # fmt: skip


QUICK = [
    *["good", "cut", "next part"] * 4,
    "shorter told", "longer told", "no length", "chunked", "chunked cut", "status", "range told",
    "range to a whole", "no range told", "other part", "nothing there", "html", "gzip", "noise", "odd header", "behind",
    "closed", "no ranges", "redirect", "to http", "to private", "nowhere",
]  # fmt: skip
SLOW = ["slow body", "slow head", "stuck"]


Script = list[tuple[str, int, int]]


def steps(kinds: list[str]) -> st.SearchStrategy[Script]:
    """What is broken, a number for how, and which version of the recording is there; the last one stays so."""
    return st.lists(
        st.tuples(st.sampled_from(kinds), st.integers(0, 1 << 16), st.integers(0, 1)), min_size=1, max_size=6
    )


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    with https_server() as running:
        yield running


@pytest.fixture(autouse=True)
def _trusts(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", server.environment["SSL_CERT_FILE"])


def asked(server: WebServer, validator: str, script: Script, ask: Callable[[Sources, str], bytes]) -> bytes | None:
    """What is read from a server that answers so; None where there is an error instead."""
    versions = [Hosted(data, **more) for data, more in zip((FIRST, OTHER), VALIDATORS[validator], strict=True)]  # type: ignore[arg-type]

    def of(kind: str, number: int, version: int) -> Callable[[Seen], Answer | Raw]:
        if kind == "no ranges":
            return replace(versions[version], ranges=False).answer
        if kind == "next part":
            return lambda seen: versions[version].answer(replace(seen, headers={"range": moved(seen)}))
        return lambda seen: broken(kind, number, versions[version].answer(seen), server.url("/a.wav"))

    url = server.script("/a.wav", *[of(*step) for step in script])
    rules = Rules(
        allow_private=(server.address,), timeout_s=TIMEOUT_S, per_mib_s=0, max_attempts=ATTEMPTS, base_s=0.001,
        max_s=0.002, probe_s=0.001, outage_max_s=0.01,
    )  # fmt: skip
    begun, said, data = time.monotonic(), "fetched", None
    with Sources(rules) as sources:
        try:
            data = ask(sources, f"{url}?n=0")
        except (AttemptError, SourceOut) as error:
            said = f"{type(error).__name__}: {error}"
    assert time.monotonic() - begun < 3 * ATTEMPTS * TIMEOUT_S + 5
    event(said.partition(":")[0])
    assert SECRET not in said
    assert said.isprintable()
    assert len(said) < 500
    return data


def check(server: WebServer, path: Path, validator: str, script: Script, start: int, stop: int) -> None:
    def fetch(sources: Sources, url: str) -> bytes:
        with path.open("wb+", buffering=0) as file:
            sources.fetch(url, file, 10 * SIZE)
        return path.read_bytes()

    whole = asked(server, validator, script, fetch)
    assert whole is None or sha256(whole).digest() in KNOWN

    def read(sources: Sources, url: str) -> bytes:
        return sources.read(url, start, stop, sources.stat(url).version)

    part = asked(server, validator, [("good", 0, 0), *script], read)
    # without a validator another version of the same size is not told from the first
    known = {FIRST[start:stop], OTHER[start:stop]} if validator == "none" else {FIRST[start:stop]}
    assert part is None or part in known


def exchanges(kinds: list[str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Random scripts, and parts of the recording by start and length."""
    return given(st.sampled_from(sorted(VALIDATORS)), steps(kinds), st.integers(0, SIZE), st.integers(1, SIZE))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@exchanges(QUICK)
@example("none", [("cut", 4_000, 0), ("good", 0, 1)], 0, 10)
def test_what_is_fetched_is_the_recording_or_there_is_an_error(
    server: WebServer, tmp_path: Path, validator: str, script: Script, start: int, length: int
) -> None:
    check(server, tmp_path / "copy", validator, script, start, start + length)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@exchanges(QUICK + SLOW)
def test_also_where_answers_are_slow(
    server: WebServer, tmp_path: Path, validator: str, script: Script, start: int, length: int
) -> None:
    check(server, tmp_path / "copy", validator, script, start, start + length)
