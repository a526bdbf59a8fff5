"""The public names: what they return and raise, and what they leave of the program around as it was."""

from __future__ import annotations

import ast
import inspect
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gradium_batch as gb
from pipeline import config
from pipeline.redaction import MARK
from tests.api.hosts import LOCAL, ROOT, record_flac_and_mp3, run_python, run_script
from tests.batch import Corpus, batch, environment, rows_of, write_wav
from tests.leaks import KEY as SECRET
from tests.leaks import leaks_in
from tests.servers import KEY, RunningServer, start_server, wait_for_answers

STATE = f"""
import asyncio, logging, os, resource, signal, sys, threading, time, warnings
import av, numpy, pyarrow  # which have filters and loggers of their own
import gradium_batch
def state():
    umask = os.umask(0); os.umask(umask)
    loggers = {{name: logging.getLogger(name) for name in ["", *logging.root.manager.loggerDict]}}
    return {{
        "signals": [signal.getsignal(n) for n in sorted(signal.valid_signals()) if n < 32],
        "masked": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "logs": {{name: (log.level, log.propagate, log.disabled, [*log.handlers], [*log.filters])
                 for name, log in loggers.items() if log.handlers or log.level or name in ("", "pipeline")}},
        "log factory": (logging.getLogRecordFactory(), logging.lastResort, logging.root.manager.disable),
        "environment": dict(os.environ),
        "threads": {{thread.name for thread in threading.enumerate()}},
        "children": "".join(map(open_text, __import__("glob").glob("/proc/self/task/*/children"))),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook),
        "filters": [*warnings.filters], "shown by": warnings.showwarning,
        "limits": [resource.getrlimit(n) for n in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_AS)],
        "umask": umask, "folder": os.getcwd(), "path": [*sys.path], "argv": [*sys.argv],
        "policy": asyncio.get_event_loop_policy(), "streams": (sys.stdin, sys.stdout, sys.stderr),
        "switches": sys.getswitchinterval(), "recursion": sys.getrecursionlimit(), "profile": sys.getprofile(),
    }}
def open_text(path):
    with open(path) as file: return file.read()
before = state()
gradium_batch.transcribe("recordings", "out", settings={LOCAL}, exclude="*.txt")
gradium_batch.check("recordings", "out", settings={LOCAL})
gradium_batch.status("out")
wakeup = signal.set_wakeup_fd(-1)
assert wakeup == -1, wakeup
for thread in threading.enumerate():  # on a busy machine idle ones take a moment to end
    if thread.daemon:
        thread.join(10)
after = state()
assert before == after, {{name: (before[name], after[name]) for name in before if before[name] != after[name]}}
"""
MISTAKES: list[tuple[str, Any]] = [
    ("pool", {"concurency": 3}),
    ("pool", {"concurrency": 0}),
    ("pool", {"concurrency": "many"}),
    ("pool", {"max_attempts": 3}),
    ("pool", 3),
    ("budget", {"credits": 0}),
    ("price", {"credits_per_s": 0}),
    ("audio", {"channels": "both"}),
    ("sink", {"formats": []}),
    ("sink", {"formats": ["parqet"]}),
    ("service", {"language": 1}),
    ("service", {"json_config": 3}),
    ("pooll", {"concurrency": 3}),
]


@pytest.fixture
def settings(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> gb.Settings:
    monkeypatch.setenv("GRADIUM_API_KEY", KEY)
    return gb.Settings(service={"url": server.url})


@pytest.mark.slow
def test_nothing_of_the_host_is_changed_and_nothing_printed(tmp_path: Path) -> None:
    record_flac_and_mp3(tmp_path / "recordings")
    (tmp_path / "recordings" / "notes.txt").write_text("told by the command: ignored")
    (tmp_path / "recordings" / "broken.flac").write_text("no audio, which the command warns of")
    assert run_script(STATE, tmp_path) == (0, "", "")


def test_the_result_has_the_figures_of_the_run(tmp_path: Path, settings: gb.Settings) -> None:
    corpus = Corpus(tmp_path / "audio", count=12)
    (tmp_path / "audio" / "broken.flac").write_text("no audio")
    seen: list[gb.Progress] = []
    result = gb.transcribe(corpus.folder, tmp_path / "out", settings=settings, on_progress=seen.append)
    assert rows_of(tmp_path / "out") == corpus.texts
    assert (result.done, result.failed, result.left, result.transcribed) == (12, 1, 0, 12)
    assert (result.exit, result.stopped_by, result.out) == (gb.ExitStatus.SOME_FAILED, None, tmp_path / "out")
    assert result.audio_s == pytest.approx(6.0)
    assert result.credits == pytest.approx(18.0)
    assert result.figures.rows == 13
    assert (seen[-1].ok, seen[-1].failed, seen[-1].audio_s) == (12, 1, pytest.approx(6.0))
    assert [one.ok for one in seen] == sorted(one.ok for one in seen)
    again = gb.transcribe(corpus.folder, tmp_path / "out", settings=settings)
    assert (again.done, again.requests) == (12, 0)
    with pytest.raises(AttributeError):
        again.done = 0  # type: ignore[misc]
    found = gb.status(tmp_path / "out")
    assert (found.done, found.failed, len(found.runs)) == (12, 1, 2)


def test_the_default_folder_and_the_selection_are_those_of_the_command(
    tmp_path: Path, settings: gb.Settings, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    corpus = Corpus(Path("calls"), count=3)
    forecast = gb.check("calls", settings=settings, ids="00001.wav")
    assert (forecast.out, forecast.selected, forecast.requests) == (str(Path("runs/calls").absolute()), 1, 1)
    assert gb.transcribe("calls", settings=settings, ids="00001.wav").out == Path("runs/calls").absolute()
    assert rows_of(Path("runs/calls")).keys() == {"00001.wav"}
    limited = gb.transcribe(["calls"], settings=settings, limit=1)
    assert (limited.exit, limited.stopped_by, limited.left) == (gb.ExitStatus.LIMIT_REACHED, "--limit 1", 1)
    assert batch("run", "calls", server=server).exit == 0
    assert rows_of(Path("runs/calls")) == corpus.texts
    only = gb.transcribe(Path("calls"), settings=settings, only="all", include=["*2.wav"])
    assert (only.figures.selected, only.requests) == (1, 1)


def test_environment_and_file_count_where_the_settings_are_not_made_in_python(
    tmp_path: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    Corpus(tmp_path / "audio", count=1)
    for name, value in environment(server).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "own.toml").write_text("[pool]\nconcurrency = 3\n")
    gb.transcribe(tmp_path / "audio", tmp_path / "a")
    gb.transcribe(tmp_path / "audio", tmp_path / "b", settings=tmp_path / "own.toml")
    found = gb.Settings.from_file(tmp_path / "own.toml", retry={"max_attempts": 2})
    assert (found.service.url, found.pool.concurrency, found.retry.max_attempts) == (server.url, 3, 2)
    assert gb.Settings().service.url == config.Settings().service.url != server.url


@pytest.mark.parametrize(("section", "given"), MISTAKES)
def test_mistakes_in_settings_are_told_as_those_in_a_file(section: str, given: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"

    def toml(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{name} = {toml(part)}" for name, part in value.items()) + "}"
        return repr(value)

    path.write_text(f"{section} = {toml(given)}\n")
    with pytest.raises(gb.ConfigError) as of_file:
        config.load_settings(path)
    with pytest.raises(gb.ConfigError) as of_python:
        gb.Settings(**{section: given})
    assert str(of_python.value) == str(of_file.value).replace(f"{path}:1", "Settings")
    assert of_python.value.exit == 2
    with pytest.raises(gb.ConfigError, match=f"^Settings: .*{section}"):
        gb.Settings.from_file(_empty(tmp_path), **{section: given})


def _empty(folder: Path) -> Path:
    (folder / "empty.toml").write_text("")
    return folder / "empty.toml"


def test_settings_take_the_sections_that_there_are() -> None:
    named = [name for name, one in inspect.signature(gb.Settings).parameters.items() if one.kind is one.KEYWORD_ONLY]
    assert named == [*config.Settings.model_fields]
    frozen = gb.Settings(pool={"concurrency": 5})
    assert frozen == gb.Settings(pool=frozen.pool)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="frozen"):
        frozen.pool = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"manifest": []}, "manifest: none was given"),
        ({"manifest": 3}, "manifest: 3 is neither a text nor several"),
        ({"manifest": [b"a.wav"]}, "manifest: b'a.wav' is no path"),
        ({"manifest": "nowhere.csv"}, "nowhere.csv"),
        ({"out": ""}, "out: an empty name is no folder"),
        ({"out": "a\udc80"}, r"out: '.*a\\udc80' is not UTF-8"),
        ({"only": "chnged"}, "only: 'chnged' is no choice; did you mean 'changed'?"),
        ({"only": ["all", 1]}, "only: 1 is no str"),
        ({"ids": []}, "ids: an empty id, or none at all"),
        ({"ids": ["00000.wav", " "]}, "ids: an empty id"),
        ({"ids": "nobody"}, "nobody"),
        ({"limit": 0}, "limit: 0 is no number of utterances"),
        ({"limit": True}, "limit: True is no number of utterances"),
        ({"settings": 3}, "settings: 3 is no path"),
        ({"settings": "x\0y"}, "settings: .* is no path"),
        ({"manifest": "x\0y"}, "manifest: .* is no path"),
        ({"settings": "nowhere.toml"}, "nowhere.toml: there is no such configuration file"),
        ({"settings": {"pool": {"concurrency": 0}}}, "Settings: pool.concurrency: should be greater"),
        ({"settings": {"service": {"url": "ftp://a"}}}, "ftp://a"),
        ({"include": "*.wav", "manifest": "m.csv"}, "--include"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: gb.Settings
) -> None:
    monkeypatch.chdir(tmp_path)
    Corpus(Path("audio"), count=1)
    Path("m.csv").write_text("audio\naudio/00000.wav\n")
    given = {"manifest": "audio", "out": "out", "settings": settings} | arguments
    calls: list[Callable[..., object]] = [gb.transcribe, gb.check]
    for call in calls:
        with pytest.raises(gb.UsageError, match=said.replace("?", "[?]")) as raised:
            call(**given)
        assert raised.value.exit == 2
        assert raised.value.result is None
    assert not Path("out").exists()
    wrong: list[Any] = [0, -1, float("nan"), float("inf"), "6h", True]
    for seconds in wrong:
        with pytest.raises(gb.UsageError, match="max_duration_s"):
            gb.transcribe("audio", "out", settings=settings, max_duration_s=seconds)
    no_function: Any = 3
    with pytest.raises(gb.UsageError, match="on_progress: 3 is no function"):
        gb.transcribe("audio", "out", settings=settings, on_progress=no_function)
    assert not Path("out").exists()


@pytest.mark.slow
def test_a_folder_at_work_is_held_and_another_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Corpus(tmp_path / "audio", count=2)
    monkeypatch.setenv("GRADIUM_API_KEY", KEY)
    with start_server(faults="[[fault]]\nkind = 'hang'\nfor_s = 3\nuntil_requests = 2\n") as slow:
        settings = gb.Settings(service={"url": slow.url}, price={"settle_s": 0})
        first: list[gb.Result] = []

        def work() -> None:
            first.append(gb.transcribe(tmp_path / "audio", tmp_path / "out", settings=settings))

        thread = threading.Thread(target=work)
        thread.start()
        while slow.stats()["requests"] < 2:
            assert thread.is_alive()
        with pytest.raises(gb.OutputHeld, match="another run works on") as raised:
            gb.transcribe(tmp_path / "audio", tmp_path / "out", settings=settings)
        assert raised.value.exit == 5
        assert gb.status(tmp_path / "out").at_work is not None
        other = gb.transcribe(tmp_path / "audio", tmp_path / "other", settings=settings)
        assert other.done == 2
        thread.join(60)
        wait_for_answers(slow, 4)
    assert [one.done for one in first] == [2]


def test_what_breaks_a_run_off_is_raised_with_its_result(
    tmp_path: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    Corpus(tmp_path / "audio", count=2)
    monkeypatch.setenv("GRADIUM_API_KEY", SECRET)
    settings = gb.Settings(service={"url": server.url})
    with pytest.raises(gb.KeyRefused) as raised:
        gb.transcribe(tmp_path / "audio", tmp_path / "out", settings=settings)
    error = raised.value
    assert (error.exit, error.result.done, error.result.left, error.result.exit) == (1, 0, 2, 1)
    assert error.result.stopped_by == str(error)
    told = f"{error} {error!r} {error.result!r} {settings!r} {settings} {traceback.format_exception(error)}"
    assert not leaks_in(told)


def test_a_key_in_the_wrong_place_is_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Corpus(tmp_path / "audio", count=1)
    wrong = gb.Settings(service={"api_key_env": SECRET})
    assert MARK in repr(wrong)
    monkeypatch.setenv("GRADIUM_API_KEY", SECRET)
    shown = [repr(wrong), str(wrong)]
    for call in (
        lambda: gb.transcribe(tmp_path / "audio", tmp_path / "out", settings=wrong),
        lambda: gb.Settings(pool={"concurrency": SECRET}),
        lambda: gb.transcribe(tmp_path / "audio", tmp_path / "out", only=SECRET),
        lambda: gb.transcribe(f"{SECRET}.csv", tmp_path / "out", settings=gb.Settings()),
        lambda: gb.transcribe(tmp_path / "audio", tmp_path / "out", ids=f"id {SECRET}", settings=gb.Settings()),
    ):
        with pytest.raises(gb.UsageError) as raised:
            call()
        shown += [*traceback.format_exception(raised.value), repr(raised.value)]
    assert not [text for text in shown if leaks_in(text)]


def test_a_missing_key_is_told_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wav(tmp_path / "audio" / "a.wav", seed=1)
    monkeypatch.delenv("GRADIUM_API_KEY", raising=False)
    with pytest.raises(gb.ConfigError, match="no API key"):
        gb.transcribe(tmp_path / "audio", tmp_path / "out", settings=gb.Settings())
    assert not (tmp_path / "out").exists()
    with pytest.raises(gb.UsageError, match="there is no checkpoint here"):
        gb.status(tmp_path / "out")


def test_every_public_name_is_documented_and_the_stub_is_the_module() -> None:
    assert gb.__all__ == sorted(gb.__all__)
    for name in gb.__all__:
        assert (getattr(gb, name).__doc__ or "").strip(), name
        assert not getattr(gb, name).__doc__.startswith(name), name
    module, stub = (
        (ROOT / name).read_text("utf-8") for name in ("gradium_batch.py", "pipeline/api/stubs/__init__.pyi")
    )
    assert stub
    assert module.endswith(stub)
    private = {name for name in vars(gb) if not name.startswith("_")} - {*gb.__all__, "annotations"}
    assert not private


def test_nothing_in_the_package_imports_the_face() -> None:
    for path in (ROOT / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert "gradium_batch" not in names, path


@pytest.mark.parametrize("kind", ["module", "package", "folder", "imported"])
def test_another_package_of_the_same_name_is_named(kind: str, tmp_path: Path) -> None:
    place = {"module": "pipeline.py", "imported": "pipeline.py"}.get(kind, "pipeline/__init__.py")
    if kind != "folder":
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text("import sys; print('it was run')\n")
    else:
        (tmp_path / "pipeline").mkdir()
        (tmp_path / "pipeline" / "steps.py").touch()
    script = "import gradium_batch\n" if kind != "imported" else "import pipeline, gradium_batch\n"
    code, out, err = run_script(script, tmp_path)
    if kind == "folder":  # which is no package to Python while there is a real one
        assert (code, out, err) == (0, "", "")
        return
    assert code == 1
    assert out == ("it was run\n" if kind == "imported" else "")
    last = err.strip().splitlines()[-1]
    assert last.startswith("ImportError: gradium_batch needs its own package pipeline")
    assert str(tmp_path / place) in last
    assert "rename" in last


def test_windows_is_refused_in_a_sentence(tmp_path: Path) -> None:
    patch = "import os; os.name = 'nt'\n"
    code, out, err = run_python("-c", f"{patch}import gradium_batch", cwd=tmp_path)
    assert (code, out) == (1, "")
    assert err.strip().splitlines()[-1].startswith("ImportError: gradium-batch needs a POSIX system")
    assert "WSL" in err
    command = f"from pipeline.cli import main\n{patch}main(['status', 'out'])"
    code, out, err = run_python("-c", command, cwd=tmp_path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("gradium-batch: gradium-batch needs a POSIX system")
