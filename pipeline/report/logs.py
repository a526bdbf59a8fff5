"""What a command writes on stderr: as text for people, or as one JSON object a line for a collector.

All output on stderr comes through here: without secrets, and without characters that a terminal would act on.
Configures the loggers, and what Python does with uncaught errors.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from pipeline.errors import UsageError
from pipeline.report.figures import Figures, LastLine
from pipeline.texts import json_line, visible

Form = Literal["text", "json"]
OURS = "pipeline"
AGAIN_S = 0.05
BUG = "this is a bug in gradium-batch, please report it"
TOLD = {"told": True}
"""As `extra` of a record of level INFO: people see it as well."""
log = logging.getLogger(__name__)
_form: Form = "text"


def is_json() -> bool:
    """Whether every line has to be a JSON object."""
    return _form == "json"


def say(*lines: str, level: str = "info") -> None:
    """Writes lines around the progress bar; line ends within one of them are escaped."""
    _write(_line(level, __name__, "\n".join(lines)) if is_json() else _for_people(lines))


def say_error(error: Exception) -> None:
    """Why a command ends. Of our errors only those of usage have several lines."""
    first, *more = map(str, error.args) if isinstance(error, UsageError) else [str(error)]
    say(f"gradium-batch: {first}", *more, level="error")


def say_last(line: LastLine) -> None:
    """The line for scripts, which is the last one of every run."""
    _write(json_line(line) if is_json() else str(line))


def say_figures(figures: Figures) -> None:
    """The end of a run as a log line."""
    log.info("run ended", extra={"fields": {"figures": msgspec.to_builtins(figures)}})


def say_bug(error: BaseException | None) -> None:
    """An unexpected error, with its traceback."""
    if isinstance(error, Exception):  # else a thread or the command ends by it
        log.critical(BUG, exc_info=error)


def _say_unraisable(error: BaseException | None) -> None:
    """Of an error that came where nothing can be raised, in a callback of the garbage collector for instance."""
    if isinstance(error, KeyboardInterrupt):
        # Ctrl-C came at such a moment and would be lost: sent once more when it is over
        again = threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGINT))
        again.daemon = True
        again.start()
    say_bug(error)


class Lines(logging.Handler):
    """Writes each record as one line, and its traceback behind it."""

    def emit(self, record: logging.LogRecord) -> None:
        if not (is_json() or record.levelno >= logging.WARNING or getattr(record, "told", False)):
            return
        try:
            message = record.getMessage()
            trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
            if is_json():
                more: dict[str, Any] = getattr(record, "fields", {})
                exception = {} if trace is None else {"exception": trace}
                _write(_line(record.levelname.lower(), record.name, message, **more, **exception))
            else:
                _write(_for_people([message, *(f"  {line}" for line in (trace or "").splitlines())]))
        except Exception as error:  # the library would show it with all its arguments
            say(f"a line of {record.name} cannot be written: {type(error).__name__}", level="error")


def set_up_logs(form: Form = "text") -> None:
    """`text`: what needs a person's eye. `json`: everything that happened, for a collector."""
    global _form
    _form = form
    root, ours, handler = logging.getLogger(), logging.getLogger(OURS), Lines()
    # libraries log through the same handler: their warnings may hold what the service sent
    root.handlers = [*(other for other in root.handlers if not isinstance(other, Lines)), handler]
    ours.handlers = [handler]
    ours.propagate = False
    ours.setLevel(logging.INFO)
    logging.captureWarnings(True)
    sys.excepthook = lambda _, error, __: say_bug(error)
    threading.excepthook = lambda caught: say_bug(caught.exc_value)
    sys.unraisablehook = lambda caught: _say_unraisable(caught.exc_value)


def _line(level: str, logger: str, message: str, **more: Any) -> str:
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json_line({"time": time, "level": level, "logger": logger, "message": message, **more})


def _for_people(lines: Iterable[str]) -> str:
    return "\n".join(visible(line) for line in lines)


def _write(text: str) -> None:
    """A stderr that is closed or full never ends a run."""
    with suppress(OSError, ValueError, AttributeError):
        if "tqdm" in sys.modules:  # else there is no bar in the way
            from tqdm import tqdm

            tqdm.write(text, file=sys.stderr)
        else:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
