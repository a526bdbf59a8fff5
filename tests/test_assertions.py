"""Each test asserts something: itself, or through a helper of the tests that does."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent
Function = ast.FunctionDef | ast.AsyncFunctionDef
RAISES = frozenset({"raises", "warns", "fail", "run_state_machine_as_test"})


class Found:
    """A function of the tests: what it calls, or gives to somebody who calls it, and whether it asserts by itself."""

    def __init__(self, function: Function) -> None:
        self.name, self.called, self.asserts = function.name, set[str](), False
        self.is_test = function.name.startswith("test_")
        for node in ast.walk(function):
            match node:
                case ast.Assert() | ast.Raise(exc=ast.Call(func=ast.Name("AssertionError"))):
                    self.asserts = True
                case ast.Call():
                    for named in (node.func, *node.args):
                        if isinstance(named, ast.Name | ast.Attribute):
                            self.called.add(named.id if isinstance(named, ast.Name) else named.attr)
        self.asserts |= bool(self.called & RAISES) or any(name.startswith("assert_") for name in self.called)


def without_assertion(texts: dict[str, str]) -> list[str]:
    """The tests in these files that assert nothing, by file and name."""
    found = [
        (place, Found(node))
        for place, text in texts.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, Function)
    ]
    helpers: set[str] = set()
    while more := {
        one.name
        for _, one in found
        if not one.is_test and one.name not in helpers and (one.asserts or one.called & helpers)
    }:
        helpers |= more
    return [f"{place}::{one.name}" for place, one in found if one.is_test and not (one.asserts or one.called & helpers)]


def test_each_test_asserts_something() -> None:
    texts = {str(path.relative_to(TESTS)): path.read_text("utf-8") for path in TESTS.rglob("*.py")}
    assert len(texts) > 100
    assert without_assertion(texts) == []


def test_a_test_that_asserts_nothing_is_found() -> None:
    text = """
def helper(): check()
def check(): assert True
def idle(): print()
def test_by_itself(): assert True
def test_by_a_helper(): helper()
def test_that_raises():
    with pytest.raises(ValueError): int("x")
def test_nothing(): idle()
async def test_nothing_later(): await idle()
"""
    assert without_assertion({"t.py": text}) == ["t.py::test_nothing", "t.py::test_nothing_later"]
