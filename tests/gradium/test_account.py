"""The account: where the key comes from, what the balance is, and that the key is never shown."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from pipeline.config import Settings
from pipeline.config.settings import ServiceSettings
from pipeline.errors import ConfigError, EndpointUnreachable, KeyRefused
from pipeline.exchange import Endpoint, why_unknown
from pipeline.gradium import account, response, wire
from pipeline.gradium.key import read_key
from pipeline.gradium.request import request_settings
from pipeline.gradium.service import GradiumService
from pipeline.gradium.transport import http_client
from tests.gradium.scripted import Scripted, answer
from tests.gradium.test_client import SECONDS, clip_of
from tests.server.bodies import noise, wav
from tests.servers import RunningServer, start_server

GZIP = {"Content-Encoding": "gzip"}
SECRET = "gd_0123456789abcdef"  # noqa: S105  no key of anybody


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with start_server(key=SECRET, credits=900) as running:
        yield running


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADIUM_API_KEY", raising=False)


def credits_at(url: str, key: str = SECRET) -> wire.Credits | None:
    async def ask() -> wire.Credits | None:
        async with http_client(url, connect_s=5, idle_s=5, trust_env=False) as http:
            found = await account.ask_credits(http, Endpoint(url=url, key=key))
            return None if isinstance(found, str) else found

    return asyncio.run(ask())


def found_at(url: str) -> wire.Credits | str:
    async def ask() -> wire.Credits | str:
        async with http_client(url, connect_s=5, idle_s=5, trust_env=False) as http:
            return await account.ask_credits(http, Endpoint(url=url, key=SECRET))

    return asyncio.run(ask())


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIUM_API_KEY", f" {SECRET}\n")
    assert read_key(ServiceSettings()) == SECRET


def test_the_variable_may_have_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", SECRET)
    assert read_key(ServiceSettings(api_key_env="OTHER_KEY")) == SECRET


def test_the_key_comes_from_a_file_when_the_variable_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")
    service = ServiceSettings(api_key_file=str(tmp_path / "key"))
    monkeypatch.setenv("GRADIUM_API_KEY", "  ")
    assert read_key(service) == SECRET
    monkeypatch.setenv("GRADIUM_API_KEY", "gd_7f3a91c04b")
    assert read_key(service) == "gd_7f3a91c04b"


def test_the_key_file_may_lie_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key").write_text(SECRET)
    assert read_key(ServiceSettings(api_key_file="~/key")) == SECRET


def test_no_key_is_answered_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"set the environment variable MY_KEY .*configs/local\.toml"):
        read_key(ServiceSettings(api_key_env="MY_KEY"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "the key file cannot be read"),
        (b" \n", "is empty"),
        (b"gd_\xff\xfe", "is no text file"),
        (SECRET.encode() + b" and more", "was more than the key copied?"),
        (SECRET.encode() + b"\n" + SECRET.encode(), "was more than the key copied?"),
        ("gd_ключ0123".encode(), "was more than the key copied?"),
        (b"gd_0123" * 600, "was more than the key copied?"),
        (b"gd_\x000123456789", "was more than the key copied?"),
    ],
)
def test_a_key_file_with_something_else_in_it_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_key(ServiceSettings(api_key_file=str(file)))
    assert said in str(caught.value)
    assert "0123" not in str(caught.value)
    assert "0xff" not in str(caught.value)


def test_a_key_file_may_be_a_pipe_and_no_more_than_a_key_is_read_of_it() -> None:
    """As of `<(a-command)`."""
    for content, key in ((f"{SECRET}\n".encode(), SECRET), (SECRET[::-1].encode(), SECRET[::-1])):
        reading, writing = os.pipe()
        os.write(writing, content)
        os.close(writing)
        service = ServiceSettings(api_key_file=f"/dev/fd/{reading}")
        assert read_key(service) == key
        os.close(reading)
    with pytest.raises(ConfigError, match="was more than the key copied"):
        read_key(ServiceSettings(api_key_file="/dev/zero"))


def test_a_key_file_may_be_a_pipe_with_a_name(tmp_path: Path) -> None:
    fifo = tmp_path / "key"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_text, args=(SECRET,))
    writer.start()
    service = ServiceSettings(api_key_file=str(fifo))
    assert read_key(service) == SECRET
    writer.join()


def test_no_connection_within_its_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that speaks no TLS may wait for more."""

    async def ask() -> None:
        async with http_client("https://", connect_s=5, idle_s=5, trust_env=False) as http:
            endpoint = Endpoint(url=peer.url.replace("http:", "https:"), key=SECRET)
            await account.ask_credits(http, endpoint, tries=1, within_s=0.1)

    with Scripted(None) as peer, pytest.raises(EndpointUnreachable, match=r"\(no connection within 0\.1 s\)"):
        asyncio.run(ask())


def test_a_home_folder_of_nobody_is_a_file_that_cannot_be_read() -> None:
    with pytest.raises(ConfigError, match="the key file cannot be read"):
        read_key(ServiceSettings(api_key_file="~no-such-user-here/key"))


@pytest.mark.parametrize("name", ["api_key_env", "api_key_file"])
def test_a_key_in_the_place_of_its_place_is_not_shown(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^service\.{name}: that looks like the API key itself") as caught:
        read_key(ServiceSettings.model_validate({name: SECRET}))
    assert SECRET not in str(caught.value)


def test_the_balance_is_told(server: RunningServer) -> None:
    found = credits_at(server.url)
    assert found is not None
    assert (found.remaining_credits, found.plan_name) == (900, "local")


def test_a_wrong_key_is_refused_before_anything_is_sent(server: RunningServer) -> None:
    with pytest.raises(KeyRefused, match="API key is revoked or expired") as caught:
        credits_at(server.url, "gd_wrong_key")
    assert caught.value.http_status == 401
    assert server.stats()["requests"] == 0


def test_a_refusal_that_repeats_the_key_does_not_show_it() -> None:
    with Scripted(answer(f"the key {SECRET} is unknown".encode(), status=401)) as peer:
        with pytest.raises(KeyRefused) as caught:
            credits_at(peer.url)
        assert str(caught.value) == "the key [API key] is unknown"


@pytest.mark.parametrize("status", [401, 403])
def test_a_firewalls_page_in_place_of_the_balance_says_nothing_of_the_key(status: int) -> None:
    with Scripted(answer(b"<html>the API key is not authorized</html>", status=status)) as peer:
        assert credits_at(peer.url) is None


def test_a_balance_and_a_refusal_that_come_compressed_are_read() -> None:
    with Scripted(answer(gzip.compress(b'{"remaining_credits": 5}'), headers=GZIP)) as peer:
        found = credits_at(peer.url)
    assert found is not None
    assert found.remaining_credits == 5
    for coding, said in (("gzip", r"^no such key$"), ("br", r"^HTTP 401 without a readable message$")):
        refusal = answer(gzip.compress(b"no such key"), status=401, headers={"Content-Encoding": coding})
        with Scripted(refusal) as peer, pytest.raises(KeyRefused, match=said):
            credits_at(peer.url)


def test_a_refused_key_is_refused_however_its_answer_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response, "REFUSAL_S", 0.05)
    whole = answer(b"no such key" + b"." * 10, status=401)
    for peer in (Scripted(whole[:-10]), Scripted(whole[:-10], open_end=True)):
        with peer, pytest.raises(KeyRefused, match=r"^no such key$"):
            credits_at(peer.url)
        assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"HTTP/1.1 200 \xff\r\nContent-Length: 0\r\n\r\n", "malformed HTTP"),
        (b"SSH-2.0-server\r\n", "malformed HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, "malformed HTTP"),
        (b"", "Server disconnected"),
        (b"HTTP/1.1 200 OK\r\nX-", "Server disconnected"),
    ],
)
def test_an_address_that_brings_no_http_answer_is_told_in_a_few_words(
    reply: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "PAUSE_S", 0.001)
    with Scripted(reply) as peer, pytest.raises(EndpointUnreachable) as caught:
        credits_at(peer.url)
    assert f"nothing answers at http://127.0.0.1:{peer.port} ({reason}); check" in str(caught.value)


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"not found", status=404),
        answer(b"", status=307, headers={"Location": "https://elsewhere.example/"}),
        answer(b"error from server 1011: internal server error", status=500),
        answer(b"<html>"),
        answer(b"[]"),
        answer(b'{"remaining_credits": "many"}'),
        answer(b'{"plan_name": "\xff"}'),
        answer(b'{"plan_name": ' + b"[" * 60_000),
        answer(b'{"remaining_credits": 1, "terms": "' + b"a" * 200_000 + b'"}'),
        answer(gzip.compress(b'{"remaining_credits": 1, "terms": "' + b"a" * 9_000_000 + b'"}'), headers=GZIP),
        answer(gzip.compress(b'{"remaining_credits": 1}')[:20], headers=GZIP),
        answer(b'{"remaining_credits": 1}', headers=GZIP),
        answer(b"\x0b\x02\x80hello\x03", headers={"Content-Encoding": "br"}),
    ],
)
def test_a_balance_that_is_not_told_is_not_known(reply: bytes) -> None:
    with Scripted(reply) as peer:
        assert credits_at(peer.url) is None
        assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (answer(b"Payment Required", status=402), "HTTP 402 from /api/usages/credits"),
        (answer(b"", status=302, headers={"Location": f"https://elsewhere.example/{SECRET}"}), "HTTP 302 from"),
        (answer(b"error from server 1011: internal server error", status=500), "HTTP 500 from"),
        (answer(b""), "there is no balance in the answer of /api/usages/credits"),
        (answer(b"null"), "there is no balance"),
        (answer(b'{"remaining_credits": null}'), "there is no balance"),
        (answer(b'{"remaining_credits": "0"}'), "there is no balance"),
        (answer(b'{"remaining_credits": true}'), "there is no balance"),
        (answer(b'{"remaining_credits": NaN}'), "there is no balance"),
        (answer(b'{"remaining_credits": 1e999}'), "no balance"),
        (answer(b'{"remaining_credits": ' + b"9" * 5000 + b"}"), "no balance"),
        (answer(b'{"remaining_credits": 1e13}'), "is said to hold 1e+13 credits, which is not plausible"),
        (answer(b'{"remaining_credits": -1e13}'), "is said to hold -1e+13 credits, which is not plausible"),
    ],
)
def test_why_a_balance_is_not_known_is_told_in_our_own_words(reply: bytes, why: str) -> None:
    with Scripted(reply) as peer:
        told = why_unknown(found_at(peer.url))
    assert told is not None
    assert why in told
    assert SECRET not in told


@pytest.mark.parametrize("held", [b"0", b"-5"])
def test_a_balance_of_nothing_or_less_is_known(held: bytes) -> None:
    with Scripted(answer(b'{"remaining_credits": ' + held + b', "plan_name": null}')) as peer:
        assert why_unknown(found_at(peer.url)) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"detail": "Invalid API key"}',
        b'{"error": {"message": "Invalid API key\\nHelp?"}}',
        b"Invalid API key\nHelp? <html>",
    ],
)
def test_a_bad_key_is_told_in_the_services_words(body: bytes) -> None:
    with Scripted(answer(body, status=401)) as peer, pytest.raises(KeyRefused, match=r"^Invalid API key$"):
        credits_at(peer.url)


def test_nothing_at_the_address_says_what_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "PAUSE_S", 0.001)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/asr"
        with pytest.raises(
            EndpointUnreachable, match=r"nothing answers at http://127\.0\.0\.1:\d+ \(.+\); check"
        ) as caught:
            credits_at(url)
    assert SECRET not in str(caught.value)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n"
LATE = "no answer within 0.2 s"
CUT = "the answer of /api/usages/credits broke off"


@pytest.mark.parametrize(
    ("reply", "open_end", "why", "tries"),
    [
        (None, False, LATE, 1),
        (b"HTTP/1.1 200 OK\r\nContent-", True, LATE, 1),
        (HEAD + b'{"remaining_cre', True, LATE, 1),
        (HEAD + b'{"remaining_credits": 5}', True, LATE, 1),
        (HEAD + b'{"remaining_credits": 5}', False, CUT, account.TRIES),
        (answer(b'{"detail": "Forbidden"}', status=403), False, "HTTP 403 from /api/usages/credits", 1),
        (answer(b"your key is revoked", status=403), False, "HTTP 403 from /api/usages/credits", 1),
    ],
)
def test_a_page_that_does_not_end_or_says_nothing_certain_leaves_the_balance_unknown(
    reply: bytes | None, open_end: bool, why: str, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "PAUSE_S", 0.001)

    async def ask() -> wire.Credits | str:
        async with http_client(peer.url, connect_s=5, idle_s=5, trust_env=False) as http:
            return await account.ask_credits(http, Endpoint(url=peer.url, key=SECRET), within_s=0.2)

    with Scripted(reply, open_end=open_end) as peer:
        assert asyncio.run(ask()) == why
        assert len(peer.requests) == tries


def test_a_hiccup_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "PAUSE_S", 0.001)
    with Scripted(b"", answer(b'{"remaining_credits": 5}')) as peer:
        found = credits_at(peer.url)
    assert found is not None
    assert found.remaining_credits == 5


def test_the_key_shows_in_no_repr() -> None:
    assert SECRET not in repr(Endpoint(url="https://api.gradium.ai/asr", key=SECRET))
    assert SECRET not in str(Endpoint(url="https://api.gradium.ai/asr", key=SECRET))


def test_a_connected_service_answers_and_tells_its_balance(server: RunningServer, tmp_path: Path) -> None:
    settings = Settings()

    async def whole() -> tuple[wire.Credits | str, int]:
        endpoint = Endpoint(url=server.url, key=SECRET)
        service_at = GradiumService(lambda settings: nullcontext(endpoint))
        async with service_at.connect(request_settings(settings.service), settings) as service:
            request = clip_of(tmp_path / "clip.wav", wav(noise("connected", SECONDS)))
            answer = await service.transcriber.transcribe(request)
            return await service.balance(), len(answer.words)

    balance, words = asyncio.run(whole())
    assert why_unknown(balance) is None
    assert isinstance(balance, wire.Credits)
    assert words > 0
