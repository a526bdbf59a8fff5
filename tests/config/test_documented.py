"""docs/configuration.md lists every key with the default it has."""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from pipeline.config import Settings, load_settings
from pipeline.gradium.request import request_settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
ROW = re.compile(r"^\| `(?P<key>[a-z0-9_]+)` \| `(?P<default>[^`]*)` \| (?P<meaning>.+) \|$")


def keys() -> Iterator[tuple[str, Any]]:
    for section, field in Settings.model_fields.items():
        assert isinstance(field.annotation, type)
        assert issubclass(field.annotation, BaseModel)
        for name, key in field.annotation.model_fields.items():
            yield f"{section}.{name}", key.get_default(call_default_factory=True)


def documented() -> dict[str, tuple[Any, str]]:
    rows: dict[str, tuple[Any, str]] = {}
    section = ""
    for line in PAGE.read_text("utf-8").splitlines():
        if header := re.match(r"## `\[(\w+)\]`", line):
            section = header[1]
        elif line.startswith("## "):
            section = ""
        elif section and (row := ROW.match(line)):
            default = tomllib.loads(f"value = {row['default']}")["value"]
            rows[f"{section}.{row['key']}"] = (default, row["meaning"])
    return rows


@pytest.mark.parametrize(("key", "default"), list(keys()), ids=[key for key, _ in keys()])
def test_each_key_is_documented_with_its_default(key: str, default: Any) -> None:
    shown, meaning = documented()[key]
    assert shown == (list(default) if isinstance(default, tuple) else default)
    assert meaning[0].islower() or meaning[0] in '`"…'


def test_nothing_else_is_documented() -> None:
    assert set(documented()) == {key for key, _ in keys()}


def test_the_examples_of_the_page_are_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE.read_text("utf-8")
    (tmp_path / "c.toml").write_text("\n".join(re.findall(r"```toml\n(.*?)```", page, re.DOTALL)), "utf-8")
    commands = [
        shlex.split(line) for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()
    ]
    words = [word for command in commands for word in command]
    overrides = [value for flag, value in itertools.pairwise(words) if flag == "--set"]
    variables = dict(word.split("=", 1) for word in words if word.startswith("GRADIUM_BATCH_"))
    assert overrides
    assert variables
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    request_settings(load_settings(tmp_path / "c.toml", overrides).service)
