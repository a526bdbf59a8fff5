"""Reads a faults file. What is wrong with it is one sentence that says where, what, and what to do."""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from pipeline.errors import ConfigError
from pipeline.server.faults.fault import Fault
from pipeline.server.faults.plan import Plan
from pipeline.server.faults.table import KINDS

TOP_LEVEL = ("seed", "fault")


def load_plan(path: Path) -> Plan:
    """Returns the plan in a TOML faults file; raises ConfigError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The faults file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The faults file {path} is no valid TOML: {error}.") from error
    for key in document:
        if key not in TOP_LEVEL:
            raise ConfigError(f"{path}: unknown key {key!r}{instead(key, TOP_LEVEL)}")
    seed = document.get("seed", 0)
    if type(seed) is not int:
        raise ConfigError(f"{path}: seed is a whole number, not {seed!r}.")
    entries = document.get("fault", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{path}: write each fault as a table of its own, under [[fault]] in double brackets.")
    return Plan([load_fault(entry, number, path) for number, entry in enumerate(entries, 1)], seed)


def load_fault(entry: dict[str, Any], number: int, path: Path) -> Fault:
    """Returns one fault; raises ConfigError."""
    where = f"{path}: fault {number}"
    if "kind" not in entry:
        raise ConfigError(f"{where} has no kind; give it one of: {', '.join(KINDS)}.")
    name = entry["kind"]
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ConfigError(f"{where} has an unknown kind {name!r}{instead(str(name), KINDS)}")
    where = f"{where} ({name})"
    fields = ("kind", *kind.__struct_fields__)
    for key in entry:
        if key not in fields:
            raise ConfigError(f"{where} has an unknown key {key!r}{instead(key, fields[1:])}")
    try:
        fault = msgspec.convert(entry, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {plain(str(error))}.") from error
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


def instead(name: str, names: Iterable[str]) -> str:
    """Returns the end of a sentence: the nearest right name, or all of them where none is near."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f", did you mean {near[0]!r}?" if near else f"; there are: {', '.join(names)}."


def plain(message: str) -> str:
    """Returns msgspec's complaint in plain words: "Expected `int`, got `str` - at `$.times`" becomes "times: …"."""
    text, _, place = message.partition(" - at ")
    field = place.strip("`").removeprefix("$").removeprefix(".")
    text = text.replace("`", "")
    text = text[:1].lower() + text[1:]
    return f"{field}: {text}" if field else text
