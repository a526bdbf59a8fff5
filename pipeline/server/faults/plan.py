"""The faults of one server: reads the file that names them, and decides which request gets which.

The same seed, bodies and repeats give the same faults, in whatever order the requests arrive. What is wrong with the
file is one sentence that says where, what, and what to do.
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pipeline.errors import ConfigError
from pipeline.gradium import wire
from pipeline.server.faults import before, messages, writing
from pipeline.server.faults.fault import Arrival, Fault

KINDS: dict[str, type[Fault]] = {
    str(kind.__struct_config__.tag): kind
    for module in (before, messages, writing)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Fault) and kind is not Fault
}
"""What may stand behind `kind =` in a faults file."""
TOP_LEVEL = ("seed", "fault")
OLD_KEYS = {"dress": "response"}
"""Older names of keys, which are still taken."""


class FaultPlan:
    """The faults of one server, and how often each was injected."""

    def __init__(self, faults: Sequence[Fault] = (), seed: int = 0) -> None:
        self._faults = tuple(faults)
        self._seed = seed
        self._injected: Counter[int] = Counter()
        self._injected_by_body: Counter[tuple[int, str]] = Counter()

    def choose(self, arrival: Arrival) -> Fault | None:
        """Returns the first fault of the file that applies to this request, and counts it."""
        for index, fault in enumerate(self._faults):
            if self._applies(index, fault, arrival):
                self._injected[index] += 1
                self._injected_by_body[index, arrival.digest] += 1
                return fault
        return None

    def key_is_revoked(self, requests: int) -> bool:
        """Says whether the key is refused after so many requests; the credits page asks."""
        return any(isinstance(fault, before.KeyRevoked) and fault.in_window(requests + 1) for fault in self._faults)

    def credits_left(self, account: float, paid_audio_s: float) -> float:
        """Returns what the credits page shows: what the account holds, or what a fault leaves of it."""
        caps = [
            max(0.0, fault.after_audio_s - paid_audio_s) * wire.CREDITS_PER_S
            for fault in self._faults
            if isinstance(fault, before.CreditsSpent)
        ]
        return min([account, *caps])

    def _applies(self, index: int, fault: Fault, arrival: Arrival) -> bool:
        if not fault.in_window(arrival.number) or fault.sha256 not in (None, arrival.digest):
            return False
        if not fault.in_time(arrival.elapsed_s):
            return False
        if fault.at_most is not None and self._injected[index] >= fault.at_most:
            return False
        if fault.times is not None and self._injected_by_body[index, arrival.digest] >= fault.times:
            return False
        return fault.applies(arrival) and self._draw(index, arrival) < fault.probability

    def _draw(self, index: int, arrival: Arrival) -> float:
        text = f"{self._seed} {index} {arrival.digest} {arrival.repeat}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big") / 2**48


def load_plan(path: Path) -> FaultPlan:
    """Returns the plan in a TOML faults file; raises ConfigError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The faults file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The faults file {path} is no valid TOML: {error}.") from error
    for key in document:
        if key not in TOP_LEVEL:
            raise ConfigError(f"{path}: unknown key {key!r}{_suggestion(key, TOP_LEVEL)}")
    seed = document.get("seed", 0)
    if type(seed) is not int:
        raise ConfigError(f"{path}: seed is a whole number, not {seed!r}.")
    entries = document.get("fault", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{path}: write each fault as a table of its own, under [[fault]] in double brackets.")
    return FaultPlan([_load_fault(entry, number, path) for number, entry in enumerate(entries, 1)], seed)


def _load_fault(entry: dict[str, Any], number: int, path: Path) -> Fault:
    where = f"{path}: fault {number}"
    if "kind" not in entry:
        raise ConfigError(f"{where} has no kind; give it one of: {', '.join(KINDS)}.")
    name = entry["kind"]
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ConfigError(f"{where} has an unknown kind {name!r}{_suggestion(str(name), KINDS)}")
    where = f"{where} ({name})"
    entry = {OLD_KEYS.get(key, key): value for key, value in entry.items()}
    fields = ("kind", *kind.__struct_fields__)
    for key in entry:
        if key not in fields:
            raise ConfigError(f"{where} has an unknown key {key!r}{_suggestion(key, fields[1:])}")
    try:
        fault = msgspec.convert(entry, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {_plain(str(error))}.") from error
    if fault.file is None:
        return fault
    named = path.parent / fault.file
    try:
        with named.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(
            f"{where}: the file {named} cannot be read: {error.strerror}; name it relative to the faults file."
        ) from error
    return msgspec.structs.replace(fault, file=None, sha256=digest)


def _suggestion(name: str, names: Iterable[str]) -> str:
    """Returns the end of a sentence: the nearest right name, or all of them where none is near."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f", did you mean {near[0]!r}?" if near else f"; there are: {', '.join(names)}."


def _plain(message: str) -> str:
    """Returns msgspec's complaint in plain words: "Expected `int`, got `str` - at `$.times`" becomes "times: …"."""
    text, _, place = message.partition(" - at ")
    field = place.strip("`").removeprefix("$").removeprefix(".")
    text = text.replace("`", "")
    text = text[:1].lower() + text[1:]
    return f"{field}: {text}" if field else text
