"""docs/python.md: its examples run as they stand, one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.test_docs import BLOCK, ROOT

TEXT = (ROOT / "docs/python.md").read_text("utf-8")


@pytest.mark.slow
def test_its_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("manifests", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.delenv("GRADIUM_API_KEY", raising=False)
    monkeypatch.setenv("GRADIUM_BATCH_LOCAL__RECOGNIZER", "fingerprint")
    names: dict[str, object] = {"__name__": "__main__"}
    told = []
    for match in BLOCK.finditer(TEXT):
        assert match[1] == "python"
        exec(compile(match[3], f"python.md:{TEXT[: match.start()].count(chr(10)) + 1}", "exec"), names)  # noqa: S102
        told.append(capsys.readouterr().out)
    assert told[0].startswith("14 0 0 ")
    assert told[1].startswith("refused: ")
    assert told[2].startswith("14 requests")
    assert told[3] == "8\n"
    assert "0 failed" in told[4]
    assert told[5].startswith("14\n")
    assert told[6] == "14 subtitles\n"
    assert told[7] == "0\n('rain',)\n"
    assert told[8] == "OK\n"
