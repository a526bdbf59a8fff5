"""Puts the configuration together from a TOML file, the environment and `--set`, and explains what is wrong.

Reads one file and `os.environ`; every mistake becomes a ConfigError that names the place and the nearest right key.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.config.settings import ENV_NESTED, ENV_PREFIX, Settings
from pipeline.errors import ConfigError


def load_settings(file: Path | None, overrides: Sequence[str] = ()) -> Settings:
    """The settings from `file` (or none), the environment and `KEY=VALUE` overrides, the later beating the earlier.

    Raises ConfigError with every mistake in it, a line each.
    """
    text = "" if file is None else _read(file)
    from_file = _parse(text, file)
    from_flags = _parse_overrides(overrides)
    _refuse_unknown_environment(os.environ)
    try:
        from_environment = _FromEnvironment().model_dump(exclude_unset=True)
        return Settings(**_merged(from_file, from_environment, from_flags))
    except ValidationError as error:
        where = _Places(file, text, from_flags)
        raise ConfigError("\n".join(where.explain(detail) for detail in error.errors())) from None
    except ValueError as error:  # pydantic-settings: a value that should be JSON is not
        raise ConfigError(f"in the environment: {error}; lists and tables are written as JSON there") from None


class _FromEnvironment(Settings):
    """What the environment alone says; unset keys stay unset."""


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such configuration file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: the configuration cannot be read: {error}") from None


def _parse(text: str, file: Path | None) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from None


def _parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """`service.language=fr` as nested tables; the value is TOML, or else plain text."""
    tables: dict[str, Any] = {}
    for override in overrides:
        key, equals, raw = override.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            raise ConfigError(f"--set {override}: write it as section.key=value, e.g. --set pool.concurrency=8")
        try:
            value = tomllib.loads(f"value = {raw}")["value"]
        except tomllib.TOMLDecodeError:
            value = raw.strip()
        table = tables
        for part in path[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ConfigError(f"--set {override}: {part!r} was given a plain value before")
        table[path[-1]] = value
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
            hint = _nearest(section, sections)
            meant = f"did you mean {ENV_PREFIX}{hint.upper()}{ENV_NESTED}…?" if hint else f"known: {', '.join(known)}"
            raise ConfigError(f"environment variable {name}: there is no configuration section {section!r}; {meant}")


def _nearest(word: str, known: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.5)), None)


class _Places:
    """Where a setting was given, so that a message can point at it."""

    def __init__(self, file: Path | None, text: str, flags: Mapping[str, Any]) -> None:
        self.file, self.text, self.flags = file, text, flags

    def explain(self, detail: ErrorDetails) -> str:
        path = [str(part) for part in detail["loc"]]
        if detail["type"] == "extra_forbidden":
            return f"{self._place(path)}: unknown key {'.'.join(path)!r}; {_suggestion(path)}"
        wanted_table = detail["type"] in ("model_type", "dict_type")
        reason = "should be a table" if wanted_table else detail["msg"].removeprefix("Value error, ")
        given = "" if isinstance(detail["input"], dict) else f" (given: {detail['input']!r})"
        return f"{self._place(path)}: {'.'.join(path)}: {reason[:1].lower()}{reason[1:]}{given}"

    def _place(self, path: list[str]) -> str:
        if _holds(self.flags, path):
            return f"--set {'.'.join(path)}"
        name = ENV_PREFIX + ENV_NESTED.join(path).upper()
        if any(variable.upper() == name for variable in os.environ):
            return f"environment variable {name}"
        line = _line_of(self.text, path)
        return f"{self.file}:{line}" if line else str(self.file or "configuration")


def _holds(table: Mapping[str, Any], path: Sequence[str]) -> bool:
    found: Any = table
    for part in path:
        if not isinstance(found, Mapping) or part not in found:
            return False
        found = found[part]
    return True


def _line_of(text: str, path: Sequence[str]) -> int | None:
    """The line that sets `path`, found by its [section] and key; None where it is written in another way."""
    section, key = ".".join(path[:-1]), path[-1]
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line):
            current = header[1]
            if current == ".".join(path):
                return number
        elif current == section and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
            return number
    return None


def _suggestion(path: Sequence[str]) -> str:
    model: Any = Settings
    for part in path[:-1]:
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        model = field.annotation if field else None
    if model is None:
        return "see docs/configuration.md for the keys there are"
    known = list(model.model_fields)
    nearest = _nearest(path[-1], known)
    prefix = "".join(f"{part}." for part in path[:-1])
    if nearest:
        return f"did you mean {prefix + nearest!r}?"
    elsewhere = [
        f"{section}.{path[-1]}"
        for section, field in Settings.model_fields.items()
        if path[-1] in getattr(field.annotation, "model_fields", {})
    ]
    if elsewhere:
        return f"did you mean {elsewhere[0]!r}?"
    return f"known here: {', '.join(prefix + name for name in known)}"
