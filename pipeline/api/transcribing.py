"""Runs, forecasts and the status of an output, for programs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pipeline.api.arguments import PathLike, Paths, SettingsLike, Texts, options_of, path_of, settings_of
from pipeline.api.raising import raised
from pipeline.api.records import Progress, Result, without_secrets
from pipeline.engines.background import BackgroundRun
from pipeline.engines.forecast import forecast
from pipeline.errors import KeyRefused, UsageError
from pipeline.report.progress import Progress as Counts
from pipeline.run import status as standing
from pipeline.run.check import Forecast
from pipeline.run.check import check as forecast_only
from pipeline.run.reporting import RunResult
from pipeline.run.status import Status
from pipeline.texts import visible

OnProgress = Callable[[Progress], object]


def transcribe(
    manifest: Paths,
    out: PathLike | None = None,
    *,
    settings: SettingsLike = None,
    on_progress: OnProgress | None = None,
    only: Texts = (),
    ids: Texts | None = None,
    limit: int | None = None,
    max_duration_s: float | None = None,
    skip_bad_rows: bool = False,
    strict: bool = False,
    include: Texts = (),
    exclude: Texts = (),
) -> Result:
    """Transcribes what is new, changed or worth another try: what `gradium-batch run` does, into the same folder.

    `manifest`: a folder, a recording, a glob, a manifest file, or several of them. `out`: the output folder, by default
    `runs/<name of the manifest>` (with the local recognizer `runs/<name>-local`). `settings`: a `Settings`, a dict like
    it, or a TOML file; without one the defaults, for the Gradium service. With a file or none environment variables
    GRADIUM_BATCH_… count. `on_progress` is called with a `Progress` in this thread, a few times a second at most, and
    at the end. `only`, `ids`, `limit`, `max_duration_s`, `skip_bad_rows`, `strict`, `include` and `exclude` are the
    command's options of these names.

    Returns the `Result`, also where utterances failed or a limit was reached: see its `exit`. Raises UsageError
    (ConfigError, ManifestError) or OutputHeld where the run is refused; another GradiumBatchError, with the Result as
    its `result`, where it broke off: a bad key, a service that stays out, a full disk. What was answered is kept, and
    the next call goes on from there.

    May be called in any thread, and where an event loop runs (a notebook). Ctrl-C waits for the answers in flight (a
    second one does not), and then raises KeyboardInterrupt; so does what `on_progress` raises.
    """
    with raised():
        chosen = settings_of(settings)
        options = options_of(
            manifest,
            out,
            chosen,
            only=only,
            ids=ids,
            limit=limit,
            max_duration_s=max_duration_s,
            skip_bad_rows=skip_bad_rows,
            strict=strict,
            include=include,
            exclude=exclude,
        )
        return _ended(BackgroundRun(options, chosen, _told(on_progress)).wait())


async def transcribe_async(
    manifest: Paths,
    out: PathLike | None = None,
    *,
    settings: SettingsLike = None,
    on_progress: OnProgress | None = None,
    only: Texts = (),
    ids: Texts | None = None,
    limit: int | None = None,
    max_duration_s: float | None = None,
    skip_bad_rows: bool = False,
    strict: bool = False,
    include: Texts = (),
    exclude: Texts = (),
) -> Result:
    """`transcribe` as a coroutine. Cancelled, it waits for the answers in flight (cancelled again, it does not) and is
    cancelled then. `on_progress` is called in the loop's thread."""
    with raised():
        chosen = settings_of(settings)
        options = options_of(
            manifest,
            out,
            chosen,
            only=only,
            ids=ids,
            limit=limit,
            max_duration_s=max_duration_s,
            skip_bad_rows=skip_bad_rows,
            strict=strict,
            include=include,
            exclude=exclude,
        )
        return _ended(await BackgroundRun(options, chosen, _told(on_progress)).wait_async())


def check(
    manifest: Paths,
    out: PathLike | None = None,
    *,
    settings: SettingsLike = None,
    only: Texts = (),
    ids: Texts | None = None,
    limit: int | None = None,
    skip_bad_rows: bool = False,
    include: Texts = (),
    exclude: Texts = (),
    ask_balance: bool = False,
) -> Forecast:
    """What `transcribe` with these arguments would send and cost; sends nothing, needs no key and uses no network.

    With `ask_balance` the service is asked for the account's balance, for 5 seconds at most, where there is a key: it
    is the forecast's `balance`, or `balance_unknown` says why there is none. Raises KeyRefused for a bad key.

    Raises UsageError where the run would be refused; bad rows are in the forecast (`bad`). Blocks while it reads the
    manifest and the headers of recordings: in an event loop use `asyncio.to_thread`.
    """
    with raised():
        chosen = settings_of(settings)
        options = options_of(
            manifest,
            out,
            chosen,
            only=only,
            ids=ids,
            limit=limit,
            skip_bad_rows=skip_bad_rows,
            include=include,
            exclude=exclude,
        )
        if not ask_balance:
            return without_secrets(forecast_only(options, chosen))
        found = forecast(options, chosen)
        if isinstance(found.error, KeyRefused):
            raise found.error
        return without_secrets(found.forecast)


def status(out: PathLike) -> Status:
    """How an output folder stands: done, failed and why, left, spent, the last runs. Works while a run is at work.

    Raises UsageError where nothing was run into it."""
    with raised():
        return without_secrets(standing.status(Path(path_of("out", out))))


def _told(on_progress: OnProgress | None) -> Callable[[Counts], object] | None:
    if on_progress is not None and not callable(on_progress):
        raise UsageError(f"on_progress: {visible(repr(on_progress))} is no function that takes a Progress")
    return None if on_progress is None else partial(_tell, on_progress)


def _tell(on_progress: OnProgress, counts: Counts) -> None:
    on_progress(Progress.of(counts))


def _ended(ended: RunResult) -> Result:
    """Raises the error that ended the run early, with the result."""
    result = Result.of(without_secrets(ended.figures))
    if ended.error is not None:
        ended.error.result = result
        raise ended.error
    return result
