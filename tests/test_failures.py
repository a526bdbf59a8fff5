"""What follows from each error: a row for every class, the same as in the documentation, and what else relies on it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from pipeline import errors
from pipeline.failures import TABLE, by_class, by_name, status_of
from pipeline.pool import refusals, unusable

BASES = {
    errors.GradiumBatchError, errors.UsageError, errors.RunError,
    errors.AttemptError, errors.ItemError, errors.PassingError, errors.LimitError, errors.AccountError,
}  # fmt: skip
"""Classes that are never raised themselves."""
PAGE = Path("docs/hostile-service.md")
END = {
    "no": "no",
    "at once": "at once",
    "unanswered settings": "unless these settings were ever answered",
    "all empty": f"where the first {unusable.EMPTY_AT_FIRST} answers are all like it",
    "in a row": f"after {unusable.COMPRESSED_IN_A_ROW} with no answer in between",
    "first alike": f"where {refusals.ALIKE} of the first {refusals.FIRST} recordings draw the same words",
    "first refused": f"where a source refuses the first {refusals.ALIKE} recordings that are read from it",
    "probes alike": f"where {refusals.PROBES_ALIKE} probes draw the same words and nothing was answered",
}


def classes(below: type[errors.GradiumBatchError] = errors.GradiumBatchError) -> list[type[errors.GradiumBatchError]]:
    """Those that are raised, each once."""
    found = [] if below in BASES else [below]
    return found + [kind for child in below.__subclasses__() for kind in classes(child)]


def told(kind: type[errors.GradiumBatchError]) -> tuple[str, ...]:
    """What the documentation says of a class."""
    follows = by_class(kind)
    again = {"no": "no", "backoff": "with backoff", "wait": "waited out", "shorter": "in shorter clips"}[follows.retry]
    if not issubclass(kind, errors.AttemptError) or follows.ends_run == "at once":
        later = "no failure"
    elif not follows.is_final:
        later = "tried again"
    else:
        later = f"left alone until {'file or row change' if follows.is_of_the_file else 'audio or settings change'}"
    end = END[follows.ends_run]
    return again, follows.breaker, later, end if end == "no" else f"{end}, exit {follows.exit_status:d}"


def test_the_table_in_the_docs_is_the_one_of_the_program() -> None:
    rows = defaultdict[tuple[str, ...], list[str]](list)
    for kind in classes():
        rows[told(kind)].append(f"`{kind.__name__}`")
    wanted = [" | ".join((", ".join(names), *row)) for row, names in rows.items()]
    table = PAGE.read_text("utf-8").partition("## What follows from each error")[2].partition("\n## ")[0]
    assert [line[2:-2] for line in table.splitlines() if line.startswith("| ") and "---" not in line][1:] == wanted


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_every_class_has_a_row_of_its_own_or_of_a_narrower_base_than_any_attempt(
    kind: type[errors.GradiumBatchError],
) -> None:
    base = next(base for base in kind.__mro__ if base in TABLE)
    if issubclass(kind, errors.AttemptError) and kind is not errors.CutOff:  # of which nothing follows
        assert base is not errors.AttemptError
    assert by_name(kind.__name__) == (
        by_class(kind) if issubclass(kind, errors.AttemptError) else TABLE[errors.AttemptError]
    )


@pytest.mark.parametrize("kind", classes(errors.AttemptError), ids=lambda kind: kind.__name__)
def test_a_final_failure_is_not_sent_again_and_a_limit_of_the_service_breaks_no_circuit(
    kind: type[errors.GradiumBatchError],
) -> None:
    follows = by_class(kind)
    assert follows.retry == "no" or not follows.is_final
    assert (follows.breaker == "refusal") == (follows.retry in {"wait", "shorter"})
    assert not follows.is_of_the_file or follows.breaker == "nothing"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.ManifestError, 2),
        (errors.SettingsRefused, 2),
        (errors.OutputHeld, 5),
        (errors.OutputGone, 1),
        (errors.KeyRefused, 1),
        (errors.RefusesAll, 1),
    ],
)
def test_the_exit_status_of_an_error_that_ends_the_run(kind: type[errors.GradiumBatchError], status: int) -> None:
    assert status_of(kind("said")) == status


def test_a_class_of_an_older_version_is_like_any_attempt() -> None:
    assert by_name("Vanished") == by_name("MAX_MESSAGE") == TABLE[errors.AttemptError]
