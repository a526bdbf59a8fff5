"""docs/architecture.md: its picture is the import contract, and what it names is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_the_picture_has_the_rows_of_the_import_contract() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    layers = [set(re.findall(r"pipeline\.(\w+)", layer)) for layer in contract["layers"]][1:]
    names = set().union(*layers)
    rows = PAGE.split("```")[1].strip().splitlines()
    assert [{word for word in row.split("   ")[0].split() if word in names} for row in rows] == layers


def test_every_package_and_module_is_in_the_picture_or_the_local_server() -> None:
    pictured = set(PAGE.split("```")[1].split())
    there = {
        path.stem for path in (ROOT / "pipeline").iterdir() if (path / "__init__.py").exists() or path.suffix == ".py"
    }
    assert there - pictured <= {"__init__", "__main__", "server", "built"}


def test_the_modules_it_names_exist() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", PAGE))
    assert len(named) > 20
    there = {path.relative_to(ROOT / "pipeline").as_posix() for path in (ROOT / "pipeline").rglob("*.py")}
    there |= {path.name for path in ROOT.glob("*.py")}
    missing = {name for name in named if there.isdisjoint((name, f"run/{name}", f"export/{name}"))}
    assert not missing


def test_no_module_is_longer_than_250_lines_and_the_page_no_longer_than_150() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in (*ROOT.glob("*.py"), *(ROOT / "pipeline").rglob("*.py"))
        if (lines := len(path.read_text("utf-8").splitlines())) > 250
    }
    assert not long
    assert len(PAGE.splitlines()) <= 150
