"""A corpus and its output over some runs: what lies there, which rows ask for it, which settings, what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import dataclasses
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from pipeline.config import Settings
from pipeline.errors import GradiumBatchError, ManifestError
from pipeline.exchange import Endpoint
from pipeline.gradium.service import GradiumService
from pipeline.run.balance import Balance
from pipeline.run.check import check
from pipeline.run.context import RunOptions
from pipeline.run.control import Control
from pipeline.run.run import run
from tests.forecast.recordings import FORMS, RATES, Content
from tests.nights.patched import decoded_here
from tests.servers import RunningServer

WITHIN = 0.01
START_NS = 1_700_000_000_000_000_000
NAMES = [f"r{number}.wav" for number in range(12)]
QUICK = {
    "retry": {"max_attempts": 1, "base_s": 0.001, "max_s": 0.01, "probe_s": 0.005, "outage_max_s": 0.05},
    "pool": {"concurrency": 4},
}


@dataclasses.dataclass
class Row:
    """A row of the manifest."""

    id: str
    name: str
    offset_s: float | None = None
    duration_s: float | None = None
    channel: int | None = None


class Life:
    """One corpus; `seed` decides all that happens."""

    def __init__(self, seed: int, base: Path, sound: RunningServer, failing: RunningServer) -> None:
        self._rng = random.Random(seed)
        self._base, self._out = base, base / "out"
        self._sound, self._failing = sound, failing
        self._form = self._rng.choice(["ids", "ids", "paths", "folder"])
        """A CSV with ids of its own, one whose ids are the paths, or the folder itself."""
        self._files: dict[str, Content] = {}
        self._rows: list[Row] = []
        self._ids = self._seeds = self._writes = 0
        self._audio: dict[str, Any] = {"max_clip_s": 5.0}
        self._language = "en"
        self.story: list[str] = []
        (base / "audio").mkdir()

    def go_on(self) -> None:
        """A round: something changes, perhaps a run goes wrong, and then one is forecast and goes well."""
        for _ in range(self._rng.randint(1, 4) if self._files else 6):
            self._change()
        if self._rng.random() < 0.5:
            self._set()
        if self._rng.random() < 0.6:
            self._run_badly()
            for _ in range(self._rng.randint(0, 2)):
                self._change()
            if self._rng.random() < 0.4:
                self._set()
        self._compare()

    # -- what changes -----------------------------------------------------------------------------------------------

    def _change(self) -> None:
        names = sorted(self._files)
        moves = [self._add, self._add, self._span]
        if names:
            moves += [self._rewrite, self._copy, self._rename, self._touch, self._span, self._unlist, self._reid]
        if len(names) > 1:
            moves += [self._exchange]
        self._rng.choice(moves)()

    def _content(self) -> Content:
        rng = self._rng
        self._seeds += 1
        form, seconds = rng.choice(list(FORMS)), rng.choice([0.4, 1.0, 3.3, 7.0, 12.6, 21.0, 33.0])
        if form == "vorbis":  # its decoder gives some milliseconds more
            seconds = max(seconds, 3.3)
        return Content(form, self._seeds, seconds, rng.choice([1, 1, 2]), rng.choice(RATES))

    def _write(self, name: str, content: Content) -> None:
        self._files[name] = content
        (self._base / "audio" / name).write_bytes(content.data)
        self._touch(name)

    def _add(self) -> None:
        free = [name for name in NAMES if name not in self._files]
        if free:
            name = self._rng.choice(free)
            self._write(name, self._content())
            self._list(name)
            self.story.append(f"new {name}: {self._files[name]}")

    def _list(self, name: str, **span: Any) -> None:
        self._ids += 1
        self._rows.append(Row(f"u{self._ids}", name, **span))

    def _some(self) -> str:
        return self._rng.choice(sorted(self._files))

    def _rewrite(self) -> None:
        name = self._some()
        before = self._files[name]
        new = self._content() if self._rng.random() < 0.5 else dataclasses.replace(before, seed=10_000 + self._seeds)
        self._write(name, new)
        self.story.append(f"rewritten {name}: {new}")

    def _copy(self) -> None:
        free = [name for name in NAMES if name not in self._files]
        if free:
            name, of = self._rng.choice(free), self._some()
            self._write(name, self._files[of])
            self._list(name)
            self.story.append(f"copied {of} to {name}")

    def _rename(self) -> None:
        free = [name for name in NAMES if name not in self._files]
        if free:
            was, name = self._some(), self._rng.choice(free)
            (self._base / "audio" / was).rename(self._base / "audio" / name)
            self._files[name] = self._files.pop(was)
            for row in self._rows:
                row.name = name if row.name == was else row.name
            self.story.append(f"renamed {was} to {name}")

    def _touch(self, name: str | None = None) -> None:
        self._writes += 1
        path = self._base / "audio" / (name or self._some())
        os.utime(path, ns=(START_NS + self._writes * 10**9,) * 2)

    def _exchange(self) -> None:
        one, other = self._rng.sample(sorted(self._files), 2)
        contents = self._files[one], self._files[other]
        self._write(one, contents[1])
        self._write(other, contents[0])
        self.story.append(f"exchanged {one} and {other}")

    def _span(self) -> None:
        rng = self._rng
        if not self._files:
            return
        name = self._some()
        length_s, channels = self._files[name].seconds, self._files[name].channels
        offset_s = rng.choice([None, 0.5, length_s / 2, length_s - 0.1, length_s + 1, length_s * 3])
        duration_s = rng.choice([None, 0.2, length_s / 3, length_s, length_s + 0.5, length_s + 5])
        channel = rng.choice([None, None, 0, 1, channels])
        span: dict[str, Any] = {"offset_s": offset_s, "duration_s": duration_s, "channel": channel}
        rows = [row for row in self._rows if row.name == name]
        if rows and rng.random() < 0.5:
            row = rng.choice(rows)
            row.offset_s, row.duration_s, row.channel = offset_s, duration_s, channel
        else:
            self._list(name, **span)
        self.story.append(f"span of {name} ({length_s} s): {span}")

    def _unlist(self) -> None:
        if len(self._rows) > 2:
            row = self._rows.pop(self._rng.randrange(len(self._rows)))
            self.story.append(f"unlisted {row}")

    def _reid(self) -> None:
        if self._rows:
            row = self._rng.choice(self._rows)
            self._ids += 1
            row.id = f"u{self._ids}"
            self.story.append(f"other id {row}")

    def _set(self) -> None:
        """Other settings: mostly such that answers still match."""
        rng = self._rng
        self._audio |= {"channels": rng.choice(["mix", "split", "first"]), "max_clip_s": rng.choice([5.0, 6.0, 10.0])}
        if rng.random() < 0.3:
            self._audio |= {"max_recording_h": rng.choice([24.0, 15 / 3600]), "allow_truncated": rng.random() < 0.3}
        if rng.random() < 0.2:
            self._audio |= {"lead_silence_s": rng.choice([0.0, 0.3]), "upload": rng.choice(["auto", "opus"])}
            self._language = rng.choice(["en", "fr"])

    # -- runs -------------------------------------------------------------------------------------------------------

    def _manifest(self) -> str:
        if self._form == "folder":
            return str(self._base / "audio")
        path = self._base / "m.csv"
        names = ["audio", "offset_s", "duration_s", "channel", "id"][: 5 if self._form == "ids" else 4]
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            for row in self._rows:
                told = [f"audio/{row.name}", row.offset_s, row.duration_s, row.channel, row.id]
                writer.writerow(told[: len(names)])
        return str(path)

    def _settings(self, server: RunningServer, *, service: dict[str, Any] | None = None, **more: Any) -> Settings:
        service = {"url": server.url, "language": self._language} | (service or {})
        return Settings.model_validate({"service": service, "audio": self._audio, **QUICK, **more})

    def _options(self, **more: Any) -> RunOptions:
        return RunOptions(manifests=(self._manifest(),), out=self._out, shared_out=True, progress="off", **more)

    def _run(self, options: RunOptions, settings: Settings, server: RunningServer) -> list[float]:
        """Does a run; what it compared the balance with, where something was to be sent."""
        compared: list[float] = []

        async def needed(balance: Balance, held: float, rows: int, at_most: int | None) -> float:
            compared.append(await real(balance, held, rows, at_most))
            return compared[-1]

        real = Balance._needed

        @contextlib.asynccontextmanager
        async def endpoint(_: Settings) -> AsyncIterator[Endpoint]:
            yield Endpoint(url=server.url, key=server.key)

        async def bounded() -> None:
            async with asyncio.timeout(60):
                await run(options, settings, GradiumService(endpoint), Control())

        with decoded_here(), mock.patch.object(Balance, "_needed", needed):
            asyncio.run(bounded())
        return compared

    def _run_badly(self) -> None:
        """Against a server that fails often, or up to a limit: what was answered stays."""
        how = self._rng.choice(["fails", "fails", "budget", "limit"])
        more: dict[str, Any] = {"budget": {"credits": self._rng.choice([9, 25, 60])}} if how == "budget" else {}
        limit = self._rng.randint(1, 3) if how == "limit" else None
        server = self._failing if how == "fails" else self._sound
        self.story.append(f"ran badly: {how} {more or limit or ''} {self._audio} {self._language}")
        with contextlib.suppress(GradiumBatchError):
            self._run(self._options(limit=limit), self._settings(server, **more), server)

    def _compare(self) -> None:
        rng = self._rng
        settings = self._settings(self._sound, service={"require_credits": True})
        bounds = {"only": rng.choice([(), (), (), ("failed",)]), "limit": rng.choice([None, None, None, 1, 3])}
        self.story.append(f"compared: {bounds} {self._audio} {self._language}")
        try:
            forecast = check(self._options(**bounds), settings)
        except GradiumBatchError as error:
            self.story.append(f"refused: {error}")
            return
        if forecast.bad_rows:  # two rows of one path and span
            with pytest.raises(ManifestError):
                self._run(self._options(**bounds), settings, self._sound)
            return
        before = self._sound.stats()
        needed = self._run(self._options(**bounds), settings, self._sound)
        after = self._sound.stats()
        requests = after["requests"] - before["requests"]
        billed = after["credits_charged"] - before["credits_charged"]
        told = (
            "\n".join(self.story)
            + f"\nforecast {forecast}\nsent {requests} requests for {billed:.3f} credits, compared {needed}"
        )
        assert forecast.requests == requests, told
        assert abs(forecast.credits - billed) <= WITHIN * billed + 1e-6, told
        assert needed == ([round(forecast.credits, 6)] if forecast.selected else []), told
