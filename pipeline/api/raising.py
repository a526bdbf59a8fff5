"""How errors reach a program: without secrets, and with the exit status that the command would have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import AttemptError, GradiumBatchError
from pipeline.failures import status_of
from pipeline.redaction import hide, redacted
from pipeline.run.asked import KEY_ENV


@contextmanager
def raised() -> Iterator[None]:
    """Our errors in the block, which may quote what they were given, leave it as a program may log them."""
    hide(os.environ.get(KEY_ENV, ""))
    try:
        yield
    except GradiumBatchError as error:
        error.args = tuple(redacted(part) if isinstance(part, str) else part for part in error.args)
        if isinstance(error, AttemptError):
            error.message = redacted(error.message)
        if _shows_secrets(error.__cause__ or error.__context__):
            error.__cause__ = error.__context__ = None
        error.exit = status_of(error)
        raise


def _shows_secrets(error: BaseException | None) -> bool:
    """Whether a traceback of the error would, also by what it came from."""
    while error is not None:
        text = f"{error} {error!r}"
        if redacted(text) != text:
            return True
        error = error.__cause__ or error.__context__
    return False
