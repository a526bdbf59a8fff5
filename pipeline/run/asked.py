"""What a run can be asked for, and what its arguments may be: the same for the command and for Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import ConfigError

KEY_ENV = "GRADIUM_API_KEY"
"""Unless service.api_key_env names another variable."""
ONLY = ("new", "changed", "failed", "suspect", "all")
ONLY_BY_ID = ("new", "changed", "failed")
"""Default of `only` where utterances are named by id."""
LONGEST_S = 1e9
"""Of a duration: the system's clocks take no more than some hundred years."""
MOST = 1_000_000_000
"""Utterances of a limit."""


def output_problem(text: str) -> str | None:
    """Why an output folder cannot be called so: it need not be there, but the system must be able to say so."""
    if not text:
        return "an empty name is no folder; was a variable meant that is not set?"
    try:
        Path(text).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        return f"{text}: {getattr(error, 'strerror', error)}"
    return None


def refuse_unprintable(named: Mapping[str, str]) -> None:
    """Text that is no UTF-8 cannot stand in the output files; better now than after everything was paid.

    Raises ConfigError that names the argument."""
    for what, text in named.items():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"{what}: {text!a} is not UTF-8; rename what it names, or write it otherwise") from None


def absolute(path: str | Path) -> str:
    """The path from the root. Raises ConfigError where paths count from a working folder that is no longer there."""
    try:
        return str(Path(path).absolute())
    except FileNotFoundError:
        raise ConfigError("the working folder was removed: change into one that is there (cd), and try again") from None
