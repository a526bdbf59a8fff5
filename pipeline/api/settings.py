"""The configuration in Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pipeline import config
from pipeline.api.raising import raised
from pipeline.redaction import redacted

Section = Mapping[str, Any] | None


class Settings(config.Settings):
    """The configuration of a run, nested as in the TOML file and checked in the same way:
    `Settings(service={"language": "fr"}, pool={"concurrency": 8})`. Keys that are left out have their defaults;
    docs/configuration.md lists all. Environment variables GRADIUM_BATCH_… do not count here: with `from_file` they do.

    Frozen. Raises ConfigError with every mistake, a line each. Holds no API key, only where it is kept
    (`service.api_key_env`, `service.api_key_file`).
    """

    def __init__(
        self,
        *,
        service: Section = None,
        timeouts: Section = None,
        audio: Section = None,
        pool: Section = None,
        retry: Section = None,
        price: Section = None,
        budget: Section = None,
        sink: Section = None,
        sources: Section = None,
        local: Section = None,
        **others: Any,
    ) -> None:
        named = {
            "service": service,
            "timeouts": timeouts,
            "audio": audio,
            "pool": pool,
            "retry": retry,
            "price": price,
            "budget": budget,
            "sink": sink,
            "sources": sources,
            "local": local,
        }
        sections = {name: given for name, given in named.items() if given is not None}
        with raised():  # `others` are misspelt: the error names what is meant
            checked = config.settings_of(sections | others)
        super().__init__(**_sections(checked))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **sections: Section) -> Self:
        """The settings of a TOML file and of the environment (GRADIUM_BATCH_SECTION__KEY), as the command's `--config`
        has them; `sections`, nested as above, beat both. Raises ConfigError."""
        given = {name: section for name, section in sections.items() if section is not None}
        with raised():
            checked = config.settings_of(given, Path(path))
        return cls(**_sections(checked))

    def __repr__(self) -> str:
        return redacted(super().__repr__())

    def __str__(self) -> str:
        return redacted(super().__str__())


def _sections(settings: config.Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in config.Settings.model_fields}
