"""Reads the API key from the environment or a file, and checks it.

Loads no HTTP library: a missing key is reported before anything else is done.
"""

from __future__ import annotations

import logging
import os
import shlex
import stat
from pathlib import Path

from pipeline.config.settings import ServiceSettings
from pipeline.errors import ConfigError
from pipeline.redaction import KEY_PREFIXES, hide

log = logging.getLogger(__name__)

OTHERS_ACCESS = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH
MAX_BYTES = 4096
"""No key is as long: the file is another one."""


def read_key(service: ServiceSettings) -> str:
    """The API key from the environment or the key file, which may be a pipe; from then on it is hidden in all output.

    Raises ConfigError when there is none. Warns when other users can access the file.
    """
    for name in ("api_key_env", "api_key_file"):
        if getattr(service, name).startswith(KEY_PREFIXES):
            raise ConfigError(
                f"service.{name}: that looks like the API key itself; give the place where the key is stored"
            )
    key = _in_environment(service)
    if not key and service.api_key_file:
        key = _read_file(service.api_key_file)
    if not key:
        raise ConfigError(
            f"no API key: set the environment variable {service.api_key_env} "
            "(or service.api_key_file); to try without a key, use configs/local.toml (make: CONFIG=configs/local.toml)"
        )
    if not key.isascii() or not key.isprintable() or " " in key or len(key) >= MAX_BYTES:
        raise ConfigError(
            f"the API key in {key_place(service)} holds characters that no key has; was more than the key copied?"
        )
    hide(key)
    return key


def key_place(service: ServiceSettings) -> str:
    """Where `read_key` finds the key, in words."""
    if _in_environment(service) or not service.api_key_file:
        return f"the environment variable {service.api_key_env}"
    return f"the file {service.api_key_file} (service.api_key_file)"


def _in_environment(service: ServiceSettings) -> str:
    return os.environ.get(service.api_key_env, "").strip()


def _read_file(file: str) -> str:
    try:
        path = Path(file).expanduser()
        found = path.stat()
        with path.open("rb") as opened:  # of a pipe in a folder this waits for somebody who writes into it
            content = opened.read(MAX_BYTES)
        if stat.S_ISREG(found.st_mode) and found.st_mode & OTHERS_ACCESS:
            _warn_of_readers(file, may_fix=os.geteuid() in (0, found.st_uid))
        key = content.decode().strip()
    except (OSError, RuntimeError) as error:  # RuntimeError: no such user to expand ~ to
        raise ConfigError(f"service.api_key_file: the key file cannot be read: {error}") from None
    except UnicodeDecodeError:  # its text shows what was read
        raise ConfigError(f"service.api_key_file: {file} is no text file") from None
    if not key:
        raise ConfigError(f"service.api_key_file: {file} is empty")
    return key


def _warn_of_readers(file: str, *, may_fix: bool) -> None:
    fix = f"run chmod 600 {shlex.quote(file)}" if may_fix else "keep the key in a file of your own"
    log.warning("service.api_key_file: other users can read or change %s; %s", file, fix)
