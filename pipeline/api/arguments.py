"""What the functions are given, checked: the options of a run and its settings, as the command makes them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from pipeline import config
from pipeline.api.settings import Settings
from pipeline.errors import UsageError
from pipeline.run.asked import LONGEST_S, MOST, ONLY, ONLY_BY_ID, absolute, output_problem, refuse_unprintable
from pipeline.run.context import RunOptions
from pipeline.run.output import default_out
from pipeline.texts import nearest, visible

PathLike = str | os.PathLike[str]
Paths = PathLike | Iterable[PathLike]
Texts = str | Iterable[str]
SettingsLike = config.Settings | Mapping[str, Any] | PathLike | None


def settings_of(given: SettingsLike) -> config.Settings:
    """The settings that an argument stands for. Raises ConfigError."""
    if isinstance(given, config.Settings):
        return given
    if isinstance(given, Mapping):
        return Settings(**{str(name): section for name, section in given.items()})
    return config.load_settings(None if given is None else Path(path_of("settings", given)))


def options_of(
    manifest: Paths,
    out: PathLike | None,
    settings: config.Settings,
    *,
    only: Texts,
    ids: Texts | None,
    limit: int | None,
    include: Texts,
    exclude: Texts,
    max_duration_s: float | None = None,
    skip_bad_rows: bool = False,
    strict: bool = False,
) -> RunOptions:
    """The options of a run. Raises UsageError, which names the argument."""
    manifests = paths_of("manifest", manifest)
    ids_ = None if ids is None else tuple(dict.fromkeys(texts_of("ids", ids)))
    if not manifests:
        raise UsageError("manifest: none was given; name a folder, a recording, a glob or a manifest file")
    if ids_ is not None and not all(map(str.strip, ids_ or ("",))):
        raise UsageError("ids: an empty id, or none at all, names no utterance; leave ids out to take all")
    if limit is not None and not (isinstance(limit, int) and not isinstance(limit, bool) and 1 <= limit <= MOST):
        raise UsageError(f"limit: {limit!r} is no number of utterances from 1 to {MOST:,}")
    if max_duration_s is not None:
        seconds_of("max_duration_s", max_duration_s)
    folder = None if out is None else path_of("out", out)
    if folder is not None and (problem := output_problem(folder)) is not None:
        raise UsageError(f"out: {problem}")
    refuse_unprintable(
        {
            "manifest": " ".join(map(absolute, manifests)),
            "out": absolute(folder or "."),
            "ids": "".join(ids_ or ()),
        }
    )
    return RunOptions(
        manifests=manifests,
        # the program may change its working folder while the run goes on
        out=(default_out(manifests, settings.service.url) if folder is None else Path(folder)).absolute(),
        shared_out=folder is not None,
        only=_only(only) or (ONLY_BY_ID if ids_ else ()),
        ids=ids_ or (),
        limit=limit,
        max_duration_s=max_duration_s,
        skip_bad_rows=skip_bad_rows,
        strict=strict,
        include=texts_of("include", include),
        exclude=texts_of("exclude", exclude),
        progress="off",
    )


def _only(given: Texts) -> tuple[str, ...]:
    chosen = texts_of("only", given)
    for one in chosen:
        if one not in ONLY:
            near = nearest(one, ONLY)
            hint = f"did you mean {near!r}?" if near else f"take {', '.join(map(repr, ONLY))}"
            raise UsageError(f"only: {one!r} is no choice; {hint}")
    return chosen


def seconds_of(name: str, given: Any) -> None:
    """Raises UsageError where an argument is no time."""
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not (is_number and isfinite(given) and 0 < given <= LONGEST_S):
        raise UsageError(f"{name}: {given!r} is no number of seconds from 0 to {LONGEST_S:,.0f}")


def paths_of(name: str, given: Any) -> tuple[str, ...]:
    """The paths that an argument stands for. Raises UsageError."""
    many = [given] if isinstance(given, str | os.PathLike) else _several(name, given)
    return tuple(path_of(name, one) for one in many)


def path_of(name: str, given: Any) -> str:
    """The path that an argument stands for. Raises UsageError."""
    found = os.fspath(given) if isinstance(given, str | os.PathLike) else given
    if not isinstance(found, str) or "\0" in found:
        raise UsageError(f"{name}: {visible(repr(given))} is no path: give a str or a pathlib.Path")
    return found


def texts_of(name: str, given: Any) -> tuple[str, ...]:
    """A single text counts as one, not as its letters. Raises UsageError."""
    many = [given] if isinstance(given, str) else _several(name, given)
    for one in many:
        if not isinstance(one, str):
            raise UsageError(f"{name}: {visible(repr(one))} is no str")
    return tuple(many)


def _several(name: str, given: Any) -> list[Any]:
    try:
        return [*given]
    except TypeError:
        raise UsageError(f"{name}: {visible(repr(given))} is neither a text nor several of them") from None
