"""One night as a user has it: the real command, which a real `kill -9` may end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.batch import COMMAND, environment
from tests.nights.night import NEVER_ENDS_S, Ended, Night, configured
from tests.nights.service import Service
from tests.nights.world import World


def by_command(night: Night, world: World, service: Service) -> Ended:
    """Does the night. Where files cannot be read this command could read them: leave that move out."""
    books = service.books(night.faults)
    before = _summary(world.out)
    process = subprocess.Popen(
        [*COMMAND, "run", *_arguments(night, world, service)],
        env=environment() | {"GRADIUM_API_KEY": books.key},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    kill = night.kill
    if kill is not None and kill.request is not None:
        books.kill = kill.request, process.pid
    try:
        _, said = process.communicate(timeout=NEVER_ENDS_S if kill is None else kill.after_s)
    except subprocess.TimeoutExpired:
        process.kill()
        _, said = process.communicate()
        if kill is None:
            raise AssertionError(f"the night did not end within {NEVER_ENDS_S:.0f} s: {night}\n{said}") from None
    if process.returncode == -signal.SIGKILL:
        return Ended(None, None, "killed", books.asked)
    if "Traceback" in said:
        raise AssertionError(said)
    figures = _summary(world.out)
    last = said.strip().splitlines()[-1]
    told = {name: int(value) for name, value in re.findall(r"\b(done|failed|left|exit)=(\d+)", last)}
    if figures is not None and figures != before and told != {name: figures[name] for name in told}:
        raise AssertionError(f"the last line says {told}, summary.json {figures}")
    if told.get("exit") != process.returncode:
        raise AssertionError(f"the command ended with {process.returncode}, its last line: {last}")
    return Ended(process.returncode, None if figures == before else figures, said[-500:], books.asked)


def _arguments(night: Night, world: World, service: Service) -> list[str]:
    given = configured(service, world)
    settings = [f"{section}.{key}={_text(value)}" for section, keys in given.items() for key, value in keys.items()]
    seconds = None if night.at_most_s is None else f"{night.at_most_s:.3f}s"
    more = {"--limit": night.limit, "--budget": night.budget, "--max-duration": seconds}
    return [
        str(world.manifest(night.manifest)),
        *("--out", str(world.out), "--progress", "off"),
        *(word for setting in settings for word in ("--set", setting)),
        *(word for kind in night.only for word in ("--only", kind)),
        *(word for name, value in more.items() if value is not None for word in (name, str(value))),
    ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _summary(out: Path) -> dict[str, Any] | None:
    path = out / "summary.json"
    summary: dict[str, Any] | None = json.loads(path.read_text("utf-8")) if path.exists() else None
    return summary
