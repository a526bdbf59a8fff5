"""What the environment alone says, as nested tables, before anything is checked.

Loaded only where a variable of ours is set: pydantic-settings brings readers for a dozen other sources with it.
"""

from __future__ import annotations

from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from pipeline.config.settings import ENV_NESTED, ENV_PREFIX, Settings
from pipeline.config.value import value_of


class _Variables(Settings, BaseSettings):
    """The keys as variables are named after them; never filled in, `load.py` puts the sources together."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_NESTED)


class _Environment(EnvSettingsSource):
    def __call__(self) -> dict[str, Any]:
        found = super().__call__()
        service = found.get("service")
        if isinstance(service, dict) and "json_config" in service:
            # a table without a declared type: pydantic-settings leaves its values as text
            service["json_config"] = _typed(service["json_config"])
        return found

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        return value_of(value)


def tables() -> dict[str, Any]:
    """The sections and keys that the environment sets."""
    return _Environment(_Variables)()


def _typed(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: _typed(value) for key, value in found.items()}
    return value_of(found) if isinstance(found, str) else found
