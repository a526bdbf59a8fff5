"""The API key: where it is kept, and what cannot be one.

Reads the environment or one file. Apart from the balance, because a missing key is told before anything else is done,
and reading it takes no HTTP library.
"""

from __future__ import annotations

import logging
import os
import shlex
import stat
from functools import cache
from pathlib import Path

from pipeline.config.settings import ServiceSettings
from pipeline.errors import ConfigError
from pipeline.redaction import KEY_PREFIXES, hide

log = logging.getLogger(__name__)

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_key(service: ServiceSettings) -> str:
    """The API key from the environment or the key file; from then on this process shows it nowhere.

    Raises ConfigError where there is none. Warns where others can read the file.
    """
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
    hide(key)
    return key


def _read_file(file: str) -> str:
    try:
        path = Path(file).expanduser()
        key = path.read_text("utf-8").strip()
        if path.stat().st_mode & OTHERS:
            _warn_of_readers(file)
    except (OSError, RuntimeError) as error:  # RuntimeError: no such user to expand ~ to
        raise ConfigError(f"service.api_key_file: the key file cannot be read: {error}") from None
    except UnicodeDecodeError:  # its text shows what was read
        raise ConfigError(f"service.api_key_file: {file} is no text file") from None
    if not key:
        raise ConfigError(f"service.api_key_file: {file} is empty")
    return key


@cache  # a run reads it twice
def _warn_of_readers(file: str) -> None:
    log.warning("service.api_key_file: other users can read or change %s; run chmod 600 %s", file, shlex.quote(file))
