"""Merges the configuration from a TOML file, the environment and `--set`, and explains mistakes.

Reads one file and `os.environ`; every mistake becomes a ConfigError that names the place and the nearest right key.
Values are text, or TOML or JSON where they look like it, alike in the environment and in `--set`.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

import pipeline
from pipeline.config.settings import Settings
from pipeline.errors import ConfigError
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


def load_settings(file: Path | None, overrides: Sequence[str] = ()) -> Settings:
    """The settings from `file` (or none), the environment and `KEY=VALUE` overrides, the later beating the earlier.

    Raises ConfigError with every mistake in it, a line each.
    """
    text = "" if file is None else _read(file)
    from_file = _parse(text, file)
    from_environment, from_flags = _from_environment(), _from_overrides(overrides)
    try:
        return Settings(**_merged(from_file, from_environment, from_flags))
    except ValidationError as error:
        where = _Places(file, text, from_environment, from_flags)
        raise ConfigError(*(where.explain(detail) for detail in _causes(error.errors()))) from None


def _read(file: Path) -> str:
    try:
        return (_shipped(file) or file).read_text("utf-8-sig")
    except FileNotFoundError:
        known = ", ".join(f"configs/{other.name}" for other in sorted(_shipped_folder().glob("*.toml")))
        hint = f"; {known} come with gradium-batch and are found from any folder" if known else ""
        raise ConfigError(f"{file}: there is no such configuration file{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: the configuration cannot be read: {error}") from None


def _shipped(file: Path) -> Path | None:
    """Of `configs/NAME`, where there is none in the working folder, the one that this package brings."""
    if file != Path("configs", file.name) or file.exists():
        return None
    shipped = _shipped_folder() / file.name
    return shipped if shipped.is_file() else None


def _shipped_folder() -> Path:
    package = Path(pipeline.__file__).parent
    checkout = package.parent / "configs"
    return checkout if (package.parent / "pyproject.toml").exists() else package / "configs"


def _parse(text: str, file: Path | None) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from None


def _from_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """`service.language=fr` as nested tables."""
    tables: dict[str, Any] = {}
    for override in overrides:
        key, equals, raw = override.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            raise ConfigError(f"--set {override}: write it as section.key=value, e.g. --set pool.concurrency=8")
        _put(tables, path, raw, f"--set {override}")
    return tables


def _from_environment() -> dict[str, Any]:
    """`GRADIUM_BATCH_SERVICE__LANGUAGE=fr` as nested tables; a variable for a whole table counts before those in it."""
    tables: dict[str, Any] = {}
    for path, name in sorted(_variables(), key=lambda found: len(found[0])):
        if path[0] not in Settings.model_fields:
            sections = {section: f"{ENV_PREFIX}{section.upper()}{ENV_NESTED}…" for section in Settings.model_fields}
            near = nearest(path[0], [*sections])
            meant = f"did you mean {sections[near]}?" if near else f"known: {', '.join(sections.values())}"
            raise ConfigError(f"environment variable {name}: there is no configuration section {path[0]!r}; {meant}")
        _put(tables, path, os.environ[name], f"environment variable {name}")
    return tables


def _variables() -> Iterator[tuple[list[str], str]]:
    """The path of a key and the variable that sets it, in either case."""
    for name in os.environ:
        if name.upper().startswith(ENV_PREFIX):
            yield name[len(ENV_PREFIX) :].lower().split(ENV_NESTED), name


def _put(tables: dict[str, Any], path: Sequence[str], raw: str, place: str) -> None:
    table = tables
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{place}: {part!r} was given a plain value before")
    value, model = _value_of(raw), _model_at(path[:-1])
    is_text = model is not None and path[-1] in model.model_fields and model.model_fields[path[-1]].annotation is str
    table[path[-1]] = raw.strip() if is_text and not isinstance(value, str) else value


def _value_of(raw: str) -> Any:
    """The text parsed as TOML, or as a JSON table; otherwise the text itself."""
    with suppress(tomllib.TOMLDecodeError, RecursionError):
        found = tomllib.loads(f"value = {raw}")
        if found.keys() == {"value"}:
            return found["value"]
    if raw.lstrip().startswith("{"):
        with suppress(ValueError, RecursionError):
            return json.loads(raw)
    return raw.strip()


def _merged(*sources: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for source in sources:
        for key, value in source.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = _merged(merged[key], value) if both else value
    return merged


def _causes(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Drops errors that follow from another: a list that is too short because an element was refused."""
    places = [detail["loc"] for detail in details]
    return [
        detail
        for detail, place in zip(details, places, strict=True)
        if not any(other[: len(place)] == place and len(other) > len(place) for other in places)
    ]


class _Places:
    """Where a setting was given, so that a message can point at it."""

    def __init__(self, file: Path | None, text: str, environment: Mapping[str, Any], flags: Mapping[str, Any]) -> None:
        self.file, self.text, self.environment, self.flags = file, text, environment, flags

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
        if _holds(self.flags, path):
            return f"--set {'.'.join(path)}"
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
    found = [(len(own), name) for own, name in _variables() if all(a == b for a, b in zip(own, path, strict=False))]
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


def _model_at(path: Sequence[str]) -> type[BaseModel] | None:
    """The model of the table at that path; None if it has no declared keys."""
    model: type[BaseModel] = Settings
    for part in path:
        kind = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return None
        model = kind
    return model


def _suggestion(path: Sequence[str]) -> str:
    if (model := _model_at(path[:-1])) is None:
        return "see docs/configuration.md for the keys there are"
    known, name = list(model.model_fields), path[-1]
    prefix = "".join(f"{part}." for part in path[:-1])
    if near := nearest(name, known):
        return f"did you mean {prefix + near!r}?"
    for section in Settings.model_fields:
        if (other := _model_at([section])) and name in other.model_fields:
            return f"did you mean '{section}.{name}'?"
    return f"known here: {', '.join(prefix + one for one in known)}"
