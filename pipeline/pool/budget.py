"""The spending limit of a run: credits are reserved before a request is sent, so that concurrent ones keep to it."""

from __future__ import annotations

import math

ROUNDING = 1e-6
"""Larger than the rounding error in a sum of prices."""


class Budget:
    """Credits reserved, spent and left. A limit of None is no limit."""

    def __init__(self, limit: float | None, most: float | None = None) -> None:
        """`most` is what a later run may spend, where that is more than this one's limit."""
        self._limit = limit
        self._most = limit if most is None else most
        self._spent = 0.0
        self._reserved = 0.0
        self._open = 0
        """Number of requests with reserved credits."""

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return self._limit is not None

    @property
    def left(self) -> float:
        """The most that a request may still cost, if all that is reserved turns out to cost nothing."""
        return math.inf if self._limit is None else self._limit - self._spent + ROUNDING

    def is_above(self, price: float) -> bool:
        """Whether a request of this price would not fit even if nothing had been spent."""
        return self._most is not None and price > self._most + ROUNDING

    def can_reserve(self, price: float) -> bool:
        """Whether a request of this price fits now."""
        return self._limit is None or self._spent + self._reserved + price <= self._limit + ROUNDING

    def may_fit_later(self, price: float) -> bool:
        """Whether it fits if requests in flight turn out to cost nothing."""
        return self._open > 0 and price <= self.left

    def reserve(self, price: float) -> None:
        """Reserves the price of a request that is about to be sent."""
        self._reserved += price
        self._open += 1

    def settle(self, price: float, *, billed: bool) -> None:
        """Ends a reservation; `billed` also if the request only may have been billed."""
        self._open -= 1
        self._reserved = self._reserved - price if self._open else 0.0
        if billed:
            self._spent += price
