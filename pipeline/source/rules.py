"""How sources are asked: what the settings say of it, as plain values."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pipeline.built import built
from pipeline.source.addresses import OBJECTS, place_of

_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+):[0-9]{1,5}")


@built
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

    @staticmethod
    def of(settings: dict[str, Any]) -> Rules:
        """From the settings of both sections, of which there may be more."""
        return msgspec.convert(settings, Rules)

    def deadline_s(self, size_bytes: int) -> float:
        """The longest that so many bytes may take."""
        return self.timeout_s + self.per_mib_s * size_bytes / (1 << 20)


def checked_places(named: tuple[str, ...]) -> tuple[str, ...]:
    """Raises ValueError, with a message for users, for one that would allow nothing."""
    if wrong := next((one for one in named if not _HOST_AND_PORT.fullmatch(one.strip())), None):
        raise ValueError(f"{wrong!r} names no host and port; write host:port, such as minio.internal:9000")
    return named


def checked_buckets(named: tuple[str, ...]) -> tuple[str, ...]:
    """Raises ValueError, with a message for users, for one that is no bucket's."""
    for one in named:
        scheme, _, bucket = place_of(one).partition("://")
        if scheme not in OBJECTS or not bucket:
            raise ValueError(f"{one!r} names no bucket; write s3://BUCKET, gs://BUCKET or az://CONTAINER")
    return named
