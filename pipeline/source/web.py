"""Recordings on web servers, by https.

Requests carry nothing of this machine or its user: no key, no cookie, no Referer; the signature of an address goes to
its own server only. Redirects are followed here, each checked as the first address is.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import httpcore
import httpx

from pipeline.errors import (
    AddressRefused,
    ConfigError,
    SourceFault,
)
from pipeline.source import response_head
from pipeline.source.connections import Connections, Deadline, timeouts
from pipeline.source.protocol import Content, FileInfo, Listed
from pipeline.source.response_body import Answer, chunks_of, errors_of, finish
from pipeline.source.response_head import Head, Part
from pipeline.source.rules import Rules
from pipeline.source.signatures import Signatures

MOST_REDIRECTS = 5
KEPT_S = 30.0
"""Connections are used again within that, …"""
MOST_KEPT = 64
"""… as long as there are no more: each row may be another server's."""
MOST_HOST = 253
"""Characters of it in a message."""
MOST_DRAINED = 1 << 16
"""Bytes of an answer that is not wanted, read so that its connection can be used again."""


class Web:
    """Web servers; see `Store`."""

    def __init__(self, rules: Rules, signatures: Signatures) -> None:
        """Raises ConfigError where the environment names certificates that cannot be read."""
        self._rules = rules
        self._signatures = signatures
        # httpx makes its connections with this as well, but takes no other network backend
        self._pool = httpcore.ConnectionPool(
            ssl_context=_trust(),
            max_connections=None,
            max_keepalive_connections=MOST_KEPT,
            keepalive_expiry=KEPT_S,
            network_backend=Connections(rules.allow_private),
        )

    def stat(self, address: str) -> FileInfo:
        deadline = Deadline(self._rules)
        answer = self._ask("HEAD", address, None, deadline)
        finish(answer)
        head = answer.head
        if head.status == response_head.WHOLE and response_head.why_no_audio(head, address) is None:
            return response_head.info_of(head, address)
        if isinstance(failed := response_head.failure(head, is_signed=False), SourceFault):
            raise failed
        # many servers, and addresses that are signed for GET, refuse HEAD or answer it wrongly
        part, answer = self._part(address, 0, 1, None, deadline)
        answer.response.close()
        return part.info

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        raise AddressRefused(f"{prefix}: a web server cannot be listed; name its recordings in a manifest")

    def get(self, address: str, start: int = 0, stop: int | None = None, *, version: str | None = None) -> Content:
        deadline = Deadline(self._rules)
        part, answer = self._part(address, start, stop, version, deadline)
        chunks = chunks_of(answer, part, deadline)
        next(chunks)  # begun, so that it closes the answer also where nobody reads it
        return Content(part.info, chunks)

    def close(self) -> None:
        self._pool.close()

    def _part(
        self, address: str, start: int, stop: int | None, version: str | None, deadline: Deadline
    ) -> tuple[Part, Answer]:
        """The answer to a request for a part, checked. Close it."""
        answer = self._ask("GET", address, (start, stop) if start or stop is not None else None, deadline)
        try:
            if error := response_head.failure(answer.head, is_signed=self._signatures.signed(address) != address):
                raise error
            return response_head.part_of(answer.head, address, start, stop, version), answer
        except BaseException:
            answer.response.close()
            raise

    def _ask(self, method: str, address: str, part: tuple[int, int | None] | None, deadline: Deadline) -> Answer:
        """The answer of the last server that the address leads to. Close it."""
        headers = [("Accept", "*/*"), ("Accept-Encoding", "identity"), ("User-Agent", _user_agent())]
        if part:
            start, stop = part
            headers.append(("Range", f"bytes={start}-{'' if stop is None else stop - 1}"))
        url = _parsed(self._signatures.signed(address))
        first = _host(url)
        for followed in range(MOST_REDIRECTS + 1):
            try:
                answer = self._send(method, url, headers, deadline)
            except AddressRefused as error:
                raise AddressRefused(f"{first} redirects elsewhere: {error}" if followed else str(error)) from None
            location = answer.head.headers.get("location")
            if answer.head.status not in response_head.REDIRECTS or not location:
                return answer
            length = 0 if method == "HEAD" else answer.head.length
            if length is not None and length <= MOST_DRAINED:
                finish(answer)
            answer.response.close()
            url = _parsed(location, url)
        raise AddressRefused(f"{first} redirects more than {MOST_REDIRECTS} times")

    def _send(self, method: str, url: httpx.URL, headers: Sequence[tuple[str, str]], deadline: Deadline) -> Answer:
        _check(url)
        host = _host(url)
        asked = httpcore.Request(
            method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=[("Host", url.netloc.decode("ascii")), *headers],
            extensions=timeouts(deadline),
        )
        with errors_of(host):
            response = self._pool.handle_request(asked)
        return Answer(Head(host, response.status, httpx.Headers(response.headers)), response)


def _parsed(address: str, base: httpx.URL | None = None) -> httpx.URL:
    """Raises AddressRefused."""
    try:
        return base.join(address) if base is not None else httpx.URL(address)
    except (httpx.InvalidURL, ValueError):
        what = "what is named" if base is None else f"what {_host(base)} redirects to"
        raise AddressRefused(f"{what} is no valid https:// address") from None


def _check(url: httpx.URL) -> None:
    """Raises AddressRefused, without what the address has beside its host."""
    if url.scheme != "https":
        raise AddressRefused(f"{_host(url)} would not be read by https://, so not encrypted")
    if not url.host or len(url.raw_host) > MOST_HOST or "%" in _host(url) or (url.port or 1) not in range(1, 1 << 16):
        raise AddressRefused("the address names no host and port that can be")
    if url.userinfo:
        raise AddressRefused(
            f"the address has a user name or a password before {_host(url)}, which is not sent; use a signed address"
        )


def _host(url: httpx.URL) -> str:
    return url.raw_host[:MOST_HOST].decode("ascii", "replace")


def _trust() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context(trust_env=True)
    except OSError:
        raise ConfigError(
            "the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read; name a file of certificates in "
            "PEM form, or unset it"
        ) from None


@cache
def _user_agent() -> str:
    try:
        return f"gradium-batch/{version('gradium-batch')}"
    except PackageNotFoundError:
        return "gradium-batch"
