"""Threads that decode a type for the first time at the same moment: msgspec knows it before there are any."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect as looking

import pipeline
from pipeline.built import built
from tests.batch import Corpus, batch
from tests.servers import start_server

ROOT = Path(pipeline.__file__).parent
EXEMPT = {
    ("pipeline.built", "kind"),
    ("pipeline.checkpoint.salvage", "kind"),  # a rebuild has one thread
    ("pipeline.server.faults.plan", "kind"),  # read when the server starts, before it has threads
}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run with transcripts and a failure."""
    folder = tmp_path_factory.mktemp("first-use")
    corpus = Corpus(folder / "audio", count=2)
    (corpus.folder / "bad.wav").write_bytes(b"no audio")
    with start_server() as server:
        result = batch("run", corpus.folder, "--out", folder / "out", "--progress", "off", server=server)
    assert result.exit == 3, result.stderr
    return folder / "out"


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [20, pytest.param(200, marks=pytest.mark.timeout(500))])
def test_records_may_be_decoded_for_the_first_time_in_many_threads_at_once(output: Path, rounds: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.first_use", output, str(rounds)],
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{{0: {rounds}}}\n", done.stderr


def test_every_struct_that_is_decoded_is_built_where_it_is_defined() -> None:
    missing, sites = set(), 0
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        for kind in decoded_types(path.read_text("utf-8")):
            sites += 1
            if (name, kind) in EXEMPT:
                continue
            missing.update(f"{struct} ({name})" for struct in not_built(name, kind))
    assert sites > 20, "the calls are not found any more"
    assert not missing, "put @built of pipeline/built.py on these, or name the type where it is decoded"


class Inner(msgspec.Struct):
    at: int


@built
class Outer(msgspec.Struct):
    inner: list[Inner] | None


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("msgspec.json.decode(b'', type=Inner)", ["Inner"]),
        ("msgspec.convert({}, Inner)", ["Inner"]),
        ("msgspec.convert({}, type=tuple[Outer, ...])", ["Inner"]),
        ("msgspec.msgpack.Decoder(Outer).decode", ["Inner"]),
        ("msgspec.json.Decoder(type=dict[str, Inner])", ["Inner"]),
        ("msgspec.json.decode(b'', type=kind)", ["kind"]),
        ("msgspec.json.decode(b'')", []),
        ("msgspec.json.decode(b'', type=str)", []),
    ],
)
def test_that_test_finds_each_way_to_decode(call: str, found: list[str]) -> None:
    source = f"def read(kind):\n    return {call}\n"
    assert [struct for kind in decoded_types(source) for struct in not_built(__name__, kind)] == found


def decoded_types(source: str) -> Iterator[str]:
    """What a module's calls decode or convert into, as it is written there."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        place = {"decode": None, "decode_lines": None, "convert": 1, "Decoder": 0}.get(called, -1)
        if place == -1:
            continue
        named = [keyword.value for keyword in node.keywords if keyword.arg == "type"]
        if place is not None:
            named += node.args[place : place + 1]
        yield from map(ast.unparse, named)


def not_built(module: str, kind: str) -> Iterator[str]:
    """The Structs in a type that lack the decorator; the type itself where it is no name of the module."""
    try:
        found = eval(kind, vars(importlib.import_module(module)).copy())  # noqa: S307  our own source
    except NameError:
        yield kind
        return
    for struct in structs_in(looking.type_info(found), set()):
        if not inspect.getsource(struct).startswith("@built\n"):
            yield struct.__name__


def structs_in(node: Any, seen: set[type]) -> Iterator[type]:
    if isinstance(node, looking.StructType):
        if node.cls in seen:
            return
        seen.add(node.cls)
        yield node.cls
    if isinstance(node, tuple | list):
        for one in node:
            yield from structs_in(one, seen)
    elif isinstance(node, looking.Type | looking.Field):
        for field in node.__struct_fields__:
            yield from structs_in(getattr(node, field), seen)
