"""Recordings in object stores, asked as one try: by a scripted server, and by a real one."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import (
    AddressRefused,
    AttemptError,
    AudioForbidden,
    AudioMissing,
    SourceChanged,
    SourceFault,
    SourceTimeout,
    SourceUnreachable,
    SourceUntrusted,
)
from pipeline.source.clouds import PIECE_BYTES
from pipeline.source.objects import CHUNK_BYTES, ObjectStores
from pipeline.source.rules import Rules
from tests.buckets import Bucket, S3Server
from tests.https import Answer, Hosted, Raw, Seen, WebServer, free_port, https_server

SECRET = "tests-secret-key"  # noqa: S105
DATA = random.Random(0).randbytes(100_000)
CLOUDS = ("AWS_", "GOOGLE_", "AZURE_", "STORAGE_EMULATOR_HOST")
Stores = Callable[..., ObjectStores]


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with https_server() as running:
        yield running


@pytest.fixture
def stores(web: WebServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stores:
    """Object stores in an environment that only has what is given; by default the scripted server as S3."""
    for name in os.environ:
        if name.startswith(CLOUDS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSL_CERT_FILE", web.environment["SSL_CERT_FILE"])

    def made(environment: dict[str, str] | None = None, **rules: Any) -> ObjectStores:
        signed = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ENDPOINT_URL": web.url("")}
        for name, value in (signed if environment is None else environment).items():
            monkeypatch.setenv(name, value)
        return ObjectStores(Rules(**{"allow_private": (web.address,), "timeout_s": 20} | rules))

    return made


def content(store: ObjectStores, address: str, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join(store.get(address, start, stop).chunks)


def refusal(status: int, code: str, message: str = "In its own words.") -> Answer:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message><StringToSign>{SECRET}"
    return Answer(status, f"{text}</StringToSign></Error>".encode(), {"Content-Type": "application/xml"})


def part(answered: bytes, said: str, **how: Any) -> Answer:
    headers = {"ETag": '"1"', "Last-Modified": formatdate(1.7e9, usegmt=True), "Content-Range": f"bytes {said}"}
    return Answer(206, answered, headers | how.pop("headers", {}), **how)


HUNDRED = {"Content-Length": "100"}
WRONG: dict[str, tuple[Answer | Raw, type[AttemptError], str]] = {
    "denied": (refusal(403, "AccessDenied"), AudioForbidden, "HTTP 403 (AccessDenied: In its own words.): check AWS_"),
    "gone": (refusal(404, "NoSuchKey"), AudioMissing, "no such object"),
    "NoSuchBucket": (Answer(404), AudioMissing, "no such object"),
    "no-bucket": (refusal(404, "NoSuchBucket"), AudioMissing, "there is no bucket s3://b"),
    "expired": (refusal(400, "ExpiredToken"), AudioForbidden, "ExpiredToken"),
    "region": (refusal(301, "PermanentRedirect"), AudioForbidden, "another region"),
    "slow-down": (refusal(503, "SlowDown"), SourceFault, "HTTP 503 (SlowDown"),
    "too-many": (Answer(429), SourceFault, "HTTP 429"),
    # words of keys and answers that the library's own errors have as well
    "missing/credentials": (Answer(500, b"credential missing"), SourceFault, "HTTP 500"),
    "certificate": (Answer(500, b"invalid peer certificate"), SourceFault, "HTTP 500"),
    "169.254.169.254": (Answer(502, b"performing PUT http://169.254.169.254/latest"), SourceFault, "HTTP 502"),
    "long": (refusal(500, "Words", "many " * 300), SourceFault, "many many"),
    "lines": (refusal(500, "Words", "one&#10;\ntwo\x1b[31m"), SourceFault, "HTTP 500"),
    "html": (Answer(200, b"<html>log in here"), SourceFault, "made no sense"),
    "other-part": (part(DATA[5:105], "5-104/1000"), SourceFault, "made no sense"),
    "too-long": (part(DATA[:105], "0-99/100"), SourceFault, "105 of 100 bytes"),
    "cut": (part(DATA[:50], "0-99/100", headers=HUNDRED, close=True), SourceFault, "broke off"),
    "hangs": (part(DATA[:50], "0-99/100", headers=HUNDRED, hang=True), SourceTimeout, "sources.timeout_s"),
    "drips": (part(DATA[:100], "0-99/100", drip=(1, 0.05)), SourceTimeout, "sources.timeout_s"),
    "rubbish": (Raw((b"\0\1\2\3",)), SourceFault, ""),
}


@pytest.mark.parametrize("key", WRONG)
def test_what_a_store_does_wrong_is_told_apart(key: str, web: WebServer, stores: Stores) -> None:
    answer, kind, says = WRONG[key]
    web.script(f"/b/{key}.wav", answer)
    with pytest.raises(AttemptError) as told:
        content(stores(timeout_s=0.2 if kind is SourceTimeout else 20, per_mib_s=0.005), f"s3://b/{key}.wav")
    message = str(told.value)
    assert (type(told.value), says in message) == (kind, True), message
    assert len(message) < 600
    assert message.isprintable()
    assert SECRET not in message
    assert "AWS4" not in message


def test_a_refused_description_has_no_words_but_is_of_the_credentials(web: WebServer, stores: Stores) -> None:
    web.script("/b/expired.wav", Answer(400))
    with pytest.raises(AudioForbidden, match="check AWS_ACCESS_KEY_ID"):
        stores().stat("s3://b/expired.wav")


@pytest.mark.parametrize("key", ["missing.wav", "certificate.wav", "credentials/a.wav", "a.wav"])
def test_a_store_that_cannot_be_reached_is_that_whatever_the_key(key: str, stores: Stores) -> None:
    port = free_port()
    store = stores(
        {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_SKIP_SIGNATURE": "true"},
        allow_private=(f"127.0.0.1:{port}",),
    )
    with pytest.raises(SourceUnreachable, match="cannot be reached: connection refused"):
        store.stat(f"s3://b/{key}")


def test_a_certificate_that_nobody_vouches_for(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(SourceUntrusted):
        stores().stat("s3://b/a.wav")


BUCKETS = ["..", ".", "", "a b", "é", "b?x=1", "b#f", "b%2f..", "b\\c", "b&c", "b@c", "b:1", "b\x00", "b" * 300]


@pytest.mark.parametrize("name", BUCKETS)
def test_a_bucket_whose_name_would_change_the_request_is_refused(name: str, web: WebServer, stores: Stores) -> None:
    web.forget_requests()
    for address in (f"{scheme}://{name}/a.wav" for scheme in ("s3", "gs", "az")):
        with pytest.raises(AddressRefused, match="no name of a bucket"):
            stores().stat(address)
    assert not web.requests


ENDPOINTS = {
    "https://10.0.0.1": "private network",
    "https://169.254.169.254": "private network",
    "https://localhost:1": "private network",
    "http://93.184.216.34": "not encrypted",
    "https://93.184.216.34:99999": "no URL",
    "https://[::1": "no URL",
    "127.0.0.1:9000": "no URL",
    "ftp://93.184.216.34": "no URL",
    "https://93.184.216.34?a=b": "no URL",
    "https://:secret@93.184.216.34": "no URL",
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AZURE_STORAGE_ENDPOINT"])
def test_endpoints_that_are_not_asked(name: str, endpoint: str, stores: Stores) -> None:
    scheme = "az" if name.startswith("AZURE") else "s3"
    with pytest.raises(AddressRefused, match=ENDPOINTS[endpoint]):
        stores({name: endpoint}).stat(f"{scheme}://b/a.wav")


def authorization(web: WebServer) -> str:
    return web.requests[-1].headers.get("authorization", "")


def test_credentials_region_and_endpoint_of_a_profile(web: WebServer, stores: Stores, tmp_path: Path) -> None:
    web.put("/b/a.wav", DATA)
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(
        f"[default]\naws_access_key_id = DEF\naws_secret_access_key = {SECRET}\n"
        "[corpus]\naws_access_key_id = OTHER\naws_secret_access_key = 100%safe\naws_session_token = TOKEN\n"
    )
    (tmp_path / ".aws/config").write_text(
        f"[default]\nendpoint_url = {web.url('')}\nregion = eu-west-3\n"
        f"[profile corpus]\nregion = eu-north-1\nendpoint_url = {web.url('')}\n"
    )
    stores({}).stat("s3://b/a.wav")
    assert "Credential=DEF/" in authorization(web)
    assert "/eu-west-3/s3/" in authorization(web)
    stores({"AWS_PROFILE": "corpus"}).stat("s3://b/a.wav")
    assert "Credential=OTHER/" in authorization(web)
    assert "/eu-north-1/s3/" in authorization(web)
    assert web.requests[-1].headers["x-amz-security-token"] == "TOKEN"
    # as for the AWS tools, the environment's keys come first; no part of the profile's is mixed into them
    stores({"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-west-1"}).stat(
        "s3://b/a.wav"
    )
    assert "Credential=ENV/" in authorization(web)
    assert "/us-west-1/s3/" in authorization(web)
    assert "x-amz-security-token" not in web.requests[-1].headers


def test_values_that_the_library_cannot_bear(web: WebServer, stores: Stores, tmp_path: Path) -> None:
    web.put("/b/a.wav", DATA)
    stores().stat("s3://b/a.wav")
    stores({"AWS_SECRET_ACCESS_KEY": f"{SECRET}\r\n", "AWS_SESSION_TOKEN": "T\n", "AWS_REGION": " x-1 "}).stat(
        "s3://b/a.wav"
    )
    assert web.requests[-1].headers["x-amz-security-token"] == "T"
    assert "/x-1/s3/" in authorization(web)
    with pytest.raises(AudioForbidden, match="session_token for S3 holds"):
        stores({"AWS_SESSION_TOKEN": "a\nb"}).stat("s3://b/a.wav")
    (tmp_path / "account.json").write_text('{"private_key": "secret"}')
    for name in ("account.json", "nothing.json"):
        with pytest.raises(AudioForbidden, match="GOOGLE_APPLICATION_CREDENTIALS") as told:
            stores({"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / name)}).stat("gs://b/a.wav")
        assert "secret" not in str(told.value)
    with pytest.raises(AudioForbidden, match="check AZURE_STORAGE_ACCOUNT_NAME"):
        stores({"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "no base64!"}).stat("az://b/a.wav")


def test_what_is_public_is_read_without_a_signature(web: WebServer, stores: Stores) -> None:
    web.put("/open/a.wav", DATA)
    web.put("/b/a.wav", DATA)
    store = stores(anonymous=("s3://open/",))
    store.stat("s3://open/a.wav")
    assert not authorization(web)
    store.stat("s3://b/a.wav")
    assert authorization(web)
    stores({"AWS_SKIP_SIGNATURE": "true"}).stat("s3://b/a.wav")
    assert not authorization(web)


def test_the_version_is_the_etag_else_size_and_time(web: WebServer, stores: Stores) -> None:
    store = stores()

    def version(**options: Any) -> str:
        web.put("/b/v.wav", DATA, **options)
        info = store.stat("s3://b/v.wav")
        assert info == store.get("s3://b/v.wav").info
        assert (info.size_bytes, info.is_versioned) == (len(DATA), options != {"etag": None, "modified": None})
        return info.version

    found = [version(), version(etag='"x"'), version(etag='"' + "y" * 400 + '"'), version(etag=None)]
    found += [version(etag=None, modified=1_600_000_000), version(etag=None, modified=None)]
    assert len({*found}) == len(found)
    assert max(map(len, found)) < 80
    assert version() == found[0]


def test_parts_of_an_object(web: WebServer, stores: Stores) -> None:
    store, size = stores(), len(DATA)
    web.put("/b/a.wav", DATA)
    web.put("/b/empty.wav", b"")
    for start, stop in ((0, None), (0, 1), (10, 20), (10, 10), (size - 1, size), (size - 1, size + 9), (size, None)):
        assert content(store, "s3://b/a.wav", start, stop) == DATA[start:stop], (start, stop)
    assert content(store, "s3://b/a.wav", size + 9) == b""
    assert content(store, "s3://b/empty.wav") == b""
    with pytest.raises(SourceChanged):
        store.get("s3://b/a.wav", size, version="another")


def test_a_long_object_comes_in_pieces_of_one_version(web: WebServer, stores: Stores) -> None:
    long = random.Random(1).randbytes(2 * PIECE_BYTES + 1000)
    web.put("/b/long.wav", long)
    store = stores(timeout_s=20)
    web.forget_requests()
    chunks = [*store.get("s3://b/long.wav").chunks]
    assert b"".join(chunks) == long
    assert max(map(len, chunks)) <= 2 * CHUNK_BYTES
    assert len(web.requests) == 3
    web.script("/b/long.wav", Hosted(long), Hosted(long[::-1]))
    got = store.get("s3://b/long.wav").chunks
    with pytest.raises(SourceChanged):
        b"".join(got)


def listing(*keys: str) -> Answer:
    entries = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-11-29T15:28:53.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
        "<Size>3</Size></Contents>"
        for key in keys
    )
    text = f"<?xml version='1.0'?><ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
    return Answer(200, text.encode(), {"Content-Type": "application/xml"})


@pytest.mark.parametrize(("key", "shown"), [("x//y.wav", "x//y.wav"), ("x/../y.wav", "x/../y.wav"), ("a&#9;b", "a")])
def test_a_key_that_cannot_be_asked_for_is_named_where_it_is_listed(
    key: str, shown: str, web: WebServer, stores: Stores
) -> None:
    web.script("/b", listing("a.wav", key))
    with pytest.raises(AddressRefused, match="lists an object whose key cannot be asked for") as told:
        [*stores().list("s3://b/")]
    assert shown in str(told.value)
    assert str(told.value).isprintable()


def test_a_listing_goes_on_after_a_name_whatever_the_store_makes_of_that(web: WebServer, stores: Stores) -> None:
    web.script("/b", listing("d/a.wav", "d/b.wav", "d/é.wav"))
    assert [one.name for one in stores().list("s3://b/d/", after="a.wav")] == ["b.wav", "é.wav"]
    assert "start-after=d%2Fa.wav" in web.requests[-1].query


def test_refused_listings(web: WebServer, stores: Stores) -> None:
    web.script("/b", refusal(404, "NoSuchBucket"))
    with pytest.raises(AudioMissing, match="no bucket s3://b"):
        [*stores().list("s3://b/")]
    web.script("/b", refusal(403, "AccessDenied"))
    with pytest.raises(AudioForbidden, match="check AWS_ACCESS_KEY_ID"):
        [*stores().list("s3://b/")]
    web.script("/b", Answer(200, b"<html>log in"))
    with pytest.raises(SourceFault):
        [*stores().list("s3://b/")]


def test_google_and_azure_by_their_own_conventions(web: WebServer, stores: Stores) -> None:
    seen: list[Seen] = []

    def answer(asked: Seen) -> Answer | Raw:
        seen.append(asked)
        return Hosted(DATA).answer(asked)

    web.script("/c/a.wav", answer)
    store = stores(
        {
            "AZURE_STORAGE_ACCOUNT_NAME": "account",
            "AZURE_STORAGE_ACCOUNT_KEY": "c2VjcmV0",
            "AZURE_STORAGE_ENDPOINT": web.url(""),
        }
    )
    assert store.stat("az://c/a.wav").size_bytes == len(DATA)
    assert seen[-1].headers["authorization"].startswith("SharedKey account:")
    web.script("/c/b.wav", refusal(403, "AuthenticationFailed"))
    with pytest.raises(AudioForbidden, match="AZURE_STORAGE_ACCOUNT_NAME"):
        content(store, "az://c/b.wav")
    store = stores({"STORAGE_EMULATOR_HOST": web.url("")})
    web.script("/b/a%2Ewav", Hosted(DATA))
    assert content(store, "gs://b/a.wav") == DATA


def test_no_account_is_no_credentials(stores: Stores) -> None:
    with pytest.raises(AudioForbidden, match="no credentials for az://b were found: set AZURE_STORAGE_ACCOUNT_NAME"):
        stores({}).stat("az://b/a.wav")


KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\"), min_size=1, max_size=12)


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(key=st.lists(KEYS, min_size=1, max_size=3).map("/".join) | st.sampled_from(
    ["a%20b", "a%2Fb", "a+b", "a?b=c#d", "%zz", " a ", "x//y", "/x", "x/", "x/./y", "x/../y", "..", "a\tb", "a\nb"]
))  # fmt: skip
def test_an_object_is_got_by_the_key_that_the_address_has_or_refused(key: str, s3: S3Server, stores: Stores) -> None:
    store = stores({**s3.environment()}, allow_private=(f"127.0.0.1:{s3.proxy.port}",))
    bucket, data = Bucket(s3, "keys"), key.encode()
    if {"", ".", ".."} & {*key.split("/")} or any(char < " " for char in key):
        for asked in (store.stat, store.get):
            with pytest.raises(AddressRefused):
                asked(bucket.url(key))
        return
    bucket.put(key, data)
    bucket.put(f"other-{len(data)}", b"another")
    assert content(store, bucket.url(key)) == data
    assert store.stat(bucket.url(key)).size_bytes == len(data)
    assert key in [one.name for one in store.list(bucket.url())]
    bucket.delete(key)


@pytest.mark.slow
def test_a_real_store(s3: S3Server, stores: Stores) -> None:
    bucket = s3.bucket()
    names = sorted(f"day {number % 3}/{number:04d}.wav" for number in range(1100))
    with ThreadPoolExecutor(8) as threads:
        [*threads.map(lambda name: bucket.put(name, name.encode()), names)]
    store = stores({**s3.environment()}, allow_private=(f"127.0.0.1:{s3.proxy.port}",))
    assert [one.name for one in store.list(bucket.url())] == names
    assert [one.name for one in store.list(bucket.url(), after=names[500])] == names[501:]
    below = [name.removeprefix("day 1/") for name in names if name.startswith("day 1/")]
    listed = [*store.list(bucket.url("day 1/"))]
    assert [one.name for one in listed] == below
    assert listed[0].info == store.stat(bucket.url(f"day 1/{below[0]}"))
    assert not [*store.list(bucket.url("day/"))]
    long = random.Random(2).randbytes(PIECE_BYTES + 12345)
    address = bucket.put("long.wav", long)
    assert content(store, address) == long
    assert content(store, address, PIECE_BYTES - 5, PIECE_BYTES + 5) == long[PIECE_BYTES - 5 : PIECE_BYTES + 5]
    version = store.stat(address).version
    bucket.put("long.wav", long[1:])
    with pytest.raises(SourceChanged):
        store.get(address, version=version)
    with pytest.raises(AudioMissing):
        store.stat(bucket.url("nothing.wav"))
    with pytest.raises(AudioMissing, match="no bucket"):
        content(store, "s3://no-such-bucket/a.wav")
    refused = stores(s3.environment(secret="wrong"), allow_private=(f"127.0.0.1:{s3.proxy.port}",))  # noqa: S106
    for asked in (lambda: refused.stat(address), lambda: content(refused, address)):
        with pytest.raises(AudioForbidden, match="check AWS_ACCESS_KEY_ID"):
            asked()
