"""The interface of a recognizer, and how one is loaded by its name.

A recognizer of your own is a class that is made with `ServerOptions` and has the methods of `Recognizer`, or a function
whose return type is one, named to the server as `package.module:factory`. Nothing is called that is neither.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol, cast, get_type_hints

from pipeline.errors import ConfigError, LocalServerError
from pipeline.gradium.wire import JsonConfig
from pipeline.server.audio import Sound
from pipeline.server.options import ServerOptions

BUILT_IN = {
    "fingerprint": "pipeline.server.fingerprint:Fingerprint",
    "pocketsphinx": "pipeline.server.sphinx:Sphinx",
}

METHODS = ("start", "recognize", "close")


class RecognizedWord(NamedTuple):
    """One recognized word; times are true seconds from the start of the audio."""

    text: str
    start_s: float
    stop_s: float


class Recognizer(Protocol):
    """Turns sound into words."""

    async def start(self) -> None:
        """Begins to warm up and returns at once; `recognize` may be called before the warm-up is over."""
        ...

    async def recognize(self, sound: Sound, config: JsonConfig) -> list[RecognizedWord]:
        """Returns the words in time order; raises any exception when it fails, which the client sees as 1011."""
        ...

    async def close(self) -> None:
        """Ends every process and thread it started."""
        ...


def load_recognizer(options: ServerOptions) -> Recognizer:
    """Makes the recognizer that the options name.

    Raises ConfigError when there is none of that name, LocalServerError when what it needs is not installed.
    """
    name = options.recognizer
    target = BUILT_IN.get(name, name)
    module_name, colon, factory_name = target.partition(":")
    if not colon:
        near = difflib.get_close_matches(name, BUILT_IN, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"There is no recognizer {name!r}.{hint} Take {' or '.join(map(repr, sorted(BUILT_IN)))}, "
            "or name one of your own as 'package.module:factory'."
        )
    if name not in BUILT_IN:
        sys.path.append(str(Path.cwd()))  # last: what is there has no name that another module has
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except (Exception, SystemExit) as error:  # importing runs the module, which may do anything
        raise ConfigError(f"The recognizer {name!r} cannot be loaded: {error}.") from error
    if not _makes_recognizers(factory):
        raise ConfigError(
            f"{name!r} is no recognizer: name a class with the async methods {', '.join(METHODS)}, or a function whose "
            "return type says that it makes one."
        )
    try:
        return cast("Callable[[ServerOptions], Recognizer]", factory)(options)
    except LocalServerError:
        raise
    except Exception as error:
        raise ConfigError(f"The recognizer {name!r} cannot be made: {type(error).__name__}: {error}.") from error


def _makes_recognizers(factory: object) -> bool:
    """Says so without calling it: whether it is a class with the methods, or its return type is one."""
    kind: object = factory
    if inspect.isfunction(factory):
        try:
            kind = get_type_hints(factory).get("return")
        except Exception:  # of names that are known to type checkers only
            return False
    return isinstance(kind, type) and all(inspect.iscoroutinefunction(getattr(kind, name, None)) for name in METHODS)
