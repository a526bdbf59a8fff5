"""What can be named as a recognizer and is none, and one that is."""

from __future__ import annotations

import sys
from typing import NoReturn

from pipeline.server.options import ServerOptions
from tests.server.own_recognizer import Parrot

value = 7


def called() -> NoReturn:
    print("it was called", flush=True)
    sys.exit(1)


def untyped(options):  # type: ignore[no-untyped-def]
    called()


def mistyped(options: ServerOptions) -> int:
    called()


def typed(options: ServerOptions) -> Parrot:
    return Parrot(options)


class Half:
    """Has the methods, but not all of them are async."""

    def __init__(self, options: ServerOptions) -> None:
        called()

    async def start(self) -> None: ...

    def recognize(self) -> None: ...

    async def close(self) -> None: ...


class Raises(Parrot):
    def __init__(self, options: ServerOptions) -> None:
        raise ValueError("no model")
