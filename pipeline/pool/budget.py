"""The most a run may spend: credits are reserved before a request is sent, so that no number of requests goes over."""

from __future__ import annotations

import math

ROUNDING = 1e-6
"""Sums of many prices are off by less."""


class Budget:
    """Credits reserved, spent and left. A limit of None is none."""

    def __init__(self, limit: float | None, most: float | None = None) -> None:
        """`most` is what another run may have to spend, where that is more than is left for this one."""
        self._limit = limit
        self._most = limit if most is None else most
        self._spent = 0.0
        self._reserved = 0.0
        self._open = 0
        """Requests for which credits are reserved."""

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return self._limit is not None

    @property
    def left(self) -> float:
        """The most that a request may cost from now on; what is reserved may turn out to cost nothing."""
        return math.inf if self._limit is None else self._limit - self._spent + ROUNDING

    def is_above(self, price: float) -> bool:
        """Whether a request of this price would not fit if nothing had been spent."""
        return self._most is not None and price > self._most + ROUNDING

    def can_reserve(self, price: float) -> bool:
        """Whether a request of this price fits now."""
        return self._limit is None or self._spent + self._reserved + price <= self._limit + ROUNDING

    def may_fit_later(self, price: float) -> bool:
        """Whether it fits where requests in flight turn out to cost nothing."""
        return self._open > 0 and price <= self.left

    def reserve(self, price: float) -> None:
        """A request is about to be sent."""
        self._reserved += price
        self._open += 1

    def settle(self, price: float, *, billed: bool) -> None:
        """A request came to its end; `billed` also when only perhaps."""
        self._open -= 1
        self._reserved = self._reserved - price if self._open else 0.0
        if billed:
            self._spent += price
