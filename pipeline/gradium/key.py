"""The API key: where it is kept, and what cannot be one.

Reads the environment or one file. Apart from the balance, because a missing key is told before anything else is done,
and reading it takes no HTTP library.
"""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.config.settings import ServiceSettings
from pipeline.errors import ConfigError

KEY_PREFIXES = ("gd_", "gsk_")


def read_key(service: ServiceSettings) -> str:
    """The API key from the environment or the key file. Raises ConfigError where there is none; never shows it."""
    for name in ("api_key_env", "api_key_file"):
        if getattr(service, name).startswith(KEY_PREFIXES):
            raise ConfigError(
                f"service.{name}: that looks like the API key itself; it names the place where the key is kept"
            )
    key = os.environ.get(service.api_key_env, "").strip()
    if not key and service.api_key_file:
        key = _read_file(service.api_key_file)
    if not key:
        raise ConfigError(
            f"no API key: set the environment variable {service.api_key_env} "
            "(or service.api_key_file); to try without a key, use configs/local.toml (make: CONFIG=configs/local.toml)"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError("the API key holds characters that no key has; was more than the key copied?")
    return key


def _read_file(file: str) -> str:
    try:
        key = Path(file).expanduser().read_text("utf-8").strip()
    except (OSError, RuntimeError) as error:  # RuntimeError: no such user to expand ~ to
        raise ConfigError(f"service.api_key_file: the key file cannot be read: {error}") from None
    except UnicodeDecodeError:  # its text shows what was read
        raise ConfigError(f"service.api_key_file: {file} is no text file") from None
    if not key:
        raise ConfigError(f"service.api_key_file: {file} is empty")
    return key
