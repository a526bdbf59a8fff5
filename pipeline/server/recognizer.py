"""What a recognizer is to the server, and how one is found by its name.

A recognizer of your own is any factory that takes `ServerOptions` and returns a `Recognizer`, named to the server as
`package.module:factory`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

from pipeline.errors import ConfigError, LocalServerError
from pipeline.gradium.wire import JsonConfig
from pipeline.server.audio import Sound
from pipeline.server.options import ServerOptions

BUILT_IN = {
    "fingerprint": "pipeline.server.fingerprint:Fingerprint",
    "pocketsphinx": "pipeline.server.sphinx:sphinx",
}


class Heard(NamedTuple):
    """One recognized word; times are true seconds from the start of the audio."""

    text: str
    start_s: float
    stop_s: float


class Recognizer(Protocol):
    """Turns sound into words."""

    async def start(self) -> None:
        """Begins to warm up and returns at once; `recognize` may be called before the warm-up is over."""
        ...

    async def recognize(self, sound: Sound, config: JsonConfig) -> list[Heard]:
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
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except ModuleNotFoundError as error:
        if name in BUILT_IN:
            raise LocalServerError(missing_extra(name, str(error.name))) from error
        raise ConfigError(f"The recognizer {name!r} cannot be loaded: {error}.") from error
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"The recognizer {name!r} cannot be loaded: {error}.") from error
    return cast("Callable[[ServerOptions], Recognizer]", factory)(options)


def missing_extra(name: str, module: str) -> str:
    """Returns the sentence for a library that comes with the extra `[local]`."""
    return f"The recognizer {name!r} needs {module}, which is not installed: pip install 'gradium-batch[local]'."
