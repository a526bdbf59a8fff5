"""Explains a mistake in the configuration: where the setting was given, what it may be, and which name is meant."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from pipeline.config.settings import Settings
from pipeline.texts import nearest

ENV_PREFIX = "GRADIUM_BATCH_"
ENV_NESTED = "__"
_IN_TOML = {
    "model_type": "should be a table",
    "dict_type": "should be a table",
    "tuple_type": "should be a list",
    "too_short": "should not be empty",
}
"""Texts for pydantic's errors that speak of Python types."""


def variables() -> Iterator[tuple[list[str], str]]:
    """The path of a key and the variable that sets it, in either case."""
    for name in os.environ:
        if name.upper().startswith(ENV_PREFIX):
            yield name[len(ENV_PREFIX) :].lower().split(ENV_NESTED), name


def causes(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Drops errors that follow from another: a list that is too short because an element was refused."""
    places = [detail["loc"] for detail in details]
    return [
        detail
        for detail, place in zip(details, places, strict=True)
        if not any(other[: len(place)] == place and len(other) > len(place) for other in places)
    ]


class Places:
    """Where a setting was given, so that a message can point at it."""

    def __init__(
        self, file: Path | None, text: str, environment: Mapping[str, Any], given: Mapping[str, Any], how: str
    ) -> None:
        """`given` are those that beat all others, and `how` names one of them: `{}` stands for its key."""
        self.file, self.text, self.environment, self.given, self.how = file, text, environment, given, how

    def explain(self, detail: ErrorDetails) -> str:
        path = [part for part in detail["loc"] if isinstance(part, str)]  # without places in a list
        place, key = self._place(path), ".".join(path)
        if detail["type"] == "extra_forbidden":
            return f"{place}: unknown key {key!r}; {_suggestion(path)}"
        text = detail["msg"].removeprefix("Value error, ").removeprefix("Input ").partition(", unable to")[0]
        reason = _IN_TOML.get(detail["type"], text)
        given = "" if isinstance(detail["input"], dict) else f" (given: {detail['input']!r})"
        where = place if place.endswith(key) else f"{place}: {key}"
        return f"{where}: {reason[:1].lower()}{reason[1:]}{given}"

    def _place(self, path: list[str]) -> str:
        if _holds(self.given, path):
            return self.how.format(".".join(path))
        if _holds(self.environment, path):
            return f"environment variable {_variable(path)}"
        lines = (_line_of(self.text, path[:depth]) for depth in range(len(path), 0, -1))
        line = next((line for line in lines if line), None)
        return f"{self.file}:{line}" if line else str(self.file or "configuration")


def _holds(table: Mapping[str, Any], path: Sequence[str]) -> bool:
    found: Any = table
    for part in path:
        if not isinstance(found, Mapping) or part not in found:
            return False
        found = found[part]
    return True


def _variable(path: Sequence[str]) -> str:
    """The environment variable that sets `path`, or the table it is in, or something within it: the longest of them."""
    found = [(len(own), name) for own, name in variables() if all(a == b for a, b in zip(own, path, strict=False))]
    return max(found)[1]


def _line_of(text: str, path: Sequence[str]) -> int | None:
    """The line that sets `path` or opens its [section]; None where it is written in another way."""
    section: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+([^\[\]=,]+)\]+\s*(#.*)?$", line):
            section = _dotted(header[1])
            if section == tuple(path):
                return number
        elif (key := re.match(r"([^=#\[]+)=", line)) and (*section, *_dotted(key[1])) == tuple(path):
            return number
    return None


def _dotted(key: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in key.split("."))


def model_at(path: Sequence[str]) -> type[BaseModel] | None:
    """The model of the table at that path; None if it has no declared keys."""
    model: type[BaseModel] = Settings
    for part in path:
        kind = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return None
        model = kind
    return model


def _suggestion(path: Sequence[str]) -> str:
    if (model := model_at(path[:-1])) is None:
        return "see docs/configuration.md for the keys there are"
    known, name = list(model.model_fields), path[-1]
    prefix = "".join(f"{part}." for part in path[:-1])
    if near := nearest(name, known):
        return f"did you mean {prefix + near!r}?"
    for section in Settings.model_fields:
        if (other := model_at([section])) and name in other.model_fields:
            return f"did you mean '{section}.{name}'?"
    return f"known here: {', '.join(prefix + one for one in known)}"
