"""Log lines on stderr, as text or as one JSON object a line. Configures the package's logger and nothing else."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec

from pipeline.report.figures import Figures


class JsonLines(logging.Formatter):
    """time, level, logger, message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def say(text: str) -> None:
    """Writes a line to stderr around the progress bar. A stderr that is closed or full never ends a run."""
    with suppress(OSError, ValueError, AttributeError):
        if "tqdm" in sys.modules:  # no bar can be in the way where nobody has loaded what draws it
            from tqdm import tqdm

            tqdm.write(text, file=sys.stderr)
        else:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class AroundTheBar(logging.Handler):
    """Hands each record to `say`."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


def set_up_logs(form: str) -> None:
    """`text`: what needs a person's eye. `json`: everything that happened, for a collector."""
    logger = logging.getLogger("pipeline")
    handler = AroundTheBar()
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter("%(message)s"))
    logger.handlers = [handler]
    logger.setLevel(logging.INFO if form == "json" else logging.WARNING)
    logger.propagate = False


def report_as_json(figures: Figures) -> None:
    """The end of a run as a log line."""
    logging.getLogger(__name__).info("run ended", extra={"fields": {"figures": msgspec.to_builtins(figures)}})
