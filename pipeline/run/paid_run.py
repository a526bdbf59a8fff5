"""One run by what the account paid and the lengths of its requests: what any price makes of it. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.bill import LENGTH_S
from pipeline.price import ROUNDING_S, Price

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TOLERANCE, TOLERANCE_SHARE = 1.0, 0.002
"""Credits, and share of what was paid, that a price may be wrong by in a run: balances may be whole credits, and of a
million lengths some lie at the edge of a unit."""


class PaidRun:
    """What one run paid, and for which lengths."""

    def __init__(self, lengths: Mapping[int, int], paid: float, step_s: float = LENGTH_S) -> None:
        """`lengths` are numbers of requests by length in steps of `LENGTH_S`, rounded to `step_s`."""
        import numpy as np  # here: `status` mostly needs none of it

        self.paid = paid
        self.tolerance = TOLERANCE + TOLERANCE_SHARE * paid
        self.lengths = np.asarray([*lengths], dtype=np.int64)
        self._lengths_s = self.lengths.astype(np.float64) * LENGTH_S
        self._counts: npt.NDArray[np.float64] = np.asarray([*lengths.values()], dtype=np.float64)
        self.requests = float(self._counts.sum())
        self.sent_s = float(self._lengths_s @ self._counts)
        self.rounded_s = self.requests * step_s
        """Seconds by which the rounded lengths may change what is billed: so many of them are at the edge of a unit
        that one unit more or less for each is about that."""
        self._units: dict[float, _Units] = {}

    def billed_s(self, unit_s: float, overhead_s: float) -> float:
        """Seconds that are billed in all."""
        if not unit_s:
            return self.sent_s + overhead_s * self.requests
        if (units := self._units.get(unit_s)) is None:
            units = self._units[unit_s] = _Units(self._lengths_s, self._counts, unit_s)
        return units.count(overhead_s) * unit_s

    def error(self, price: Price) -> float:
        """Credits by which the price is above what was paid."""
        return self.billed_s(price.unit_s, price.overhead_s) * price.credits_per_s - self.paid

    def fits(self, price: Price) -> bool:
        return abs(self.error(price)) <= self.tolerance


class _Units:
    """How many units some lengths take with any overhead; sorted once, so that each overhead is looked up."""

    def __init__(self, lengths_s: npt.NDArray[np.float64], counts: npt.NDArray[np.float64], unit_s: float) -> None:
        import numpy as np

        self._unit_s = unit_s
        units = np.maximum(np.ceil((lengths_s - ROUNDING_S) / unit_s), 1.0)
        room_s = units * unit_s - lengths_s
        order = np.argsort(room_s)
        self._room_s, self._more = room_s[order], np.concatenate(([0.0], np.cumsum(counts[order])))
        self._units, self._requests = float(units @ counts), float(counts.sum())

    def count(self, overhead_s: float) -> float:
        """The units of all lengths, each with the overhead."""
        whole, rest_s = divmod(overhead_s, self._unit_s)
        beyond = self._more[self._room_s.searchsorted(rest_s - ROUNDING_S)]
        return self._units + whole * self._requests + float(beyond)
