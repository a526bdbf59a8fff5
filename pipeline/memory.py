"""Memory that is given back: the allocators of this process told to keep little of what they were handed back."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

_M_ARENA_MAX = -8


def keep_little() -> None:
    """To be called before other threads are started and before Arrow is loaded.

    glibc gives each thread a heap of its own, and Arrow has an allocator of its own: each keeps what it once took, so
    that a long run grew by 0.4 KB with each row.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
