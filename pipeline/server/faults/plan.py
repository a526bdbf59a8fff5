"""Decides which fault strikes a request.

The same seed, bodies and repeats give the same faults, in whatever order the requests arrive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from pipeline.gradium import wire
from pipeline.server.faults.account import CreditsSpent, KeyRevoked
from pipeline.server.faults.fault import Arrival, Fault


class Plan:
    """The faults of one server, and how often each struck."""

    def __init__(self, faults: Sequence[Fault] = (), seed: int = 0) -> None:
        self._faults = tuple(faults)
        self._seed = seed
        self._struck: Counter[int] = Counter()
        self._struck_body: Counter[tuple[int, str]] = Counter()

    def strike(self, arrival: Arrival) -> Fault | None:
        """Returns the first fault of the file that strikes this request, and counts it."""
        for index, fault in enumerate(self._faults):
            if self._strikes(index, fault, arrival):
                self._struck[index] += 1
                self._struck_body[index, arrival.digest] += 1
                return fault
        return None

    def key_is_revoked(self, requests: int) -> bool:
        """Says whether the key is refused after so many requests; the credits page asks."""
        return any(isinstance(fault, KeyRevoked) and fault.in_window(requests + 1) for fault in self._faults)

    def credits_left(self, account: float, paid_audio_s: float) -> float:
        """Returns what the credits page shows: what the account holds, or what a fault leaves of it."""
        caps = [
            max(0.0, fault.after_audio_s - paid_audio_s) * wire.CREDITS_PER_S
            for fault in self._faults
            if isinstance(fault, CreditsSpent)
        ]
        return min([account, *caps])

    def _strikes(self, index: int, fault: Fault, arrival: Arrival) -> bool:
        if not fault.in_window(arrival.number) or fault.sha256 not in (None, arrival.digest):
            return False
        if fault.at_most is not None and self._struck[index] >= fault.at_most:
            return False
        if fault.times is not None and self._struck_body[index, arrival.digest] >= fault.times:
            return False
        return fault.wants(arrival) and self._draw(index, arrival) < fault.probability

    def _draw(self, index: int, arrival: Arrival) -> float:
        text = f"{self._seed} {index} {arrival.digest} {arrival.repeat}"
        return int.from_bytes(blake2b(text.encode(), digest_size=6).digest(), "big") / 2**48
