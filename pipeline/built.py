"""Builds msgspec's decoder of a Struct where the Struct is defined."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")


def built(kind: type[T]) -> type[T]:
    """Decorates a Struct that anything is decoded or converted into.

    msgspec (0.22) finds out about a Struct when it is first decoded, and keeps what it has on the type while it is not
    ready yet: threads that do so at the same moment see half of it, and the process dies of SIGSEGV. An import is done
    by one thread, whichever it is.
    """
    msgspec.json.Decoder(kind)
    return kind
