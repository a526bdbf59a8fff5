"""How sources are asked: what the settings say of it, as plain values."""

from __future__ import annotations

import msgspec


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of `sources.*`, and those of `retry.*` that sources share with the service."""

    allow_private: tuple[str, ...] = ()
    """`host:port` of private or loopback addresses that may be read from."""
    anonymous: tuple[str, ...] = ()
    """Buckets, such as `s3://bucket`, that are read without credentials."""
    timeout_s: float = 60.0
    """For an answer to begin, and to end, plus …"""
    per_mib_s: float = 10.0
    """… so much for each MiB of it."""
    max_attempts: int = 6
    base_s: float = 0.5
    max_s: float = 60.0
    probe_s: float = 1.0
    outage_max_s: float = 1800.0

    def deadline_s(self, size_bytes: int) -> float:
        """The longest that so many bytes may take."""
        return self.timeout_s + self.per_mib_s * size_bytes / (1 << 20)
