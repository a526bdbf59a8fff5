"""One run within another program: in a daemon thread with an event loop of its own, while the caller waits.

Touches nothing that belongs to the program around: no handler of a signal, no loop, no log, no stream. Whatever raises
while the caller waits (Ctrl-C, a cancelled task, the caller's callback) stops the run as a first signal does a command,
a second time as a second one does, and is raised once the run has ended, or the caller has had enough of waiting.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from pipeline.config import Settings
from pipeline.engines.ending import Ending
from pipeline.engines.local import remote_endpoint, run_in_loop
from pipeline.errors import RunError
from pipeline.exchange import Endpoint
from pipeline.exits import ExitStatus
from pipeline.report.progress import Progress
from pipeline.run.context import RunOptions
from pipeline.run.control import Control
from pipeline.run.reporting import RunResult

LOOK_S = 0.25
"""The caller looks at the run that often."""


class BackgroundRun:
    """A run, from its start to its end. All methods are the caller's, in one thread."""

    def __init__(
        self, options: RunOptions, settings: Settings, on_progress: Callable[[Progress], object] | None = None
    ) -> None:
        """It starts when it is waited for. `on_progress` is called in the caller's thread now and then, and at the end.

        Raises ConfigError where the endpoint cannot be asked as things are."""
        remote = remote_endpoint(settings)
        self._ended = threading.Event()
        self._on_end: Callable[[], None] = lambda: None
        self._result: RunResult | None = None
        self._error: BaseException | None = None
        self._interrupt: BaseException | None = None
        self._is_left = False
        self._progress = Progress()
        self._on_progress = on_progress
        self._told: tuple[float, ...] = ()
        loop, control = asyncio.SelectorEventLoop(), Control()  # whatever loops the program around prefers
        # unlike a process that ends, a thread that is left goes on: a cut run is waited for as well
        self._ending = Ending(control, loop, options.max_duration_s, requests=3)
        self._thread = threading.Thread(
            target=self._run, args=(loop, options, settings, remote, control), name="gradium-batch", daemon=True
        )

    def _run(
        self,
        loop: asyncio.AbstractEventLoop,
        options: RunOptions,
        settings: Settings,
        remote: Endpoint | None,
        control: Control,
    ) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                self._result = runner.run(run_in_loop(options, settings, remote, control, self._progress))
        except BaseException as error:  # raised where the caller waits
            self._error = error
        finally:
            self._ended.set()
            self._on_end()

    def wait(self) -> RunResult:
        """Waits for the end. Raises what interrupted the caller, what the run raised, or RunError where the run does
        not end although it was to stop."""
        try:
            while not self._is_over():
                try:
                    self._ended.wait(self._look())
                except BaseException as error:  # raised by a handler of a signal, or by the callback
                    self._stop(error)
        except BaseException as error:  # a second signal, before the first was passed on
            self._stop(error)
            return self.wait()
        return self._outcome()

    async def wait_async(self) -> RunResult:
        """The same in a coroutine."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def tell() -> None:
            with suppress(RuntimeError):  # the caller's loop was closed
                loop.call_soon_threadsafe(ended.cancel)

        self._on_end = tell
        while not self._is_over():
            try:
                await asyncio.wait([ended], timeout=self._look())
            except GeneratorExit as error:  # the coroutine is thrown away, and may not wait
                self._stop(error)
                raise
            except BaseException as error:  # cancelled, or raised by the callback
                self._stop(error)
        return self._outcome()

    def _is_over(self) -> bool:
        return self._ended.is_set() or self._is_left

    def _look(self) -> float:
        """Looks at the time and at the progress; returns how long to wait for the next look."""
        if self._thread.ident is None and self._interrupt is None:
            self._thread.start()
        self._is_left = self._thread.ident is None or self._ending.is_overdue()
        if self._is_left:
            return 0.0
        self._tell_progress()
        return min(LOOK_S, self._ending.wait_s() or LOOK_S)

    def _tell_progress(self, *, at_end: bool = False) -> None:
        if self._on_progress is None or self._interrupt is not None:
            return
        now = self._progress
        counts = (now.ok, now.failed, now.retries, now.audio_s)
        if at_end or (counts != self._told and any(counts)):
            self._told = counts
            self._on_progress(now)

    def _stop(self, error: BaseException) -> None:
        self._interrupt = error
        self._ending.request(ExitStatus.SIGINT, type(error).__name__)

    def _outcome(self) -> RunResult:
        if not self._is_left:
            self._thread.join()  # it has nothing left to do
        if self._interrupt is None and self._result is not None:
            self._tell_progress(at_end=True)
        if self._interrupt is not None:
            raise self._interrupt
        if self._error is not None:
            raise self._error
        if self._result is None:
            raise RunError(
                "the run was to stop and does not end, perhaps because a disk hangs; what was answered is kept, and "
                "the next run goes on from there"
            )
        return self._result
