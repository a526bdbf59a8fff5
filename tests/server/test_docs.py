"""docs/local-server.md names what there is: each kind of fault, its keys, each option."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.server.faults.fault import Fault
from pipeline.server.faults.plan import KINDS, load_plan
from pipeline.server.options import ServerOptions

PAGE = (Path(__file__).parents[2] / "docs" / "local-server.md").read_text(encoding="utf-8")
UNSAID = {"head_s", "body_s", "key", "announce", "until_stdin_eof"}
"""Options that the command does not have: they are for programs that start a server."""


def rows() -> dict[str, str]:
    """Returns the page's table rows by what stands in their first cell."""
    return dict(re.findall(r"^\| `([^`]+?)(?: [A-Z]+)?` (\|.*)$", PAGE, re.MULTILINE))


def test_each_kind_and_each_of_its_keys_is_described() -> None:
    described = rows()
    for name, kind in KINDS.items():
        for key in set(kind.__struct_fields__) - set(Fault.__struct_fields__):
            assert f"`{key}`" in described[name], f"{name}: {key}"


def test_each_condition_is_described() -> None:
    assert set(Fault.__struct_fields__) <= rows().keys()


def test_each_option_is_described() -> None:
    options = {f"--{name.replace('_', '-')}" for name in set(ServerOptions.__struct_fields__) - UNSAID}
    assert options <= rows().keys()


def test_the_example_faults_file_is_taken(tmp_path: Path) -> None:
    (example,) = (block for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "[[fault]]" in block)
    path = tmp_path / "faults.toml"
    path.write_text(example)
    assert load_plan(path)._faults
