"""Merges the configuration from a TOML file, the environment and `--set`, and explains mistakes.

Reads one file and `os.environ`; every mistake becomes a ConfigError that names the place and the nearest right key.
Values are text, or TOML or JSON where they look like it, alike in the environment and in `--set`.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import pipeline
from pipeline.config.explain import ENV_NESTED, ENV_PREFIX, Places, causes, model_at, variables
from pipeline.config.settings import Settings
from pipeline.errors import ConfigError
from pipeline.texts import nearest


def load_settings(file: Path | None, overrides: Sequence[str] = ()) -> Settings:
    """The settings from `file` (or none), the environment and `KEY=VALUE` overrides, the later beating the earlier.

    Raises ConfigError with every mistake in it, a line each.
    """
    text = "" if file is None else _read(file)
    from_file = _parse(text, file)
    from_environment, from_flags = _from_environment(), _from_overrides(overrides)
    tables = _merged(from_file, from_environment, from_flags)
    return _checked(tables, Places(file, text, from_environment, from_flags, "--set {}"))


def settings_of(tables: Mapping[str, Any], file: Path | None = None) -> Settings:
    """The settings of tables as Python has them, nested as in the file; where a `file` is given, what they leave out is
    the file's and the environment's. Raises ConfigError as `load_settings` does."""
    text, others = "", [dict[str, Any](), dict[str, Any]()]
    if file is not None:
        text = _read(file)
        others = [_parse(text, file), _from_environment()]
    return _checked(_merged(*others, tables), Places(file, text, others[1], tables, "Settings"))


def _checked(tables: Mapping[str, Any], places: Places) -> Settings:
    try:
        return Settings.model_validate(tables)
    except ValidationError as error:
        raise ConfigError(*map(places.explain, causes(error.errors()))) from None


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
    for path, name in sorted(variables(), key=lambda found: len(found[0])):
        if path[0] not in Settings.model_fields:
            sections = {section: f"{ENV_PREFIX}{section.upper()}{ENV_NESTED}…" for section in Settings.model_fields}
            near = nearest(path[0], [*sections])
            meant = f"did you mean {sections[near]}?" if near else f"known: {', '.join(sections.values())}"
            raise ConfigError(f"environment variable {name}: there is no configuration section {path[0]!r}; {meant}")
        _put(tables, path, os.environ[name], f"environment variable {name}")
    return tables


def _put(tables: dict[str, Any], path: Sequence[str], raw: str, place: str) -> None:
    table = tables
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{place}: {part!r} was given a plain value before")
    value, model = _value_of(raw), model_at(path[:-1])
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
