"""Whatever kind of program calls it, recordings that need decoding are transcribed, and the program runs once."""

from __future__ import annotations

import sys
import zipapp
from pathlib import Path

import pytest

from tests.api.hosts import LOCAL, ROOT, record_flac_and_mp3, run_python, run_script
from tests.batch import rows_of

NO_GUARD = f"""
open("times-run", "a").write("once ")
import gradium_batch
result = gradium_batch.transcribe("recordings", "out", settings={LOCAL})
print(result.done, result.failed, int(result.exit))
"""
IN_A_LOOP = f"""
import asyncio, gradium_batch
async def main():
    plain = gradium_batch.transcribe("recordings", "out", settings={LOCAL})
    ticks = []
    ticking = asyncio.create_task(tick(ticks))
    other = await gradium_batch.transcribe_async("recordings", "out-async", settings={LOCAL})
    assert len(ticks) > 3, "the loop stood still"
    ticking.cancel()
    print(plain.done, plain.failed, int(plain.exit), other.done)
async def tick(ticks):
    while True:
        ticks.append(1)
        await asyncio.sleep(0.02)
asyncio.run(main())
"""
IN_A_THREAD = f"""
import threading, gradium_batch
results = {{}}
def work(out):
    results[out] = gradium_batch.transcribe("recordings", out, settings={LOCAL})
threads = [threading.Thread(target=work, args=(out,)) for out in ("out", "out-2")]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(results["out"].done, results["out"].failed, int(results["out"].exit), results["out-2"].done)
"""


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (NO_GUARD, "2 0 0\n"),
        (IN_A_LOOP, "2 0 0 2\n"),
        pytest.param(IN_A_THREAD, "2 0 0 2\n", marks=pytest.mark.slow),
    ],
    ids=["no guard", "in a loop", "in threads"],
)
def test_a_flac_and_an_mp3_are_transcribed_from_a_script(script: str, told: str, tmp_path: Path) -> None:
    record_flac_and_mp3(tmp_path / "recordings")
    assert run_script(script, tmp_path) == (0, told, "")
    assert rows_of(tmp_path / "out").keys() == {"a.flac", "b.mp3"}
    if script is NO_GUARD:
        assert (tmp_path / "times-run").read_text() == "once "
    if script is not NO_GUARD:
        other = "out-async" if script is IN_A_LOOP else "out-2"
        assert rows_of(tmp_path / other) == rows_of(tmp_path / "out")


@pytest.mark.slow
def test_from_a_command_line_where_the_working_folder_comes_first(tmp_path: Path) -> None:
    record_flac_and_mp3(tmp_path / "recordings")
    assert run_python("-c", NO_GUARD, cwd=tmp_path) == (0, "2 0 0\n", "")


@pytest.mark.slow
def test_from_an_archive_that_holds_the_library_as_well(tmp_path: Path) -> None:
    record_flac_and_mp3(tmp_path / "recordings")
    program = tmp_path / "program"
    program.mkdir()
    (program / "__main__.py").write_text(NO_GUARD)
    for path in [ROOT / "gradium_batch.py", *sorted((ROOT / "pipeline").rglob("*.py"))]:
        copied = program / path.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(path.read_bytes())
    zipapp.create_archive(program, tmp_path / "program.pyz")
    assert run_python("program.pyz", cwd=tmp_path, PYTHONPATH="") == (0, "2 0 0\n", "")
    assert (tmp_path / "times-run").read_text() == "once "


@pytest.mark.slow
def test_where_libraries_are_found_by_the_program_alone(tmp_path: Path) -> None:
    """Without site-packages: processes that it starts find what they need as it does, also behind odd entries."""
    record_flac_and_mp3(tmp_path / "recordings")
    folders = [folder for folder in sys.path if folder.endswith("-packages")]
    odd = (
        "import sys, pathlib\n"
        "class Odd(str): pass\n"
        f"sys.path[:0] = [Odd({str(ROOT)!r}), pathlib.Path('nowhere'), 'nowhere', '', *{folders!r}]\n"
    )
    (tmp_path / "host.py").write_text(odd + NO_GUARD)
    assert run_python("-S", "-I", "host.py", cwd=tmp_path) == (0, "2 0 0\n", "")


@pytest.mark.slow
def test_where_the_program_has_loops_of_its_own_that_start_no_processes(tmp_path: Path) -> None:
    """As uvloop's policy does not."""
    record_flac_and_mp3(tmp_path / "recordings")
    policy = (
        "import asyncio\n"
        "class Policy(asyncio.DefaultEventLoopPolicy):\n"
        "    def get_child_watcher(self): raise NotImplementedError\n"
        "    def new_event_loop(self): raise AssertionError('a loop of the program')\n"
        "asyncio.set_event_loop_policy(Policy())\n"
    )
    assert run_script(policy + NO_GUARD, tmp_path) == (0, "2 0 0\n", "")


@pytest.mark.slow
def test_with_warnings_as_errors_and_in_development_mode(tmp_path: Path) -> None:
    """What is not closed, and what is deprecated, would be told there."""
    record_flac_and_mp3(tmp_path / "recordings")
    (tmp_path / "host.py").write_text(NO_GUARD)
    code, out, err = run_python("-X", "dev", "-W", "error", "host.py", cwd=tmp_path)
    assert (code, out) == (0, "2 0 0\n"), err
    assert "Error" not in err
