"""docs/recipes.md: each recipe runs as it stands, and its result is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.acceptance.test_docs import BLOCK, ROOT
from tests.batch import jsonl_of, run_command

TEXT = (ROOT / "docs/recipes.md").read_text("utf-8")
RECIPES = [
    pytest.param(match[1], match[3], id=f"{match[1]}:{TEXT[: match.start()].count(chr(10)) + 1}")
    for match in BLOCK.finditer(TEXT)
    if match[1] in ("python", "sql")
]
OUT = Path("runs/sample-local")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a checkout, with the output of the sample."""
    folder = tmp_path_factory.mktemp("workspace")
    for name in ("manifests", "configs"):
        (folder / name).symlink_to(ROOT / name)
    arguments = ("run", "manifests/sample.csv", "--config", "configs/local.toml")
    done = run_command(*arguments, cwd=folder, GRADIUM_BATCH_LOCAL__RECOGNIZER="fingerprint")
    assert done.exit == 0, done.stderr
    return folder


def carry_out(kind: str, recipe: str) -> list[tuple[Any, ...]]:
    """Runs a recipe; returns the rows of a query."""
    if kind == "python":
        exec(compile(recipe, "recipe", "exec"), {})  # noqa: S102
        return []
    connection = duckdb.connect()
    connection.execute((OUT / "views.sql").read_text("utf-8"))
    return connection.execute(recipe).fetchall()


@pytest.mark.usefixtures("_hugging_face")
@pytest.mark.parametrize(("kind", "recipe"), RECIPES)
def test_each_recipe_works(
    kind: str, recipe: str, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workspace)
    rows = carry_out(kind, recipe)
    assert rows or capsys.readouterr().out or "FROM errors" in recipe or "'city'" in recipe


def recipe_with(text: str) -> str:
    [recipe] = [param.values[1] for param in RECIPES if text in str(param.values[1])]
    return str(recipe)


def test_the_nemo_manifest_has_a_line_for_each_reference(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    carry_out("sql", recipe_with("pred_text"))
    lines = [json.loads(line) for line in Path("nemo.json").read_text("utf-8").splitlines()]
    rows = {row["audio"]: row for row in jsonl_of(OUT)}
    assert len(lines) == len(rows) == 14
    for line in lines:
        row = rows[line["audio_filepath"]]
        assert line == {
            "audio_filepath": row["audio"],
            "offset": row["offset_s"],
            "duration": row["duration_s"],
            "text": row["reference"],
            "pred_text": row["text"],
        }
        assert Path(line["audio_filepath"]).is_file()


def test_figures_are_those_of_the_rows(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    rows = {row["id"]: row for row in jsonl_of(OUT)}
    longest = carry_out("sql", recipe_with("LIMIT 5"))
    assert [id_ for id_, *_ in longest] == sorted(rows, key=lambda id_: -rows[id_]["duration_s"])[:5]
    for id_, pace in carry_out("sql", recipe_with("len(words)")):
        assert pace == round(60 * len(rows[id_]["words"]) / rows[id_]["duration_s"])
    assert {topic for topic, *_ in carry_out("sql", recipe_with("read_csv"))} == {
        row["metadata"]["topic"] for row in rows.values()
    }
    [(_, requests, answered, credits, maybe)] = carry_out("sql", recipe_with("spend_by_day"))
    spent = json.loads((OUT / "summary.json").read_text("utf-8"))["credits"]
    assert (requests, answered, round(credits, 3), maybe) == (14, 14, spent, 0.0)
