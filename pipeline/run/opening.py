"""The line at the start of a run: how much is to be done, and who answers.

Opens the headers of a few local recordings; of many rows the rest is estimated from these.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from pipeline.audio.probe import probe
from pipeline.audio.upload import estimate
from pipeline.checkpoint import Plan, Store
from pipeline.checkpoint.schema import OWNER
from pipeline.checkpoint.selection import Sampled
from pipeline.config import Settings
from pipeline.errors import AttemptError
from pipeline.report.figures import length
from pipeline.report.logs import say
from pipeline.run.context import RunContext
from pipeline.run.owner import LOCAL, SERVICE
from pipeline.source.addresses import is_address
from pipeline.texts import plural, shown_id

MEASURED = 32
"""Recordings whose headers are read."""
PATIENCE_S = 1.0
"""They are not waited for longer than that."""


async def tell_opening(store: Store, plan: Plan, context: RunContext, expected_s: float, *, have_spans: bool) -> None:
    """Says it, unless progress is off: `3 of 14 files to do, 9 s of audio, local recognizer pocketsphinx`.

    It says "about" where not every length was counted. `expected_s` is the store's estimate of all that is to be done;
    with `have_spans` several rows may be of one file, so they are not called files.
    """
    limit, settings = context.options.limit, context.settings
    if context.options.progress == "off":
        return
    rows = min(plan.selected, limit or plan.selected)
    noun = "utterance" if have_spans else "file"
    what = plural(rows, noun) if rows == plan.rows else f"{rows:,} of {plural(plan.rows, noun)} to do"
    sample = await store.sample(limit, MEASURED, rows)
    seconds, is_counted = await _seconds(sample, settings, rows=rows, expected_s=expected_s)
    audio = [f"{'' if is_counted else 'about '}{length(seconds, short=True)} of audio"] if seconds else []
    say(", ".join([what, *audio, _who(await store.fact(OWNER, str), settings.service.url)]))
    if (sentence := context.lengths.sentence) is not None:
        say(sentence)


async def _seconds(
    sample: Sequence[Sampled], settings: Settings, *, rows: int, expected_s: float
) -> tuple[float, bool]:
    """(seconds of audio of all `rows`, whether they were counted)."""
    stopped = threading.Event()
    try:
        async with asyncio.timeout(PATIENCE_S):
            measuring = asyncio.to_thread(_measure, sample, settings, stopped)
            estimated_s, measured_s, is_counted = await measuring
    except TimeoutError:  # a disk that hangs
        return expected_s, False
    finally:
        stopped.set()
    if len(sample) == rows:
        return measured_s, is_counted
    return expected_s * (measured_s / estimated_s if estimated_s else 1.0), False


def _measure(sample: Sequence[Sampled], settings: Settings, stopped: threading.Event) -> tuple[float, float, bool]:
    """(estimated seconds, measured seconds, whether all are counted) of the recordings that can be read."""
    estimated_s, measured_s, is_counted = 0.0, 0.0, True
    for one in sample:
        if stopped.is_set():
            break
        if is_address(one.utterance.audio):  # read once, when it is sent
            estimated_s += one.expected_s
            measured_s += one.expected_s
            is_counted = False
            continue
        with suppress(AttemptError):
            found = estimate(one.utterance, probe(one.utterance.audio), settings.audio, settings.request_price)
            estimated_s += one.expected_s
            measured_s += found.audio_s
            is_counted &= not found.is_guess
    return estimated_s, measured_s, is_counted


def _who(owner: str | None, url: str) -> str:
    if owner == SERVICE:
        return "Gradium service"
    if owner is not None:
        return f"local recognizer {shown_id(owner.removeprefix(LOCAL))}"
    address = urlsplit(url)  # without what may stand before the host
    return f"server at {address.hostname}{f':{address.port}' if address.port else ''}"
