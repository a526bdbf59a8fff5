"""Random nights, then `forget`: whatever had happened to a recording, no byte of its words stays, and all else does."""

from __future__ import annotations

import signal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.acceptance.remains import found_in
from tests.acceptance.test_forget import QUIET
from tests.batch import batch, environment, finish, jsonl_of, table_of, write_wav
from tests.forked import Started
from tests.servers import RunningServer

FORMATS = {"both": '["parquet","jsonl"]', "parquet": '["parquet"]', "jsonl": '["jsonl"]'}
PUBLISHING = """
import os, signal, pipeline.cli
from pipeline.sink.sink import Sink
Sink.{name} = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
pipeline.cli.main()
"""
MOVES = ("night", "killed", "killed while rows are replaced", "other settings", "other reference", "other content",
         "renamed", "copied", "span", "removed", "swapped", "rebuilt", "damaged")  # fmt: skip


class World:
    """Recordings with a manifest, and an output of nights over it."""

    def __init__(self, folder: Path, server: RunningServer, formats: str) -> None:
        self.folder, self.out, self.manifest, self.server = folder, folder / "out", folder / "m.csv", server
        self.formats, self.language, self.seed = formats, "en", 0
        self.rows: dict[str, tuple[str, str, str]] = {}
        """(recording, span, reference) by id."""
        self.words: dict[str, set[str]] = {}
        """All words that each recording has ever had, and its rows."""
        self.together: list[set[str]] = []
        """Recordings that have swapped their contents, one way or another."""
        for _ in range(5):
            self.add()

    def add(self) -> None:
        name = f"recording-{len(self.words)}.wav"
        self.words[name] = set()
        self.record(name)
        self.row(f"row-{len(self.rows)}y", name, "")

    def record(self, name: str) -> None:
        self.seed += 1
        self.words[name] |= {*write_wav(self.folder / name, self.seed, seconds=1.5).split()}

    def row(self, id_: str, name: str, span: str) -> None:
        self.seed += 1
        reference = f"reference{self.seed}z"
        self.rows[id_] = name, span, reference
        self.words[name] |= {reference, id_}

    def with_(self, name: str) -> set[str]:
        return next((one for one in self.together if name in one), {name})

    def arguments(self) -> list[str]:
        lines = [f"{id_},{self.folder / name},{text},{span or ','}" for id_, (name, span, text) in self.rows.items()]
        self.manifest.write_text("\n".join(["id,audio,reference,offset,duration", *lines, ""]))
        more = ("--set", f"service.language={self.language}", "--set", f"sink.formats={FORMATS[self.formats]}")
        return ["run", str(self.manifest), "--out", str(self.out), *QUIET, *more]

    def night(self, kill: str | None = None) -> None:
        args = self.arguments()
        if kill is None:
            done = batch(*args, server=self.server)
            assert done.exit == 0, done.stderr
        else:
            process = Started([PUBLISHING.format(name=kill), *args], environment(self.server), kind="python")
            assert finish(process).exit in (0, -signal.SIGKILL)

    def move(self, move: str, number: int) -> None:
        id_ = [*self.rows][number % len(self.rows)]
        name, span, _ = self.rows[id_]
        match move:
            case "night":
                self.night()
            case "killed":
                self.night(kill="publish")
            case "killed while rows are replaced":
                self.night(kill="replace")
            case "other settings":
                self.language = "de" if self.language == "en" else "en"
            case "other reference":
                self.row(id_, name, span)
            case "other content":
                self.record(name)
            case "renamed" | "copied":
                self.row(f"{move}-{self.seed}y", name, span)
                if move == "renamed":
                    del self.rows[id_]
            case "span":
                self.row(f"span-{self.seed}y", name, "0,1")
            case "removed" if len(self.rows) > 2:
                del self.rows[id_]
            case "swapped":
                other = [*self.words][(number + 1) % len(self.words)]
                pair = [(self.folder / one).read_bytes() for one in (name, other)]
                for one, content in zip((other, name), pair, strict=True):
                    (self.folder / one).write_bytes(content)
                self.together = [*(one for one in self.together if not one & {name, other}),
                                 {*self.with_(name), *self.with_(other)}]  # fmt: skip
            case "rebuilt":
                batch("rebuild", self.out, "--force")
            case "damaged" if (self.out / "checkpoint.sqlite").exists() and self.formats == "both":
                for part in sorted(self.out.glob("transcripts/part-*.parquet"))[:1]:
                    content = part.read_bytes()
                    part.write_bytes(content[:-3])
                    batch("rebuild", self.out)

    def texts(self) -> dict[str, str]:
        rows = jsonl_of(self.out) if self.formats == "jsonl" else table_of(self.out).to_pylist()
        return {row["id"]: row["text"] for row in rows}


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[*HealthCheck])
@given(
    formats=st.sampled_from([*FORMATS]),
    moves=st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 20)), min_size=1, max_size=8),
    victim=st.integers(0, 4),
    is_night=st.booleans(),
)
def test_no_word_stays(
    server: RunningServer, formats: str, moves: list[tuple[str, int]], victim: int, is_night: bool
) -> None:
    with TemporaryDirectory() as folder:
        world = World(Path(folder), server, formats)
        world.night()
        for move, number in moves:
            world.move(move, number)
        world.night(kill=None if is_night else "publish")  # which knows all rows
        swapped = world.with_([*world.words][victim])
        before = world.texts() if is_night else None
        named = [word for one in sorted(swapped) for word in ("--audio", world.folder / one)]
        done = batch("forget", world.out, *named, "--yes")
        gone = set().union(*(world.words[one] for one in swapped))
        gone -= set().union(*(words for one, words in world.words.items() if one not in swapped))
        if done.exit == 2:  # all rows of it were removed before they were ever sent
            assert "no utterance has the recording" in done.stderr
            return
        assert done.exit == 0, done.stderr + done.stdout
        assert found_in(world.out, gone | {"nothing"}) == {}
        requests = world.server.stats()["requests"]
        world.night()
        assert found_in(world.out, gone | {"nothing"}) == {}
        if before is not None:
            left = {id_ for id_, row in world.rows.items() if row[0] not in swapped}
            assert {id_: world.texts()[id_] for id_ in left} == {id_: before[id_] for id_ in left}
            assert world.server.stats()["requests"] == requests
        assert not {id_ for id_, row in world.rows.items() if row[0] in swapped} & world.texts().keys()
