"""A forecast with the account's balance, which is asked for meanwhile: nothing else goes to the service."""

from __future__ import annotations

import asyncio

import msgspec

from pipeline.config import Settings
from pipeline.engines.local import Threads, remote_endpoint
from pipeline.errors import ConfigError, EndpointUnreachable, KeyRefused
from pipeline.exchange import AccountBalance, Endpoint, why_unknown
from pipeline.gradium.ending import explained
from pipeline.gradium.service import balance_at
from pipeline.pool.account import ASK_S
from pipeline.run.check import Forecast, check
from pipeline.run.context import RunOptions
from pipeline.threads import DaemonThreads, is_done

START_S = 5.0
"""A busy machine may take so long to load the HTTP libraries."""
LOCAL = 'not asked: service.url is "local"'
OFFLINE = "not asked: --offline"
LATE = f"no answer within {ASK_S:g} s"
NO_KEY = "not asked: there is no usable key or address"


class ForecastResult(msgspec.Struct, frozen=True):
    """A forecast, and what of the account would stop a run."""

    forecast: Forecast
    was_asked: bool = False
    """Whether the service was asked for the balance."""
    error: ConfigError | KeyRefused | None = None
    """No key, or an address that cannot be asked as things are; or a key that is refused."""


def forecast(options: RunOptions, settings: Settings, *, offline: bool = False) -> ForecastResult:
    """Forecasts a run, and asks for the balance where there is a key, once and for ASK_S at most; with `offline` not.

    Whatever comes of that, the forecast is made. Raises what `run.check.check` does.
    """
    try:
        remote = remote_endpoint(settings)
    except ConfigError as missing:
        return ForecastResult(check(options, settings, balance=OFFLINE if offline else NO_KEY), error=missing)
    if remote is None or offline:
        return ForecastResult(check(options, settings, balance=LOCAL if remote is None else OFFLINE))
    error: KeyRefused | None = None
    threads = DaemonThreads(1, "gradium-batch-balance")
    asking = threads.submit(_ask, remote, settings)
    balance: AccountBalance | str
    try:
        found = check(options, settings, balance="")
        balance = asking.result() if is_done(asking, ASK_S + START_S) else LATE
    except EndpointUnreachable as unreachable:
        balance = str(unreachable).partition(";")[0]
    except KeyRefused as refused:
        error = refused
        balance = f"the key is refused: {refused}"
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    known = why_unknown(balance) or balance
    return ForecastResult(
        found.with_balance(known if isinstance(known, str) else known.remaining_credits), was_asked=True, error=error
    )


def _ask(endpoint: Endpoint, settings: Settings) -> AccountBalance | str:
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.get_loop().set_default_executor(Threads(1, "gradium-batch-names"))  # a name server may hang
        try:
            return runner.run(balance_at(endpoint, settings, within_s=ASK_S))
        except KeyRefused as refused:
            raise explained(refused, settings.service) from None
