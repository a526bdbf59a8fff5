"""The API key is shown nowhere: not by what repeats it, not in a log, not to a proxy."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

import gradium_batch
from pipeline.errors import GradiumBatchError
from pipeline.exchange import Endpoint
from pipeline.gradium.account import ask_credits
from pipeline.gradium.transport import http_client
from pipeline.model import Failure
from tests.asked import Asked
from tests.batch import Corpus, Finished, batch
from tests.gradium.repeats import BALANCE, IN_BODIES, IN_HEADS, Repeating, at_every_cut, framed, in_every_place
from tests.gradium.scripted import Scripted
from tests.leaks import KEY, MASKS, leaks_in
from tests.servers import RunningServer

FAST = (
    "--progress",
    "off",
    "--set",
    "retry.max_attempts=1",
    "--set",
    "retry.base_s=0.01",
    "--set",
    "pool.adaptive=false",
)
BUSY = ("--concurrency", "16", "--set", "timeouts.idle_s=0.5")
"""What is badly framed ends with the silence behind it."""
DEBUGGED = """
import logging
logging.getLogger().setLevel(logging.DEBUG)
"""


def shown(result: Finished, out: Path) -> dict[str, str]:
    """All that a run shows and leaves, by where it stands, as its readers see it."""
    texts = {"stdout": result.stdout, "stderr": result.stderr}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        texts[str(path)] = path.read_bytes().decode("utf-8", "replace")
        if path.suffix == ".parquet":
            texts[f"{path}, read"] = repr(pq.read_table(path).to_pylist())
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608  the table's own name
            texts[table] = "\n".join(
                value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                for row in rows
                for value in row
            )
    return texts


def run(corpus: Corpus, out: Path, url: str, *args: str, tmp_path: Path | None = None, **more: str) -> Finished:
    if tmp_path is not None:  # as if there were a --debug that lets every library speak
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text(DEBUGGED)
        folders = [str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]
        more["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
    options = {"GRADIUM_API_KEY": KEY, "GRADIUM_BATCH_SERVICE__URL": url, **more}
    return batch("run", corpus.folder, "--out", out, *FAST, *args, **options)


def refuse_leaks(result: Finished, out: Path) -> None:
    for where, text in shown(result, out).items():
        assert not leaks_in(text), where


def every_answer(masks: Sequence[str], step: int) -> list[bytes]:
    return [*in_every_place(tuple(masks)), *(answer for mask in masks for answer in at_every_cut(mask, step))]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "masks", "step"),
    [
        ("text", ("plain",), 17),
        ("json", ("half json", "percent, some", "base64, 1 before"), 13),
        *(("json", (mask,), 29) for mask in MASKS),
    ],
)
def test_a_service_that_repeats_the_key_gets_it_shown_nowhere(
    tmp_path: Path, out: Path, form: str, masks: Sequence[str], step: int
) -> None:
    answers = every_answer(masks, step)
    corpus = Corpus(tmp_path / "audio", count=2 * len(answers) + 1, seconds=0.02)
    with Repeating(answers) as service:
        result = run(corpus, out, service.url, "--log-format", form, *BUSY, tmp_path=tmp_path)
        assert result.exit == 3, result.stderr[-2000:]
        assert service.is_exhausted
    assert "[API key]" in result.stderr
    refuse_leaks(result, out)
    assert batch("status", out).stdout.count("[API key]") > 1
    assert not leaks_in(batch("status", out, "--json").stdout)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405])
def test_a_refusal_of_the_run_or_of_all_its_recordings_does_not_show_the_key(
    tmp_path: Path, out: Path, status: int
) -> None:
    corpus = Corpus(tmp_path / "audio", count=2)
    refusal = f"no {KEY}, {MASKS['json'](KEY)} and {MASKS['base64'](KEY)}".encode()
    with Repeating([framed(refusal, b"%d %s" % (status, KEY.encode()))] * 9) as service:
        result = run(corpus, out, service.url)
    assert result.exit in (1, 2, 3)
    assert "[API key]" in result.stderr
    refuse_leaks(result, out)


BALANCES = {
    **IN_HEADS,
    **IN_BODIES,
    "401": lambda key: framed(b"no " + key, b"401 " + key),
    "403": lambda key: framed(b"no " + key, b"403 " + key),
    "json": lambda key: framed(b'{"%s": 1, "remaining_credits": "%s"}' % (key, key)),
    "recognizer": lambda key: framed(b'{"remaining_credits": 1, "recognizer": "%s", "plan_name": "%s"}' % (key, key)),
}


@pytest.mark.slow
@pytest.mark.parametrize("mask", ["plain", "half json", "percent", "base64", "base64, 1 before", "hex"])
def test_the_balance_shows_no_key(mask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.gradium.account.PAUSE_S", 0.0)

    async def error_of(answer: bytes) -> str:
        with Repeating([], balance=answer) as service:
            async with http_client(service.url, connect_s=5, idle_s=5, trust_env=False) as http:
                try:
                    found = await ask_credits(http, Endpoint(url=service.url, key=KEY), within_s=0.1)
                except GradiumBatchError as error:
                    return str(error)
        return found if isinstance(found, str) else ""

    told = [asyncio.run(error_of(place(MASKS[mask](KEY).encode()))) for place in BALANCES.values()]
    assert any("[API key]" in text for text in told)
    for text in told:
        assert not leaks_in(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    ["length", "recognizer", "status", "cookie", "401"],
)
def test_a_balance_that_repeats_the_key_gets_it_shown_nowhere(tmp_path: Path, out: Path, place: str) -> None:
    corpus = Corpus(tmp_path / "audio", count=2)
    with Repeating([], balance=BALANCES[place](KEY.encode())) as service:
        result = run(corpus, out, service.url, "--log-format", "json", tmp_path=tmp_path, PYTHONASYNCIODEBUG="1")
        refuse_leaks(result, out)
        again = run(corpus, out, service.url, "--only", "all")  # who answers is asked in another way then
        refuse_leaks(again, out)


def test_a_bug_of_ours_shows_no_key(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    (tmp_path / "sitecustomize.py").write_text(
        "import pipeline.config\n"
        "def broken(*_):\n"
        f"    raise RuntimeError('what is {KEY}?\\ndone=9 failed=0 exit=0')\n"
        "pipeline.config.load_settings = broken\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    for form in ("text", "json"):
        with pytest.raises(AssertionError, match="Traceback") as caught:  # which no other test may see
            batch("run", corpus.folder, "--out", out, "--log-format", form, GRADIUM_API_KEY=KEY, PYTHONPATH=path)
        *lines, last = str(caught.value).splitlines()
        assert not leaks_in("".join(lines))
        assert not any(line.startswith("done=") for line in lines)
        if form == "text":
            assert "what is [API key]?" in lines[-2]
            assert last == "done=0 failed=0 left=0 audio_s=0.0 credits=0.0 rtfx=0.00 wall_s=0.0 exit=1"
        else:
            assert "what is [API key]?" in json.loads(lines[-1])["exception"]
            assert json.loads(last)["exit"] == 1


@pytest.mark.parametrize("place", ["variable", "other variable", "file"])
@pytest.mark.parametrize("kind", ["refused", "impossible"])
def test_a_wrong_key_is_told_with_the_place_it_came_from(
    tmp_path: Path, out: Path, server: RunningServer, place: str, kind: str
) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    wrong = KEY if kind == "refused" else f"{KEY} and more"
    (tmp_path / "key").write_text(wrong)
    (tmp_path / "key").chmod(0o600)
    more, told = {
        "variable": ({"GRADIUM_API_KEY": wrong}, "the environment variable GRADIUM_API_KEY"),
        "other variable": (
            {"OTHER": wrong, "GRADIUM_API_KEY": "x", "GRADIUM_BATCH_SERVICE__API_KEY_ENV": "OTHER"},
            "the environment variable OTHER",
        ),
        "file": (
            {"GRADIUM_API_KEY": "", "GRADIUM_BATCH_SERVICE__API_KEY_FILE": str(tmp_path / "key")},
            f"the file {tmp_path / 'key'} (service.api_key_file)",
        ),
    }[place]
    result = run(corpus, out, server.url, **{"GRADIUM_API_KEY": "", **more})
    assert result.exit == (1 if kind == "refused" else 2)
    [line] = [line for line in result.stderr.splitlines() if line.startswith("gradium-batch: ")]
    assert told in line
    assert not leaks_in(result.stderr)
    if kind == "refused":
        assert told in batch("status", out).stdout


@pytest.mark.parametrize("mode", [0o711, 0o601])
def test_a_key_file_that_others_can_neither_read_nor_change_is_not_warned_of(
    tmp_path: Path, out: Path, mode: int
) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(mode)
    result = batch(
        "check", corpus.folder, "--out", out, "--offline", GRADIUM_BATCH_SERVICE__API_KEY_FILE=str(tmp_path / "key")
    )
    assert result.exit == 0
    assert result.stderr == ""


def test_the_key_is_read_once_because_it_may_come_from_a_pipe(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRADIUM_API_KEY", raising=False)
    corpus = Corpus(tmp_path / "audio", count=1)
    with Asked() as service:
        chosen = {"url": service.url, "api_key_file": piped(KEY)}
        result = gradium_batch.transcribe(corpus.folder, out, settings={"service": chosen, "price": {"settle_s": 0}})
        chosen["api_key_file"] = piped(KEY)
        planned = gradium_batch.check(corpus.folder, out, settings={"service": chosen}, ask_balance=True)
    assert (result.done, len(service.queries), planned.balance is not None) == (1, 1, True)


def piped(text: str) -> str:
    """A file that can be read once."""
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    return f"/dev/fd/{reading}"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o600])
def test_a_key_file_that_others_can_read_is_warned_of(tmp_path: Path, out: Path, mode: int) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    file = tmp_path / "the key"
    file.write_text(KEY)
    file.chmod(mode)
    with Repeating([]) as service:
        options = {"GRADIUM_BATCH_SERVICE__URL": service.url, "GRADIUM_BATCH_SERVICE__API_KEY_FILE": str(file)}
        found = [
            batch("check", corpus.folder, "--out", out, **options),
            batch("run", corpus.folder, "--out", out, *FAST, **options),
        ]
    warning = f"service.api_key_file: other users can read or change {file}; run chmod 600 '{file}'\n"
    for result in found:
        assert result.exit == 0
        assert result.stderr.count(warning) == (mode != 0o600)
        assert not leaks_in(result.stderr)


def test_a_proxy_gets_no_request_in_clear(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    with Repeating([]) as service, Scripted(framed(BALANCE)) as proxy:
        proxies = dict.fromkeys(
            ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), f"http://127.0.0.1:{proxy.port}"
        )
        result = run(corpus, out, service.url, **proxies, NO_PROXY="", GRADIUM_BATCH_SERVICE__TRUST_ENV="true")
        assert result.exit == 0, result.stderr
    assert proxy.requests == []


@pytest.mark.slow
@pytest.mark.parametrize("status", [b"200 OK", b"407 " + KEY.encode() + b"\x1b[2J", b"502 \xff" + KEY.encode()])
def test_a_proxy_for_https_never_sees_the_key(tmp_path: Path, out: Path, status: bytes) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    with Scripted(b"HTTP/1.1 " + status + b"\r\nX-A: " + KEY.encode() + b"\r\n\r\nno " + KEY.encode()) as proxy:
        address = f"http://user:{KEY[::-1]}@127.0.0.1:{proxy.port}"
        url = "https://localhost:1/api/post/speech/asr"
        result = run(corpus, out, url, HTTPS_PROXY=address, NO_PROXY="", GRADIUM_BATCH_SERVICE__TRUST_ENV="true")
    assert result.exit == 1
    assert {request.head.splitlines()[0] for request in proxy.requests} == {"CONNECT localhost:1 HTTP/1.1"}
    assert not any(leaks_in(request.head + request.body.decode("latin-1")) for request in proxy.requests)
    refuse_leaks(result, out)
    assert KEY[::-1] not in result.stderr
    assert "\x1b" not in result.stderr


def test_a_key_that_an_older_version_stored_is_not_shown(server: RunningServer, tmp_path: Path, out: Path) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "a.wav").write_bytes(b"no audio")
    assert batch("run", tmp_path / "audio", "--out", out, server=server).exit == 3
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db:
        [(n, row)] = db.execute("SELECT n, row FROM failures").fetchall()
        failure = msgspec.structs.replace(msgspec.msgpack.decode(row, type=Failure), message=f"bad key {KEY}")
        db.execute("UPDATE failures SET row = ? WHERE n = ?", (msgspec.msgpack.encode(failure), n))
        db.commit()
    for form in ((), ("--json",)):
        told = batch("status", out, *form, GRADIUM_API_KEY=KEY)
        assert "bad key [API key]" in told.stdout
        assert not leaks_in(told.stdout + told.stderr)


@pytest.mark.parametrize(
    "args",
    [
        ("--set", f"pool.concurrency={KEY}"),
        ("--set", f"service.url=http://127.0.0.1:1/x?key={KEY}"),
        ("--set", f"service.{KEY}=1"),
        ("--config", f"{KEY}.toml"),
        ("--limit", KEY),
        (f"--key={KEY}",),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_key_that_stands_in_a_wrong_place_of_the_command_is_not_shown(
    tmp_path: Path, out: Path, command: str, args: tuple[str, ...]
) -> None:
    result = batch(command, Corpus(tmp_path / "audio", count=1).folder, "--out", out, *args)
    assert result.exit == 2 or command == "check"
    assert not leaks_in(result.stdout + result.stderr)
