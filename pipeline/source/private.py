"""Which addresses of the network are private, so that nothing is read from them unless the settings name them. Pure.

A manifest is data from elsewhere: it must not make this machine ask services of its own network for it.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_V6_IN_USE = IPv6Network("2000::/3")
_V4_IN_V6 = IPv6Network("64:ff9b::/96")
"""Networks without IPv4 reach IPv4 addresses by these."""
_PROTOCOLS = 0xC0000000 >> 8
"""192.0.0.0/24, of which newer versions of Python count some as global."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet: not of this machine, a private network, a provider's network, the
    data service of a cloud's machine (169.254.169.254), or several machines."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        if (inner := _inner(found)) is None:
            return found.is_global and found in _V6_IN_USE
        found = inner
    return found.is_global and not found.is_multicast and int(found) >> 8 != _PROTOCOLS


def is_named(host: str, port: int, named: Collection[str]) -> bool:
    """Whether the settings name a host, or an IP address, as `host:port`."""
    return written(host, port) in (one.strip().lower() for one in named)


def written(host: str, port: int) -> str:
    """A place as `host:port`, for IPv6 `[::1]:port`."""
    host = host.lower().strip("[]")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for."""
    if address in _V4_IN_V6:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
