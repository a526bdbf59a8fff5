"""Signatures are taken off URLs, which stay the same otherwise, and are put on again."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.queries import ALWAYS
from pipeline.source.signatures import Signatures

AMAZON = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA1%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20260101T000000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Security-Token=IQoJb3J"
    "&X-Amz-Signature=9f3c"
)
SIGNED = {
    "Amazon": AMAZON,
    "Amazon 2": "AWSAccessKeyId=AKIA1&Expires=1767225600&Signature=vjby%2Fab%3D",
    "CloudFront": "Policy=eyJT&Signature=aB-c_~&Key-Pair-Id=K2J&Hash-Algorithm=SHA256",
    "Google": "X-Goog-Algorithm=GOOG4&X-Goog-Credential=a%40b&X-Goog-Date=1&X-Goog-Expires=9&X-Goog-Signature=ff",
    "Google 2": "GoogleAccessId=a%40b&Expires=1767225600&Signature=x%2B",
    "Google Media CDN": "Expires=1767225600&KeyName=k1&Signature=ab",
    "Azure": "sv=2024-11-04&ss=b&srt=o&sp=r&se=2026-01-01&st=2025-01-01&spr=https&sip=1.2.3.4&sig=a%2Fb%3D",
    "Azure, of a user": "skoid=1&sktid=2&skt=2026-01-01&ske=2026-01-02&sks=b&skv=2024&sv=2024&sr=b&sp=r&sig=qq",
    "Alibaba": "OSSAccessKeyId=LTAI&Expires=1767225600&Signature=q%2B&security-token=CAIS",
    "Alibaba 4": "x-oss-signature-version=OSS4&x-oss-credential=a&x-oss-date=b&x-oss-expires=9&x-oss-signature=ff",
    "Tencent": "q-sign-algorithm=sha1&q-ak=AK&q-sign-time=1%3B2&q-header-list=host&q-url-param-list=&q-signature=ff",
    "Huawei": "AccessKeyId=AK&Expires=1767225600&Signature=s",
    "Qiniu": "e=1767225600&token=AK%3Aab%3D",
    "nginx": "md5=q1w2&expires=1767225600",
    "Akamai": "hdnts=exp=1767225600~acl=/*~hmac=ff",
    "Discord": "ex=1&is=2&hm=3",
    "a token": "access_token=gho_1",
    "an odd spelling": "x%2Damz%2Dsignature=ff&SIG=1&%74oken=2",
}


@pytest.mark.parametrize("query", SIGNED.values(), ids=SIGNED.keys())
def test_signatures_of_all_conventions_are_taken_off(query: str) -> None:
    signatures = Signatures()
    url = f"https://h/calls/a%20b.wav?{query}"
    assert signatures.take(url) == "https://h/calls/a%20b.wav"
    assert signatures.signed("https://h/calls/a%20b.wav") == url
    mixed = f"https://h/a.wav?versionId=3&{query}&x=%2f+1&x=&"
    assert signatures.take(mixed) == "https://h/a.wav?versionId=3&x=%2f+1&x=&"
    assert signatures.signed("https://h/a.wav?versionId=3&x=%2f+1&x=&") == mixed


@pytest.mark.parametrize(
    "url",
    [
        "https://h/a.wav",
        "https://h/a.wav?",
        "https://h/get?key=1.wav&id=2&t=5&e=3&st=1",
        "https://h/a?sv=1&sp=2&se=3",  # of Azure only beside `sig`
        "https://h/a?md5=1&t=1767225600",
        "https://h/x-amz-signature=1/a.wav",
        "https://h/a?versionId=null&x-oss-process=audio",
        "s3://b/a?token=1.wav",
        "gs://b/a#t=1",
        "/data/a?token=1.wav",
    ],
)
def test_what_is_no_signature_stays(url: str) -> None:
    signatures = Signatures()
    assert signatures.take(url) == signatures.signed(url) == url


def test_fragments_are_dropped_but_for_rows_of_parquet_files() -> None:
    signatures = Signatures()
    assert signatures.take("https://h/a.wav?sig=1#t=1,2") == "https://h/a.wav"
    assert signatures.take("https://h/a.parquet?sig=1#row=17") == "https://h/a.parquet#row=17"
    assert signatures.signed("https://h/a.parquet") == "https://h/a.parquet?sig=1"
    assert signatures.take("https://h/a.parquet#row=17?sig=1") == "https://h/a.parquet"


def test_the_last_signature_of_an_address_is_kept() -> None:
    signatures = Signatures()
    for number in range(3):
        signatures.take(f"https://h/a?{AMAZON}{number}")
        signatures.take("https://h/a")
    assert signatures.signed("https://h/a") == f"https://h/a?{AMAZON}2"
    assert signatures.signed("https://h/b") == "https://h/b"


NAMES = st.one_of(
    st.sampled_from(sorted(ALWAYS)), st.sampled_from(["X-Amz-Signature", "se", "sv", "t", "x", "key", ""])
)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="&;?#"), max_size=9).map(lambda one: f"v{one}v")
QUERIES = st.lists(st.tuples(NAMES, VALUES, st.sampled_from("&&&;?")), max_size=6)


@given(QUERIES, st.sampled_from(["", "#t=1", "#row=3"]))
def test_any_url(parts: list[tuple[str, str, str]], fragment: str) -> None:
    query = "".join(f"{name}={number}{value}{end}" for number, (name, value, end) in enumerate(parts))
    url = f"https://h/a.parquet?{query}"
    signatures = Signatures()
    bare = signatures.take(url + fragment)
    kept = bare.partition("?")[2]
    for number, (name, value, _) in enumerate(parts):
        if name.lower() in ALWAYS or name == "X-Amz-Signature":
            assert f"{name}={number}{value}" not in kept
    assert signatures.take(bare) == Signatures().take(bare) == bare
    part = fragment if fragment == "#row=3" else ""
    assert signatures.signed(bare) == url + part
    # what stays is in its order and as it was written
    left = iter(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    assert all(
        any(one[0] == name for name, _ in left) for one in parse_qsl(kept, keep_blank_values=True) if "?" not in url[9:]
    )


@given(st.lists(st.text(max_size=3000), min_size=1, max_size=5))
def test_long_and_odd_values_come_back(values: list[str]) -> None:
    signatures = Signatures()
    urls = [
        f"https://h{number % 2}/{number}?x=1&sig={quote(value)}{value.replace('#', '')}"
        for number, value in enumerate(values)
    ]
    bare = [signatures.take(url) for url in urls]
    assert [signatures.signed(one) for one in bare] == urls


def test_threads_share_signatures() -> None:
    signatures = Signatures()

    def take(number: int) -> bool:
        url = f"https://h{number % 7}/{number}?{AMAZON}{number:064x}"
        return signatures.signed(signatures.take(url)) == url

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(take, range(2_000)))


MEASURED = """
import resource, sys
from pipeline.source.signatures import Signatures
import hashlib
kept, start = Signatures(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range(100_000):
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    kept.take(f"https://bucket.s3.amazonaws.com/calls/2024/{number:09}.wav?" + sys.argv[1] + digest)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) * 1024 / 100_000)
"""


@pytest.mark.slow
def test_a_million_signatures_are_affordable() -> None:
    found = subprocess.run([sys.executable, "-c", MEASURED, AMAZON], capture_output=True, text=True, check=True)
    assert float(found.stdout) < 320  # bytes


def test_what_tokens_may_tell_apart_is_noticed() -> None:
    for one, other, unclear in [
        ("https://h/get?token=1", "https://h/get?token=2", "https://h/get"),
        ("https://h/get?token=1", "https://h/get?token=1", ""),
        ("https://h/a?n=1&token=1", "https://h/a?n=2&token=2", ""),
        ("https://h/a?Signature=1&Expires=1&Key-Pair-Id=1", "https://h/a?Signature=2&Expires=2&Key-Pair-Id=1", ""),
        ("https://h/a?token=1&expires=1", "https://h/a?token=2&expires=2", ""),
    ]:
        signatures = Signatures()
        signatures.take(one)
        signatures.take(other)
        assert signatures.unclear == unclear
