"""Recordings on web servers, asked as one try: by a real https server that is good, wrong, slow or hostile."""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from pipeline.errors import (
    AddressRefused,
    AttemptError,
    AudioForbidden,
    AudioMissing,
    AudioUnreadable,
    ConfigError,
    NoParts,
    SourceChanged,
    SourceFault,
    SourceTimeout,
    SourceUnreachable,
    SourceUntrusted,
)
from pipeline.source.rules import Rules
from pipeline.source.signatures import Signatures
from pipeline.source.web import Web
from tests.https import Answer, Raw, Seen, WebServer, free_port, https_server

DATA = random.Random(0).randbytes(200_000)
SHORT_S = 0.1
MUCH_S = 5
"""Much less than a hostile server would take."""
LATE = (SourceTimeout, SourceUnreachable)
"""The latter where a busy machine took longer to connect."""
SECRET = "X-Amz-Signature=5ec4e7ab12"  # noqa: S105


class Signed(Signatures):
    """Has the same signature for all addresses."""

    def signed(self, address: str) -> str:
        return f"{address}?{SECRET}"


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    with https_server() as running:
        yield running


@pytest.fixture(autouse=True)
def _without_earlier_requests(server: WebServer) -> None:
    server.forget_requests()


@contextmanager
def asking(
    server: WebServer, monkeypatch: pytest.MonkeyPatch, *, timeout_s: float = 10, is_signed: bool = False
) -> Iterator[Web]:
    monkeypatch.setenv("SSL_CERT_FILE", server.environment["SSL_CERT_FILE"])
    rules = Rules(allow_private=(server.address,), timeout_s=timeout_s, per_mib_s=0)
    web = Web(rules, Signed() if is_signed else Signatures())
    try:
        yield web
    finally:
        web.close()


@pytest.fixture
def web(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    with asking(server, monkeypatch) as asked:
        yield asked


@pytest.fixture
def hasty(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    with asking(server, monkeypatch, timeout_s=SHORT_S) as asked:
        yield asked


def read(web: Web, url: str, start: int = 0, stop: int | None = None, version: str | None = None) -> bytes:
    return b"".join(web.get(url, start, stop, version=version).chunks)


def error_of(call: Callable[[], object]) -> AttemptError:
    with pytest.raises(AttemptError) as caught:
        call()
    assert SECRET not in str(caught.value)
    assert str(caught.value).isprintable()
    return caught.value


def test_a_recording_is_read_whole_and_in_parts(server: WebServer, web: Web) -> None:
    server.put("/a%20b.wav", DATA)
    url = server.url("/a b.wav")
    info = web.stat(url)
    assert info.size_bytes == len(DATA)
    assert info.estimated_s == len(DATA) / 32_000
    for start, stop in ((0, None), (0, 10), (5, 77_000), (199_999, None), (150_000, 10**9)):
        content = web.get(url, start, stop, version=info.version)
        assert content.info == info
        assert b"".join(content.chunks) == DATA[start:stop]
    assert read(web, url, 200_000, 200_001) == b""
    assert [one.method for one in server.requests] == ["HEAD", *["GET"] * 6]
    assert server.asked("/a%20b.wav")[0].headers == {
        "host": server.address,
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": server.requests[0].headers["user-agent"],
    }
    assert server.requests[0].headers["user-agent"].startswith("gradium-batch")


def test_nothing_of_the_user_is_sent(
    server: WebServer, web: Web, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password pw\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    to = server.script("/to.wav", Answer(200, b"x", {"Set-Cookie": "id=1"}))
    url = server.script("/from.wav", Answer(302, b"", {"Location": f"{to}?b=2#c", "Set-Cookie": "id=1; Path=/"}))
    for _ in range(2):
        assert read(web, f"{url}?a=1") == b"x"
    assert [(one.path, one.query) for one in server.requests] == [("/from.wav", "a=1"), ("/to.wav", "b=2")] * 2
    for one in server.requests:
        assert one.headers.keys() == {"host", "accept", "accept-encoding", "user-agent"}


def test_one_connection_serves_many_requests(server: WebServer, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    connected = []
    monkeypatch.setattr(
        socket,
        "create_connection",
        lambda *args, real=socket.create_connection, **more: connected.append(1) or real(*args, **more),
    )
    server.put("/a.wav", DATA)
    url = server.script("/from.wav", Answer(302, b"moved", {"Location": "/a.wav"}))
    for _ in range(3):
        web.stat(url)
        assert read(web, url) == DATA
    assert len(connected) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
def test_a_server_that_refuses_head_is_asked_for_one_byte(server: WebServer, web: Web, status: int) -> None:
    server.put("/good.wav", DATA)
    good = web.stat(server.url("/good.wav"))

    def answer(asked: Seen) -> Answer:
        if asked.method == "HEAD":
            return Answer(status)
        return Answer(206, DATA[:1], {"Content-Range": f"bytes 0-0/{len(DATA)}", "ETag": '"1"'})

    info = web.stat(server.script("/a.wav", answer))
    assert info.size_bytes == good.size_bytes
    assert server.asked("/a.wav")[0].headers["range"] == "bytes=0-0"


def test_an_empty_file_has_a_size(server: WebServer, web: Web) -> None:
    url = server.put("/empty.wav", b"", head=False)
    assert web.stat(url).size_bytes == 0
    assert read(web, url) == read(web, url, 0, 65_536) == b""


def test_the_version_is_the_same_however_it_is_asked_for_and_changes_with_the_file(server: WebServer, web: Web) -> None:
    seen = set()
    for data, etag, modified in (
        (b"abc", '"1"', 1.0), (b"abc", 'W/"1"', 1.0), (b"abc", '"2"', 1.0), (b"abcd", '"2"', 1.0), (b"abc", None, 1.0),
        (b"abc", None, 2.0), (b"abc", None, None), (b"abcd", None, None), (b"abc", '"' + "x" * 5000 + '"', 1.0),
    ):  # fmt: skip
        versions = set()
        for head in (True, False):
            url = server.put("/v.wav", data, etag=etag, modified=modified, head=head)
            versions.add(web.stat(url).version)
        for content in (web.get(url), web.get(url, 1, 2)):
            versions.add(content.info.version)
            assert b"".join(content.chunks) in (data, data[1:2])
        assert len(versions) == 1
        seen |= versions
    assert len(seen) == 9
    assert max(map(len, seen)) < 60


def test_a_replaced_recording_is_not_mixed_with_the_former(server: WebServer, web: Web) -> None:
    url = server.put("/a.wav", DATA)
    version = web.stat(url).version
    for other in (DATA[::-1], DATA[:-1]):
        server.put("/a.wav", other)
        assert isinstance(error_of(lambda: read(web, url, 1000, None, version)), SourceChanged)
        assert isinstance(error_of(lambda: read(web, url, 1000, 2000, version)), SourceChanged)
    server.put("/a.wav", DATA[:500])  # not even that long any more
    assert isinstance(error_of(lambda: read(web, url, 1000, None, version)), SourceChanged)


def test_where_nothing_tells_a_version_reading_does_not_go_on_in_the_middle(server: WebServer, web: Web) -> None:
    url = server.put("/a.wav", DATA, etag=None, modified=None)
    version = web.stat(url).version
    assert read(web, url, 1000, 2000, version) == DATA[1000:2000]
    assert isinstance(error_of(lambda: read(web, url, 1000, None, version)), SourceChanged)


def test_a_server_without_ranges_hands_out_parts_of_the_whole(server: WebServer, web: Web) -> None:
    url = server.put("/a.wav", DATA, ranges=False, etag='"1"')
    version = web.stat(url).version
    for start, stop in ((0, 10), (60_000, 140_000), (70_000, None), (60_000, 10**9)):
        assert read(web, url, start, stop, version) == DATA[start:stop]
    assert server.asked("/a.wav")[0].bytes_sent <= len(DATA)
    for start in (70_000, 300_000):  # what stands before it would be read in vain
        assert isinstance(error_of(lambda start=start: read(web, url, start, start + 1)), NoParts)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, AudioForbidden, "HTTP 400"),
        (401, AudioForbidden, "does not hand the recording out"),
        (403, AudioForbidden, "does not hand the recording out"),
        (404, AudioMissing, "no such recording"),
        (410, AudioMissing, "no such recording"),
        (408, SourceFault, "HTTP 408"),
        (429, SourceFault, "HTTP 429"),
        (500, SourceFault, "HTTP 500"),
        (503, SourceFault, "HTTP 503"),
        (599, SourceFault, "HTTP 599"),
        (204, SourceFault, "HTTP 204"),
        (304, AddressRefused, "no address to go on to"),
        (302, AddressRefused, "no address to go on to"),
        (206, SourceFault, "HTTP 206"),
    ],
)  # fmt: skip
def test_each_status_is_what_it_is(
    server: WebServer, web: Web, status: int, kind: type[AttemptError], words: str
) -> None:
    url = server.script("/a.wav", Answer(status, b"" if status in (204, 304) else b"<hostile>", {"Retry-After": "7"}))
    for error in (error_of(lambda: web.stat(url)), error_of(lambda: read(web, url))):
        assert type(error) is kind
        assert words in str(error)
        assert "hostile" not in str(error)
        if status != 206:
            assert error.http_status == status
        if kind is SourceFault and status != 206:
            assert error.retry_after_s == 7


def test_a_refused_signed_address_may_have_expired(
    server: WebServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    url = server.script("/a.wav", Answer(403))
    with asking(server, monkeypatch, is_signed=True) as web:
        error = error_of(lambda: read(web, url))
    assert "signature may have expired" in str(error)
    assert server.requests[0].query == SECRET
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("text/html; charset=utf-8", "a web page"),
        ("application/xhtml+xml", "instead of a recording"),
        ("application/json", "JSON"),
        ("application/problem+json", "JSON"),
        ("application/xml", "XML"),
        ("Text/XML", "XML"),
    ],
)
def test_what_is_certainly_no_recording_is_told(server: WebServer, web: Web, kind: str, words: str) -> None:
    url = server.script("/a.wav", Answer(200, b"<p>Please log in</p>", {"Content-Type": kind}))
    for error in (error_of(lambda: web.stat(url)), error_of(lambda: read(web, url))):
        assert isinstance(error, AudioUnreadable)
        assert words in str(error)


@pytest.mark.parametrize(
    ("name", "kind", "coding"),
    [
        ("a.wav", "application/octet-stream", None), ("a.wav", "binary/octet-stream", None), ("a", "video/mp4", None),
        ("a.wav", None, None), ("a.wav", "text/plain", None), ("a.wav", "odd", "identity"),
        ("rows.json", "application/json", None), ("rows.csv.gz", "application/x-gzip", "x-gzip"),
    ],
)  # fmt: skip
def test_recordings_and_manifests_of_any_other_type_are_taken(
    server: WebServer, web: Web, name: str, kind: str | None, coding: str | None
) -> None:
    url = server.script(f"/{name}", Answer(200, DATA, {"Content-Type": kind, "Content-Encoding": coding}))
    assert web.stat(url).size_bytes == len(DATA)
    assert read(web, url) == DATA


def test_an_answer_that_is_compressed_is_not_taken_for_the_recording(server: WebServer, web: Web) -> None:
    url = server.script("/a.wav", Answer(200, DATA, {"Content-Encoding": "gzip"}))
    assert "compresses" in str(error_of(lambda: read(web, url)))


CHUNKED = {"Content-Length": None, "Transfer-Encoding": "chunked"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(200, b"3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nT: 1\r\n\r\n", CHUNKED), b"abcd"),
        (Answer(200, b"abcd", {"Content-Length": None}), b"abcd"),
        (Answer(200, b"abcd", {"Content-Length": None}, close=True), SourceFault),
        (Answer(200, b"3\r\nabc\r\n1\r\n", CHUNKED, close=True), SourceFault),
        (Answer(200, b"zz\r\nabc\r\n", CHUNKED), SourceFault),
        (Answer(200, b"abcd", {"Content-Length": "9"}, close=True), SourceFault),
        (Answer(200, b"abcd", {"Content-Length": "3"}), SourceFault),
        (Answer(200, b"abcd", {"Content-Length": "-4"}), SourceFault),
        (Answer(200, b"abcd", {"Content-Length": "4, 5"}), SourceFault),
        (Answer(200, b"abcd", {"Content-Length": "9" * 30}, close=True), SourceFault),
        (Raw((b"",)), SourceFault),
        (Raw((b"HTTP/1.1 200",)), SourceFault),
        (Raw((b"220 ftp ready\r\n",)), SourceFault),
        (Raw((b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",)), SourceFault),
        (Raw((b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",)), SourceFault),
        (Raw((b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",)), b"abc"),
        (Raw((b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",)), SourceFault),
    ],
)  # fmt: skip
def test_an_answer_is_whole_or_an_error(
    server: WebServer, web: Web, answer: Answer | Raw, expected: bytes | type[AttemptError]
) -> None:
    url = server.script("/a.wav", answer)
    if isinstance(expected, bytes):
        assert read(web, url) == expected
    else:
        assert type(error_of(lambda: read(web, url))) is expected


def part(told: str, body: bytes, **headers: str | None) -> Answer:
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(206, body, {"Content-Range": told, "ETag": '"1"'} | more)


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        (part("bytes 10-19/200000", DATA[10:20]), True),
        (part("Bytes 10-19/*", DATA[10:20]), True),
        (part("bytes 10-19/200000", b"a\r\n" + DATA[10:20] + b"\r\n0\r\n\r\n", **CHUNKED), True),
        (part("bytes 10-14/15", DATA[10:15]), True),
        (part("bytes 0-9/200000", DATA[:10]), False),
        (part("bytes 11-20/200000", DATA[11:21]), False),
        (part("bytes 10-18/200000", DATA[10:19]), False),
        (part("bytes 10-20/200000", DATA[10:21]), False),
        (part("bytes 10-18/*", DATA[10:19]), False),
        (part("bytes 10-19/200000", DATA[10:18]), False),
        (part("bytes 10-19/200000", b"9\r\n" + DATA[10:19] + b"\r\n0\r\n\r\n", **CHUNKED), False),
        (part("bytes 10-19/200000", b"b\r\n" + DATA[10:21] + b"\r\n0\r\n\r\n", **CHUNKED), False),
        (part("bytes 19-10/200000", DATA[10:20]), False),
        (part("bytes */200000", DATA[10:20]), False),
        (part("items 10-19/200000", DATA[10:20]), False),
        (part("bytes 10-19/" + "9" * 40, DATA[10:20]), False),
        (part("bytes 10-19/12", DATA[10:20]), False),
        (Answer(206, DATA[10:20], {"Content-Type": "multipart/byteranges; boundary=x"}), False),
        (Answer(416, b"", {"Content-Range": "bytes */200000"}), False),
        (Answer(416, b"", {"Content-Range": "bytes */*"}), False),
        (Answer(416), False),
    ],
)  # fmt: skip
def test_a_part_is_the_one_that_was_asked_for(server: WebServer, web: Web, answer: Answer, is_right: bool) -> None:
    url = server.script("/a.wav", answer)
    if is_right:
        assert read(web, url, 10, 20) == DATA[10:20][: len(DATA[10:15]) if "/15" in str(answer) else 10]
    else:
        assert type(error_of(lambda: read(web, url, 10, 20))) is SourceFault


def test_what_comes_behind_an_answer_is_no_answer_to_the_next_request(server: WebServer, web: Web) -> None:
    other = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"
    good = server.put("/good.wav", DATA)
    for behind in (
        Raw((b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc" + other, 0.2)),
        Raw((b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + other, 0.2)),
        Raw((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + other, 0.2)),
        Raw((b"HTTP/1.1 302 Found\r\nLocation: /good.wav\r\nContent-Length: 0\r\n\r\n" + other, 0.2)),
    ):
        bad = server.script("/bad.wav", behind)
        for ask in (lambda url=bad: web.stat(url), lambda url=bad: read(web, url)):
            with suppress(SourceFault):
                ask()
            assert read(web, good) == DATA


def test_five_redirects_are_followed_and_no_more(server: WebServer, web: Web) -> None:
    server.put("/0.wav", DATA)
    for number, status in enumerate((301, 302, 303, 307, 308, 302), 1):
        server.script(f"/{number}.wav", Answer(status, b"", {"Location": f"{number - 1}.wav"}))
    assert read(web, server.url("/5.wav"), 5, 9) == DATA[5:9]
    assert "more than 5 times" in str(error_of(lambda: read(web, server.url("/6.wav"))))
    assert web.stat(server.url("/5.wav")).size_bytes == len(DATA)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://127.0.0.1:1/a?{secret}", "not encrypted"),
        ("ftp://127.0.0.1/a?{secret}", "not encrypted"),
        ("file:///etc/passwd?{secret}", "not encrypted"),
        ("x5ec4e7ab12://127.0.0.1/a", "not encrypted"),
        ("https://127.0.0.1:1/a?{secret}", "private network"),
        ("https://localhost:1/a?{secret}", "private network"),
        ("https://[::1]:1/a?{secret}", "private network"),
        ("https://[::ffff:127.0.0.1]:1/a", "private network"),
        ("https://2130706433:1/a", "private network"),
        ("https://0x7f.1:1/a", "private network"),
        ("https://0177.0.0.1:1/a", "no valid"),
        ("https://127.1:1/a", "private network"),
        ("https://0.0.0.0:1/a", "private network"),
        ("https://169.254.169.254/latest/meta-data?{secret}", "private network"),
        ("https://10.0.0.1/a", "private network"),
        ("//192.168.0.1/a", "private network"),
        ("https://me:{secret}@127.0.0.1:{port}/a", "user name or a password"),
        ("https://[::1/a?{secret}", "no valid"),
        ("https://" + "a" * 70_000, "no valid"),
        ("https://" + "a" * 300 + "/", "no host"),
    ],
)
def test_a_redirect_leads_to_no_place_that_may_not_be_asked(
    server: WebServer, web: Web, location: str, words: str
) -> None:
    location = location.format(port=server.port, secret=SECRET)
    url = server.script("/a.wav", Answer(302, b"", {"Location": location}))
    error = error_of(lambda: read(web, url))
    assert type(error) is AddressRefused
    assert words in str(error)
    assert "5ec4e7ab12" not in str(error)
    assert len(str(error)) < 800
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "address", ["https://me:pw-5ec4e7@127.0.0.1/a", "https://", "https://exa mple/", "https://a:99999/"]
)
def test_an_address_that_cannot_be_asked_is_refused(web: Web, address: str) -> None:
    error = error_of(lambda: web.stat(address))
    assert type(error) is AddressRefused
    assert "5ec4e7" not in str(error)


def test_all_addresses_of_a_name_have_to_be_public(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 443)) for ip in ("1.1.1.1", "10.0.0.7")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: found)
    error = error_of(lambda: web.stat("https://media.example.org/a.wav"))
    assert type(error) is AddressRefused
    assert "10.0.0.7" in str(error)


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolves to something else the next time gains nothing; one that is named may be anywhere."""
    server.put("/a.wav", DATA)
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *args: object, **more: object) -> object:
        if host != "media.example.org":
            return real(host, port, *args, **more)  # type: ignore[arg-type]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1" if len(asked) == 1 else "10.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with asking(server, monkeypatch) as web:  # the address is named, the host's name is not
        assert read(web, server.url("/a.wav", "media.example.org")) == DATA
    assert len(asked) == 1


def test_a_dead_host_is_unreachable(web: Web, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web._pool._network_backend, "_allow_private", (f"127.0.0.1:{(port := free_port())}",))
    error = error_of(lambda: web.stat(f"https://127.0.0.1:{port}/a.wav"))
    assert type(error) is SourceUnreachable
    error = error_of(lambda: web.stat("https://no-such-host.invalid/a.wav"))
    assert type(error) is SourceUnreachable


def test_a_certificate_of_nobody_who_is_trusted_is_an_error_of_its_own(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    web = Web(Rules(allow_private=(server.address,)), Signatures())
    error = error_of(lambda: web.stat(server.url("/a.wav")))
    assert type(error) is SourceUntrusted
    assert "SSL_CERT_FILE" in str(error)
    web.close()


def test_certificates_that_cannot_be_read_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for text in (None, "no certificate"):
        if text:
            (tmp_path / "ca.pem").write_text(text)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
            Web(Rules(), Signatures())


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, DATA, drip=(1, 0.02)),
        Answer(200, DATA, head_drip=0.02),
        Answer(200, DATA[:10], {"Content-Length": "200000"}, hang=True),
        Answer(302, b"x" * 99, {"Location": "/good.wav"}, drip=(1, 0.02)),
        Answer(200, b"1\r\na\r\n" * 999, CHUNKED, drip=(1, 0.02)),
        Raw((b"HTTP/1.1 100 Continue\r\n\r\n", 0.02) * 99),
        Raw((1000.0,)),
    ],
)
def test_no_answer_outlasts_its_deadline(server: WebServer, hasty: Web, answer: Answer | Raw) -> None:
    url = server.script("/a.wav", answer)
    begun = time.monotonic()
    assert type(error_of(lambda: read(hasty, url))) in LATE
    assert SHORT_S <= time.monotonic() - begun < SHORT_S + MUCH_S


def test_what_a_server_announces_gives_it_no_time(server: WebServer, hasty: Web) -> None:
    hasty._rules = msgspec.structs.replace(hasty._rules, per_mib_s=10)
    url = server.script("/a.wav", Answer(200, DATA, {"Content-Length": str(10**15)}, drip=(1, 0.02)))
    begun = time.monotonic()
    assert type(error_of(lambda: read(hasty, url))) in LATE
    assert time.monotonic() - begun < SHORT_S + MUCH_S


def test_a_server_that_does_not_encrypt_is_given_up_at_the_deadline(server: WebServer, hasty: Web) -> None:
    server.stalls = True
    begun = time.monotonic()
    error = error_of(lambda: read(hasty, server.url("/a.wav")))
    server.stalls = False
    assert type(error) is SourceUnreachable
    assert time.monotonic() - begun < SHORT_S + MUCH_S


def test_a_name_server_that_does_not_answer_is_given_up_at_the_deadline(
    hasty: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: over.wait(30))
    begun = time.monotonic()
    assert type(error_of(lambda: read(hasty, "https://media.example.org/a.wav"))) is SourceTimeout
    assert time.monotonic() - begun < SHORT_S + MUCH_S
    over.set()


def test_a_content_that_nobody_reads_gives_its_connection_back(server: WebServer, web: Web) -> None:
    url = server.put("/a.wav", DATA)
    for _ in range(5):
        web.get(url)  # too large, for instance
        content = web.get(url)
        next(content.chunks)
        del content
    assert not web._pool._requests
