"""Connections to web servers: to no private address that is not named, and not beyond the deadline of a call.

`httpcore` calls these in place of its own. The address that was checked is the one that is connected to, so that a
name that soon resolves to another one gains nothing.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore

from pipeline.errors import AddressRefused, SourceTimeout, SourceUnreachable
from pipeline.source.private import is_named, is_public, written
from pipeline.source.rules import Rules
from pipeline.threads import DaemonThreads


class Deadline:
    """When one call has to be over. Takes the place of the seconds in httpcore's timeouts, which are for one read, so
    that a server that sends a byte now and then would never exceed them. Mutable: what came gives more time, not what
    a server says will come."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._begun = time.monotonic()
        self.came_bytes = 0

    def left_s(self) -> float:
        """Raises SourceTimeout."""
        allowed_s = self._rules.deadline_s(self.came_bytes)
        left = self._begun + allowed_s - time.monotonic()
        if left <= 0:
            raise SourceTimeout(f"the answer did not end within {allowed_s:,.1f} s; see sources.timeout_s")
        return left


def timeouts(deadline: Deadline) -> dict[str, Any]:
    """The extensions of a request that has this deadline."""
    return {"timeout": dict.fromkeys(("connect", "read", "write"), deadline)}


class Connections(httpcore.NetworkBackend):
    """Makes connections."""

    def __init__(self, allow_private: tuple[str, ...]) -> None:
        self._allow_private = allow_private
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Any = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Tries all addresses of the host. Raises AddressRefused, SourceUnreachable or SourceTimeout."""
        deadline: Deadline = timeout
        addresses = _addresses(host, port, deadline)
        if not is_named(host, port, self._allow_private):
            for address in addresses:
                if not (is_public(address) or is_named(address, port, self._allow_private)):
                    place = written(host, port)
                    raise AddressRefused(
                        f"{place} is on a private network or this machine ({address}); if recordings may be read from "
                        f'there, name it: sources.allow_private = ["{place}"]'
                    )
        for others, address in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True):
            try:
                share_s = deadline.left_s() / (others + 1)
                stream = self._plain.connect_tcp(address, port, share_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not others:
                    raise
            else:
                return Stream(stream)
        raise SourceUnreachable(f"{host} has no address")


class Stream(httpcore.NetworkStream):
    """One connection."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self.last = b""
        """What was read last."""

    def read(self, max_bytes: int, timeout: Any = None) -> bytes:
        self.last = self._stream.read(max_bytes, timeout.left_s())
        return self.last

    def write(self, buffer: bytes, timeout: Any = None) -> None:
        self._stream.write(buffer, timeout.left_s())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: Any = None
    ) -> httpcore.NetworkStream:
        encrypted = self._stream.start_tls(ssl_context, server_hostname, timeout.left_s())
        # an answer without a length is whole only where TLS says that it ended, instead of breaking off
        encrypted.get_extra_info("socket").suppress_ragged_eofs = False
        return Stream(encrypted)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _addresses(host: str, port: int, deadline: Deadline) -> list[str]:
    """The IP addresses of a host. Raises SourceUnreachable or SourceTimeout."""
    # in a thread of its own: nothing else limits how long a name server may take
    thread = DaemonThreads(1, "resolve")
    asked = thread.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    thread.shutdown(wait=False)  # once it is done
    try:
        found = asked.result(deadline.left_s())
    except TimeoutError:
        raise SourceTimeout(f"the address of {host} was not found in time") from None
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no valid name"
        raise SourceUnreachable(f"the address of {host} cannot be found: {why}") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
