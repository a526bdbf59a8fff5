"""Decodes each kind of record for the first time in many threads at once, in one process after the other.

python -m tests.first_use OUT ROUNDS   an output folder of a run with a failure in it; prints how the processes ended

Each process is forked from this one, which has imported everything and decoded nothing: what msgspec knows of a type
there is what it has from the import.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet  # noqa: F401  the functions below load it when they are called, which takes long

from pipeline.checkpoint import Checkpoint
from pipeline.checkpoint.salvage import Old
from pipeline.config.settings import ServiceSettings
from pipeline.gradium.ndjson import MessageDecoder
from pipeline.gradium.request import request_settings
from pipeline.run.status import status
from pipeline.server.request import json_config
from pipeline.sink.salvage import Salvage

THREADS = 8
SWITCH_S = 1e-6


def first_uses(out: Path) -> list[Callable[[], object]]:
    def read_old() -> object:
        with Old(out / "checkpoint.sqlite") as old:
            return old.read_through()

    def read_checkpoint() -> object:
        with Checkpoint(out / "checkpoint.sqlite", only_read=True) as checkpoint:
            return [*checkpoint.failures()], checkpoint.failing()

    return [
        lambda: next(Salvage(out).rows(0, {"00000.wav"}.intersection)),
        lambda: next(Salvage(out).rows(1, {"00000.wav"}.intersection)),
        lambda: [*Salvage(out).readable_lines()],
        lambda: [*Salvage(out).readable_clips()],
        lambda: next(iter(Salvage(out).readable_errors())),
        read_old,
        read_checkpoint,
        lambda: status(out),
        lambda: [*MessageDecoder().feed(b'{"type":"text","text":"one","start_s":1}\n{"type":"new"}\n')],
        lambda: request_settings(ServiceSettings(json_config={"keywords": {"words": ["one"]}})),
        lambda: json_config({"json_config": '{"language":"en","keywords":{"words":["one"]}}'}, language_required=True),
    ]


def use_all(uses: list[Callable[[], object]]) -> int:
    """The exit status: 0 where each thread got through."""
    sys.setswitchinterval(SWITCH_S)
    together, failed = threading.Barrier(THREADS), threading.Event()

    def work() -> None:
        try:
            for use in uses:
                together.wait()
                use()
        except Exception:
            traceback.print_exc()
            failed.set()
            together.abort()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return int(failed.is_set())


def main(out: Path, rounds: int) -> None:
    uses, ended = first_uses(out), Counter[int]()
    for number in range(rounds):
        child = os.fork()
        if not child:
            os._exit(use_all([*uses[number % len(uses) :], *uses[: number % len(uses)]]))
        ended[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])] += 1
    print(dict(ended))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
