"""Decides which single response ends a run: by its error alone, or because nothing usable has come so far.

Pure: no I/O.
"""

from __future__ import annotations

from pipeline.errors import AttemptError, CompressedAnswer, GradiumBatchError, SettingsRefused
from pipeline.failures import consequence_of

EMPTY_AT_FIRST = 4
"""If the first answers of a run are so many empty ones, the settings are refused."""
COMPRESSED_IN_A_ROW = 4
"""After so many answers in a row that cannot be decompressed the run ends: each may have been billed."""


class UnusableAnswers:
    """Counts the responses of a run."""

    def __init__(self, *, settings_answered: bool) -> None:
        """`settings_answered`: an earlier run was answered with these settings."""
        self._are_settings_taken = settings_answered
        self._ended = self._empty = 0
        """Responses of any kind, and those that were empty."""
        self._compressed = 0
        """Answers in a row that could not be decompressed."""

    def answered(self) -> None:
        """Counts an answer with a transcript."""
        self._are_settings_taken = True
        self._ended += 1
        self._compressed = 0

    def end(self, error: AttemptError) -> GradiumBatchError | None:
        """Counts an error; the one that the run ends with, if this is enough for that."""
        ends_run = consequence_of(error).ends_run
        self._ended += error.http_status is not None
        self._empty += ends_run == "all empty"
        self._compressed += ends_run == "in a row"
        match ends_run:
            case "at once":
                return error
            case "unanswered settings" if not self._are_settings_taken:
                return error
            case "all empty" if self._ended == self._empty == EMPTY_AT_FIRST and not self._are_settings_taken:
                return SettingsRefused(
                    f"the first {EMPTY_AT_FIRST} answers were all an empty 200, which is how the service refuses "
                    "request settings; check service.json_config and service.model"
                )
            case "in a row" if self._compressed >= COMPRESSED_IN_A_ROW:
                return CompressedAnswer(
                    f"{error.message}; {COMPRESSED_IN_A_ROW} times with no other answer in between, so nothing "
                    "more is sent: stop the proxy or gateway that compresses answers, then run "
                    "the same command again"
                )
        return None
