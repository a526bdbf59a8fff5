"""Puts the configuration together from a TOML file, the environment and `--set`, and explains what is wrong.

Reads one file and `os.environ`; every mistake becomes a ConfigError that names the place and the nearest right key.
Values are text, or TOML or JSON where they look like it, alike in the environment and in `--set`.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

import pipeline
from pipeline.config.nearest import nearest
from pipeline.config.settings import ENV_NESTED, ENV_PREFIX, Settings
from pipeline.config.value import value_of
from pipeline.errors import ConfigError

_IN_TOML = {
    "model_type": "should be a table",
    "dict_type": "should be a table",
    "tuple_type": "should be a list",
    "too_short": "should not be empty",
}
"""What pydantic says in Python's words."""


def load_settings(file: Path | None, overrides: Sequence[str] = ()) -> Settings:
    """The settings from `file` (or none), the environment and `KEY=VALUE` overrides, the later beating the earlier.

    Raises ConfigError with every mistake in it, a line each.
    """
    text = "" if file is None else _read(file)
    from_file = _parse(text, file)
    from_flags = _parse_overrides(overrides)
    _refuse_unknown_environment(os.environ)
    from_environment = _from_environment()
    try:
        return Settings(**_merged(from_file, from_environment, from_flags))
    except ValidationError as error:
        where = _Places(file, text, from_environment, from_flags)
        raise ConfigError(*(where.explain(detail) for detail in _causes(error.errors()))) from None


def _from_environment() -> dict[str, Any]:
    if not any(name.upper().startswith(ENV_PREFIX) for name in os.environ):
        return {}  # most runs: the library that reads it costs as much to load as all the rest of the configuration
    from pipeline.config.environment import tables

    return tables()


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


def _parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """`service.language=fr` as nested tables."""
    tables: dict[str, Any] = {}
    for override in overrides:
        key, equals, raw = override.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            raise ConfigError(f"--set {override}: write it as section.key=value, e.g. --set pool.concurrency=8")
        table = tables
        for part in path[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ConfigError(f"--set {override}: {part!r} was given a plain value before")
        table[path[-1]] = value_of(raw)
    return tables


def _merged(*sources: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for source in sources:
        for key, value in source.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = _merged(merged[key], value) if both else value
    return merged


def _refuse_unknown_environment(environ: Mapping[str, str]) -> None:
    """pydantic-settings passes over variables of unknown sections; a misspelt one must not be passed over."""
    sections = list(Settings.model_fields)
    for name in environ:
        if not name.upper().startswith(ENV_PREFIX):
            continue
        section = name[len(ENV_PREFIX) :].lower().split(ENV_NESTED)[0]
        if section not in sections:
            known = [f"{ENV_PREFIX}{known.upper()}{ENV_NESTED}…" for known in sections]
            hint = nearest(section, sections)
            meant = f"did you mean {ENV_PREFIX}{hint.upper()}{ENV_NESTED}…?" if hint else f"known: {', '.join(known)}"
            raise ConfigError(f"environment variable {name}: there is no configuration section {section!r}; {meant}")


def _causes(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Without those that only follow from another: a list that is too short because an element was refused."""
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
        if detail["type"] == "extra_forbidden":
            return f"{self._place(path)}: unknown key {'.'.join(path)!r}; {_suggestion(path)}"
        said = detail["msg"].removeprefix("Value error, ").removeprefix("Input ").partition(", unable to")[0]
        reason = _IN_TOML.get(detail["type"], said)
        given = "" if isinstance(detail["input"], dict) else f" (given: {detail['input']!r})"
        place, key = self._place(path), ".".join(path)
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
    """The environment variable that sets `path`, or the table it is in, or something within it."""
    for depth in range(len(path), 0, -1):
        name = ENV_PREFIX + ENV_NESTED.join(path[:depth]).upper()
        for variable in os.environ:
            if variable.upper() == name or variable.upper().startswith(name + ENV_NESTED):
                return variable
    return f"{ENV_PREFIX}…"


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


def _suggestion(path: Sequence[str]) -> str:
    model: Any = Settings
    for part in path[:-1]:
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        model = field.annotation if field else None
    if model is None:
        return "see docs/configuration.md for the keys there are"
    known = list(model.model_fields)
    prefix = "".join(f"{part}." for part in path[:-1])
    if near := nearest(path[-1], known):
        return f"did you mean {prefix + near!r}?"
    elsewhere = [
        f"{section}.{path[-1]}"
        for section, field in Settings.model_fields.items()
        if path[-1] in getattr(field.annotation, "model_fields", {})
    ]
    if elsewhere:
        return f"did you mean {elsewhere[0]!r}?"
    return f"known here: {', '.join(prefix + name for name in known)}"
