"""Nothing from outside acts on the terminal or forges a line; with --log-format json every line on stderr is JSON."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.batch import Corpus, Finished, batch, environment, errors_of, finish, start_batch, table_of, write_wav
from tests.gradium.repeats import END, Repeating, chunk, chunked, framed, line
from tests.servers import KEY, RunningServer, start_server

FAST = ("--progress", "plain", "--set", "retry.max_attempts=1", "--set", "retry.base_s=0.01")
FORGED = "done=9 failed=0 left=0 audio_s=9.0 credits=0.0 rtfx=9.00 wall_s=9.0 exit=0"
EVIL = f"x\x1b]0;owned\x07\x1b[2J\r\n{FORGED}\x0b\x85\u2028{FORGED}\u2029\x9b31m\u202etxt.exe\u2066\x7f"
ACTING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
NAMES = ["done", "failed", "left", "audio_s", "credits", "rtfx", "wall_s", "exit"]


def check_text(result: Finished) -> None:
    """No character acts on a terminal, and one line alone looks like the last one."""
    assert not ACTING.search(result.stdout + result.stderr), ascii(result.stdout + result.stderr)
    told = [line for line in result.stderr.split("\n") if line.startswith("done=")]
    assert told == [result.stderr.rstrip("\n").split("\n")[-1]]
    assert told[0].endswith(f"exit={result.exit}")


def check_json(result: Finished) -> list[dict[str, object]]:
    """Every line is JSON and moves no cursor, and the last one has the figures."""
    assert not ACTING.search(result.stderr), ascii(result.stderr)
    *lines, last = [json.loads(line) for line in result.stderr.splitlines()]
    assert list(last) == NAMES
    assert last["exit"] == result.exit
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    return lines


def check_run(form: str, *args: str | Path, url: str = "http://127.0.0.1:1/asr", **more: str) -> Finished:
    options = {"GRADIUM_API_KEY": KEY, "GRADIUM_BATCH_SERVICE__URL": url, **more}
    result = batch("run", *args, *FAST, "--log-format", form, **options)
    if form == "json":
        check_json(result)
    else:
        check_text(result)
    return result


FORMS = pytest.mark.parametrize("form", ["text", "json"])


@pytest.mark.slow
@FORMS
def test_what_a_service_says_acts_on_no_terminal(tmp_path: Path, out: Path, form: str) -> None:
    corpus = Corpus(tmp_path / "audio", count=24)
    evil = EVIL.encode()
    answers = [
        framed(b"no " + evil, b"500 No"),
        framed(b"error from server 1011: " + evil, b"500 No"),
        framed(line(type="error", message=EVIL)),
        framed(line(type="text", text="one", start_s=1) + evil),
        framed(b"", b"302 Found", b"Location: http://\x9b\xc2\x9b31m" + FORGED.encode()),
        framed(b"no", b"200 OK", b"Content-Encoding: \xc2\x9b\xe2\x80\xae"),
        framed(line(type="ready", request_id=EVIL, model_name=EVIL) + line(type="text", text=EVIL, start_s=1) + END),
        framed(b"no", b"500 \x1b[2J\xc2\x9b"),
        chunked(chunk(b"no", b";" + FORGED.encode()) + b"\x1b\r\n"),
    ]
    with Repeating(answers) as service:
        result = check_run(form, corpus.folder, "--out", out, "--set", "timeouts.idle_s=1", url=service.url)
        assert service.is_exhausted
    assert result.exit == 3
    told = batch("status", out)
    assert not ACTING.search(told.stdout)
    assert "exit=0" in told.stdout, "it was said, within a line"
    data = batch("status", out, "--json").stdout
    assert not ACTING.search(data)
    assert any(EVIL[:9] in failure["example_message"] for failure in json.loads(data)["failures"])
    # for machines what was said stays as it is
    errors = [json.loads(row) for row in (out / "errors.jsonl").read_bytes().splitlines()]
    assert any(EVIL in row["message"] for row in errors)
    assert EVIL in table_of(out)["model"].to_pylist()
    assert not ACTING.search((out / "summary.json").read_text())


@FORMS
def test_a_balance_that_forges_lines_acts_on_no_terminal(tmp_path: Path, out: Path, form: str) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    with Repeating([], balance=framed(b"no " + EVIL.encode(), b"401 No")) as service:
        assert check_run(form, corpus.folder, "--out", out, url=service.url).exit == 1


@FORMS
def test_names_and_data_of_a_manifest_act_on_no_terminal(
    tmp_path: Path, out: Path, form: str, server: RunningServer
) -> None:
    folder = tmp_path / f"rec {FORGED}"
    broken = folder / f"b \x1b[2J\n{FORGED}\x9b.wav"
    write_wav(folder / "a.wav", 1)
    broken.write_bytes(b"no audio")
    rows = [
        {"id": "a", "audio": str(folder / "a.wav"), EVIL: EVIL},
        {"id": "b", "audio": str(broken)},
        {"id": f"c {FORGED}", "audio": str(folder / "gone.wav"), "transcript\x1b": "x"},
        {"id": f"d\n{FORGED}", "audio": EVIL, "language": EVIL},
        {"audio": EVIL},
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    refused = check_run(form, manifest, "--out", out, url=server.url)
    assert refused.exit == 2
    assert "m.jsonl:4" in refused.stderr
    ran = check_run(form, manifest, "--out", out, "--skip-bad-rows", "--only", "all", url=server.url)
    assert ran.exit == 3
    assert errors_of(out).keys() >= {"b", f"c {FORGED}"}
    assert "exit=0" in ran.stderr, "a name is shown, within a line"
    for told in (
        batch("status", out),
        batch("check", manifest, "--out", out, "--offline", GRADIUM_API_KEY=KEY),
        check_run(form, folder, "--out", tmp_path / "2", url=server.url),
    ):
        assert not ACTING.search(told.stdout + told.stderr)


@FORMS
def test_the_names_of_manifest_and_output_act_on_no_terminal(
    tmp_path: Path, out: Path, form: str, server: RunningServer
) -> None:
    manifest = tmp_path / f"m \u202e\x9b {FORGED}.jsonl"
    manifest.write_text("{}\n")
    for hostile_out in (out / f"o\n{FORGED}\x1b", out / f"o {FORGED}"):
        assert check_run(form, manifest, "--out", hostile_out, url=server.url).exit == 2


@FORMS
@pytest.mark.parametrize(
    "args",
    [
        ("--no-such-option" + EVIL,),
        ("--limit", EVIL),
        ("--max-duration", EVIL),
        ("more", EVIL),
        ("--set", f"no.such={EVIL}"),
        ("--set", f"service.{EVIL}=1", "--set", f"pool.concurrency={EVIL}", "--set", f"audio.channels={EVIL}"),
        ("--set", f"service.language={EVIL}", "--set", f"service.url={EVIL}"),
        ("--config", EVIL),
        ("--set", f"service.api_key_file={EVIL}", "--set", "service.api_key_env=NONE"),
    ],
)
def test_a_usage_error_acts_on_no_terminal(tmp_path: Path, args: tuple[str, ...], form: str) -> None:
    assert check_run(form, tmp_path / "manifest.csv", *[arg.replace("\0", "") for arg in args]).exit == 2


def test_other_commands_escape_as_well(tmp_path: Path) -> None:
    for args in (("status", EVIL), ("rebuild", EVIL), ("check", EVIL), ("no-such" + EVIL,), ("status", "a", EVIL)):
        result = batch(*args, cwd=tmp_path)
        assert result.exit == 2, args
        assert not ACTING.search(result.stdout + result.stderr), ascii(result.stderr)
        assert not re.search("^done=", result.stderr, re.MULTILINE)


@pytest.mark.slow
def test_a_stop_by_a_signal_ends_with_json(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    with start_server(latency_s=1) as server:
        process = start_batch("run", corpus.folder, "--out", out, "--log-format", "json", server=server)
        deadline = time.monotonic() + 30
        while not server.stats()["in_flight"]:
            assert time.monotonic() < deadline, "nothing was sent"
        process.send_signal(signal.SIGTERM)
        result = finish(process)
    assert result.exit == 143
    said = check_json(result)
    assert any("stopping at SIGTERM" in str(line["message"]) for line in said)


def test_a_signal_before_anything_is_loaded_ends_with_json(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; import pipeline.cli.run as run\n"
        "run.refuse_unprintable = lambda *_: os.kill(os.getpid(), signal.SIGTERM)\n"
        "from pipeline.cli import main; main(sys.argv[1:])"
    )
    for form in ("text", "json"):
        done = subprocess.run(
            [sys.executable, "-c", code, "run", str(tmp_path), "--log-format", form],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 143
        (check_json if form == "json" else check_text)(Finished(143, done.stdout, done.stderr))


def test_a_warning_of_a_library_is_json_as_well(tmp_path: Path, out: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import pipeline.config, warnings, logging, threading\n"
        "load = pipeline.config.load_settings\n"
        "def warning(*args):\n"
        "    warnings.warn('odd\\x1b[2J\\ndone=1', stacklevel=1)\n"
        "    logging.getLogger('aiohttp.client').warning('cookie %s', '\\x1b[2J\\ndone=1')\n"
        "    thread = threading.Thread(target=lambda: 1 / 0)\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "    return load(*args)\n"
        "pipeline.config.load_settings = warning\n"
    )
    with pytest.raises(AssertionError, match="ZeroDivisionError") as caught:
        batch("run", tmp_path / "none.csv", "--out", out, "--log-format", "json", PYTHONPATH=f"{tmp_path}:.")
    lines = check_json(Finished(2, "", str(caught.value)))
    assert {line["logger"] for line in lines} >= {"py.warnings", "aiohttp.client"}
