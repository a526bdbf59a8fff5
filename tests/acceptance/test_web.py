"""Recordings on web servers, through the command: what each hostile server does is an error of that row, in time."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.batch import batch, errors_of, jsonl_of, rows_of, write_wav
from tests.https import Answer, Hosted, Raw, Script, Seen, WebServer, free_port, https_server
from tests.servers import RunningServer

pytestmark = pytest.mark.slow
TIMEOUT_S = 1.0
ATTEMPTS = 2
SECRET = "X-Amz-Signature=5ec4e7ab12"  # noqa: S105
QUICK = ("--set", f"sources.timeout_s={TIMEOUT_S}", "--set", f"retry.max_attempts={ATTEMPTS}",
         "--set", "retry.base_s=0.01", "--set", "retry.max_s=0.05", "--set", "retry.outage_max_s=5")  # fmt: skip


@pytest.fixture
def web() -> Iterator[WebServer]:
    with https_server() as running:
        yield running


class Recordings:
    """Recordings that the web server has, and a manifest of them and of others."""

    def __init__(self, web: WebServer, folder: Path) -> None:
        self._web = web
        self._folder = folder
        self.manifest = folder / "rows.csv"
        self.rows: dict[str, str] = {}
        self.texts: dict[str, str] = {}

    def wav(self, seed: int) -> tuple[bytes, str]:
        """A recording and its transcript."""
        text = write_wav(self._folder / "one.wav", seed)
        return (self._folder / "one.wav").read_bytes(), text

    def good(self, count: int) -> None:
        for number in range(len(self.texts), len(self.texts) + count):
            data, text = self.wav(number)
            self.add(f"good-{number}", self._web.put(f"/good-{number}.wav", data))
            self.texts[f"good-{number}"] = text

    def add(self, id_: str, address: str) -> None:
        self.rows[id_] = address

    def write(self) -> Path:
        with self.manifest.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("id", "audio"), *self.rows.items()])
        return self.manifest


@pytest.fixture
def recordings(web: WebServer, tmp_path: Path) -> Recordings:
    return Recordings(web, tmp_path)


def test_what_hostile_servers_do_is_an_error_of_the_row_in_time(
    server: RunningServer, web: WebServer, recordings: Recordings, out: Path
) -> None:
    recordings.good(10)
    data, _ = recordings.wav(1000)
    total = len(data)

    def for_get(answer: Answer | Raw) -> Script:
        """Describes the recording well, and then hands it out so."""
        return lambda asked: answer if asked.method == "GET" else Hosted(data).answer(asked)

    def redirect(location: str) -> Script:
        return Answer(302, b"", {"Location": location})

    html, long = {"Content-Type": "text/html"}, {"Content-Length": str(total + 9)}
    hostile: Mapping[str, tuple[Script, str]] = {
        "drips": (for_get(Answer(200, data, drip=(1, 0.1))), "SourceTimeout"),
        "drips its head": (for_get(Answer(200, data, head_drip=0.1)), "SourceTimeout"),
        "drips for HEAD": (Answer(200, data, head_drip=0.1), "SourceTimeout"),
        "stops in the middle": (for_get(Answer(200, data[:99], long, hang=True)), "SourceTimeout"),
        "says nothing": (Raw((1000.0,)), "SourceTimeout"),
        "closes": (for_get(Raw(())), "SourceFault"),
        "tells more": (for_get(Answer(200, data, long, close=True)), "SourceFault"),
        "tells less": (for_get(Answer(200, data, {"Content-Length": str(total - 9)})), "SourceFault"),
        "breaks off": (for_get(Answer(200, data[:99], {"Content-Length": None}, close=True)), "SourceFault"),
        "page": (Answer(200, b"<html>log in</html>", html), "AudioUnreadable"),
        "page for GET": (for_get(Answer(200, b"<html>log in</html>", html)), "AudioUnreadable"),
        "part": (for_get(Answer(206, data[9:], {"Content-Range": f"bytes 9-{total - 1}/{total}"})), "SourceFault"),
        "part of another size": (for_get(Answer(206, data, {"Content-Range": "bytes 0-9/10"})), "SourceFault"),
        "to http": (redirect(f"http://{web.address}/good-1.wav?{SECRET}"), "AddressRefused"),
        "to this machine": (redirect(f"https://127.0.0.1:{free_port()}/?{SECRET}"), "AddressRefused"),
        "to a password": (redirect(f"https://me:{SECRET}@{web.address}/good-1.wav"), "AddressRefused"),
        "to the cloud's data": (redirect("https://169.254.169.254/latest/meta-data"), "AddressRefused"),
        "round and round": (redirect("round%20and%20round.wav"), "AddressRefused"),
        "missing": (Answer(404), "AudioMissing"),
        "forbidden": (Answer(403), "AudioForbidden"),
        "busy": (Answer(429, b"", {"Retry-After": "1"}), "SourceFault"),
        "broken": (Answer(500), "SourceFault"),
        "noise": (Raw((bytes(range(256)),)), "SourceFault"),
    }  # fmt: skip
    for name, (script, _) in hostile.items():
        path = f"/{name.replace(' ', '%20')}.wav"
        recordings.add(name, web.script(path, script))
    recordings.add("private", "https://10.0.0.1/a.wav")
    recordings.good(10)
    begun = time.monotonic()
    done = batch("run", recordings.write(), "--out", out, *QUICK, server=server, **web.environment)
    assert time.monotonic() - begun < 30
    assert done.exit == 3, done.stderr
    assert rows_of(out) == recordings.texts
    expected = {name: kind for name, (_, kind) in hostile.items()}
    found = errors_of(out)
    assert found == expected | {"private": "AddressRefused"}
    messages = {row["id"]: row["message"] for row in jsonl_of(out, "errors.jsonl")}
    for message in messages.values():
        assert message.isprintable()
        assert len(message) < 400
    assert SECRET not in done.stderr
    assert not [path for path in out.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]

    # the second run reads nothing that is done; failures alone, however many in a row, are no outage of the server
    web.forget_requests()
    again = batch("run", recordings.manifest, "--out", out, *QUICK, server=server, **web.environment)
    assert again.exit == 3, again.stderr
    assert len(web.asked("/good-0.wav", "HEAD")) == 1
    assert not [one for one in web.requests if one.method == "GET" and one.path.startswith("/good")]
    assert rows_of(out) == recordings.texts
    assert errors_of(out) == found


def test_a_dead_host_fails_only_its_rows(
    server: RunningServer, web: WebServer, recordings: Recordings, out: Path
) -> None:
    dead = free_port()
    for number in range(4):
        recordings.add(f"dead-{number}", f"https://127.0.0.1:{dead}/{number}.wav")
        recordings.good(5)
    allow = f'["{web.address}", "127.0.0.1:{dead}"]'
    environment = web.environment | {"GRADIUM_BATCH_SOURCES__ALLOW_PRIVATE": allow}
    done = batch("run", recordings.write(), "--out", out, *QUICK, server=server, **environment)
    assert done.exit == 3, done.stderr
    assert rows_of(out) == recordings.texts
    assert errors_of(out) == {f"dead-{number}": "SourceUnreachable" for number in range(4)}


def test_a_server_that_refuses_everybody_ends_the_run(
    server: RunningServer, web: WebServer, recordings: Recordings, out: Path
) -> None:
    for number in range(30):
        recordings.add(f"row-{number}", web.script(f"/{number}.wav", Answer(403)))
    done = batch("run", recordings.write(), "--out", out, *QUICK, server=server, **web.environment)
    assert done.exit == 1, done.stderr
    assert "HTTP 403" in done.stderr
    assert "check the credentials and rights" in done.stderr


def test_a_certificate_that_nobody_trusts_ends_the_run(
    server: RunningServer, web: WebServer, recordings: Recordings, out: Path
) -> None:
    recordings.good(30)
    environment = web.environment | {"SSL_CERT_FILE": ""}
    done = batch("run", recordings.write(), "--out", out, *QUICK, server=server, **environment)
    assert done.exit == 1, done.stderr
    assert "SSL_CERT_FILE" in done.stderr


def test_a_recording_that_changes_is_fetched_again_and_no_other(
    server: RunningServer, web: WebServer, recordings: Recordings, out: Path
) -> None:
    recordings.good(10)
    command = ("run", recordings.write(), "--out", out)
    assert batch(*command, server=server, **web.environment).exit == 0
    assert len([one for one in web.requests if one.method == "GET"]) == 10
    asked = server.stats()["requests"]
    web.forget_requests()
    data, text = recordings.wav(2000)
    web.put("/good-3.wav", data)
    recordings.texts["good-3"] = text
    assert batch(*command, server=server, **web.environment).exit == 0
    assert [one.path for one in web.requests if one.method == "GET"] == ["/good-3.wav"]
    assert server.stats()["requests"] == asked + 1
    assert rows_of(out) == recordings.texts


def test_an_interrupted_recording_is_read_on_from_where_it_broke_off(
    server: RunningServer, web: WebServer, recordings: Recordings, out: Path
) -> None:
    data, text = recordings.wav(1)
    hosted = Hosted(data)

    def breaks(asked: Seen) -> Answer:
        whole = hosted.answer(asked)
        return Answer(whole.status, data[:3000], whole.headers | {"Content-Length": str(len(data))}, close=True)

    recordings.add("a", web.script("/a.wav", hosted, breaks, hosted))
    assert batch("run", recordings.write(), "--out", out, *QUICK, server=server, **web.environment).exit == 0
    assert rows_of(out) == {"a": text}
    assert [(one.method, one.headers.get("range")) for one in web.requests] == [
        ("HEAD", None), ("GET", None), ("GET", "bytes=3000-"),
    ]  # fmt: skip


def test_signatures_that_expire_in_mid_run_cost_a_night_not_the_recordings(
    server: RunningServer, web: WebServer, recordings: Recordings, out: Path
) -> None:
    recordings.good(4)
    data = {}
    for number in range(6):
        data[f"/late-{number}.wav"], recordings.texts[f"late-{number}"] = recordings.wav(100 + number)
        recordings.add(f"late-{number}", web.url(f"/late-{number}.wav"))
    for path in data:
        hosted = Hosted(data[path])
        web.script(path, lambda asked, hosted=hosted: hosted.answer(asked) if asked.method == "HEAD" else Answer(403))
    manifest = recordings.write()
    command, use = ("run", manifest, "--out", out), {"server": server, **web.environment}
    for _ in range(2):  # five that are refused again say nothing of others
        refused = batch(*command, **use)
        assert (refused.exit, refused.figures["done"], refused.figures["failed"]) == (3, 4, 6), refused.stderr
    assert set(errors_of(out).values()) == {"AudioForbidden"}
    assert batch("check", manifest, "--out", out, **use).exit == 0
    for path in data:
        web.put(path, data[path])
    assert batch(*command, **use).exit == 0
    assert rows_of(out) == recordings.texts


def test_a_server_that_refuses_to_say_what_changed_is_told(
    server: RunningServer, web: WebServer, recordings: Recordings, out: Path
) -> None:
    recordings.good(6)
    command = ("run", recordings.write(), "--out", out)
    done = batch(*command, server=server, **web.environment)
    assert "no source told" not in done.stderr
    for number in range(6):
        web.script(f"/good-{number}.wav", Answer(403))
    refused = batch(*command, server=server, **web.environment)
    assert (refused.exit, refused.figures["done"]) == (0, 6)
    assert "of 6 rows no source told whether the recording changed; what is done of them stays" in refused.stderr
    assert "answered HTTP 403" in refused.stderr
    assert rows_of(out) == recordings.texts
