"""What a text means as a value; the environment and `--set` are read alike."""

from __future__ import annotations

import contextlib
import json
import tomllib
from typing import Any


def value_of(raw: str) -> Any:
    """What a text says as TOML, as a JSON table, or else the text."""
    with contextlib.suppress(tomllib.TOMLDecodeError, RecursionError):
        found = tomllib.loads(f"value = {raw}")
        if found.keys() == {"value"}:
            return found["value"]
    if raw.lstrip().startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(raw)
    return raw.strip()
