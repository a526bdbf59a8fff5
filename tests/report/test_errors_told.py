"""Each class of error that can stand in errors.* is explained in docs/output.md, and has its sentence in `status`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pipeline import errors
from pipeline.report.hints import HINTS

PAGE = Path(__file__).parents[2] / "docs" / "output.md"
ONLY_BASES = {"ItemError", "PassingError", "LimitError"}
NO_FAILURE = {"CutOff", "ClipTooLong"}
"""Nothing is known about it: the row stays as it was; and its audio is sent in shorter clips, or is AudioRefused."""


def kinds(of: type[BaseException]) -> Iterator[type[BaseException]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


def can_fail() -> set[str]:
    """What a row can fail as; what is the account's or a setting's fault ends the run."""
    ends_run = errors.AccountError | errors.SettingsInvalid
    found = {kind.__name__ for kind in kinds(errors.AttemptError) if not issubclass(kind, ends_run)}
    return found - ONLY_BASES - NO_FAILURE


def test_the_page_explains_each_error_and_no_other() -> None:
    section = PAGE.read_text("utf-8").partition("\n## errors.parquet")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    named = [name for row in rows[1:] for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(can_fail())


def test_status_has_a_sentence_for_each_error_and_no_other() -> None:
    assert HINTS.keys() == can_fail()
