"""Accounts whose balance is said by a test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipeline.gradium.wire import Credits
from pipeline.pool import Account

Told = float | str | Exception | None
"""Credits, why they are not known, what is raised instead, or None: no answer at all."""


def account_with(balance: Told | Callable[[], Told]) -> Account:
    """An account of which this is said whenever it is asked."""

    async def ask() -> Credits | str:
        told = balance() if callable(balance) else balance
        if told is None:
            await asyncio.Event().wait()
        await asyncio.sleep(0.05)
        if isinstance(told, Exception):
            raise told
        return told if isinstance(told, str) else Credits(remaining_credits=told or 0.0)

    return Account(ask)
