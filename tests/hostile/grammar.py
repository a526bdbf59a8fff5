"""What a hostile service answers to a request: a status, headers, framing, lines, repeats of the key, cuts and pauses,
composed at random. Pure: it makes bytes and says when they are sent.
"""

from __future__ import annotations

import base64
import random
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

KEY = "gsk_1e9f7c40b2d85a6633c1f0aa94b7d2e8"
Ending = Literal["keep", "close", "reset", "open"]
STATUSES = (
    *(200, 200, 200, 202, 204, 206, 226, 301, 302, 307, 308, 400, 404, 405, 408, 409, 413, 415, 418, 422, 425, 429),
    *(431, 451, 499, 500, 500, 501, 502, 503, 504, 507, 508, 520, 521, 522, 523, 524, 525, 527, 530, 599, 999),
)
STOPPING = (401, 402, 403)
"""Rarer: where nothing else is answered they end the run."""
REASONS = (b"OK", b"", b"No", b"\xff\xfe", b"a" * 300)
BY_SERVICE = (400, 403, 422, 500, 503)
FREE = {
    "error from server 1008: bad format: the moon is full": BY_SERVICE,
    "error from server 1008: Concurrency limit exceeded: 3 active sessions": BY_SERVICE,
    "error from server Some(1008): Concurrency limit exceeded\nno API key? <html>write to us</html>": BY_SERVICE,
    "Concurrency limit exceeded\nerror from server 1011: your API key": BY_SERVICE,
    '{"detail": "Concurrency limit exceeded"}': BY_SERVICE,
    '{"error": {"code": 1008, "message": "Concurrency limit exceeded"}}': BY_SERVICE,
    "unsupported content type for SST 'audio/mpeg'": (500,),
}
"""Refusals before any work with their statuses; beside FREE_STATUSES and FREE_LINE all that this service does not bill.

The table of docs/hostile-service.md, written down a second time: one that bills nothing else has to be told from it.
"""
FREE_STATUSES = (401, 429)
FREE_LINE = b'{"type":"error","message":"error from server 1008: Concurrency limit exceeded"}'
"""As the first of a stream."""
SENTENCES = (
    *FREE,
    "error from server 1011: internal server error",
    "error from server Some(1011): internal server error\nplease contact support",
    "error from server Some(1011): language model worker out of memory\nno credits? A language is required",
    "error from server Some(1002): input before setup",
    '{"error": "Concurrency limit exceeded", "code": "busy"}',
    "Overloaded: input queue too long",
    "Quota exceeded for requests per minute",
    "error from server 4294967295: Concurrency limit exceeded",
    "Error from server 1011: Concurrency limit exceeded",
    '{"code": 1011, "message": "Concurrency limit exceeded"}',
    "session limit exceeds your plan",
    "failed to read file descriptor",
    '{"detail": "slow down"}',
    '{"detail": [{"loc": ["x"], "msg": "no"}]}',
    '{"error": {"code": 7}}',
    "<html><title>403 Forbidden</title>API key quota exceeded, audio too long</html>",
    "",
    "\x1b[2J\x1b]0;owned\x07done=99 failed=0 exit=0\r\ndone=99 exit=0",
)
NAMES = (b"X-Request-Id", b"Server", b"Set-Cookie", b"Via", b"X-Key", b"Date", b"Warning")


@dataclass(frozen=True)
class Reply:
    """One answer."""

    when: Literal["before", "half", "after"]
    """When it is sent: before, amid or behind the request's body."""
    pieces: tuple[bytes, ...]
    pause_s: float
    """Between the pieces."""
    ending: Ending
    is_free: bool
    """One of the refusals that are not billed."""


def key_in_some_form(rng: random.Random) -> bytes:
    """The key, or most of it, as it is or in another writing."""
    forms = (
        KEY,
        KEY.upper(),
        quote(KEY, safe="").replace("_", "%5f"),
        "".join(f"%{ord(char):02X}" for char in KEY),
        "".join(f"\\u{ord(char):04x}" for char in KEY),
        "".join(f"\\u{ord(char):04x}" if rng.random() < 0.3 else char for char in KEY),
        base64.b64encode(b"ab"[: rng.randrange(3)] + KEY.encode()).decode(),
        base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("="),
        KEY.encode().hex(),
        KEY[: rng.randrange(16, len(KEY))],
        KEY[rng.randrange(1, 20) :],
    )
    filler = "x" * rng.choice((0, 0, 0, 1, 150, 180, 199, 1_950, 1_985, 1_999))
    return f"{filler}{rng.choice(forms)}".encode()


def answer_to(rng: random.Random, word: str, good_share: float) -> Reply:
    """An answer to a request for which `word` is the right transcript: a good one with that probability."""
    if rng.random() < good_share:
        return Reply("after", (_whole(_lines(word), chunked=rng.random() < 0.5),), 0.0, "keep", False)
    return _hostile(rng, word)


def balance(rng: random.Random) -> bytes:
    """An answer to the request for the balance."""
    good = b'{"remaining_credits": 45000, "allocated_credits": 45000, "billing_period": "", "plan_name": "free"}'
    bodies = (good, good, b"null", b'"0"', b"<html>", b"[]", key_in_some_form(rng), b'{"remaining_credits": "x"}', b"")
    status = rng.choice((200, 200, 200, 404, 500, 302, 503, 429))
    reason = rng.choice((*REASONS, key_in_some_form(rng)))
    headers = [b"Location: /" + key_in_some_form(rng)] if status == 302 else _headers(rng)
    return _head(status, reason, headers) + _framed(rng.choice(bodies), rng.choice(("length", "chunked")))


def _hostile(rng: random.Random, word: str) -> Reply:
    status = rng.choice(STOPPING) if rng.random() < 0.01 else rng.choice(STATUSES)
    sentence = rng.choice(SENTENCES)
    refusal = b""
    if status == 200 and rng.random() < 0.8:
        body, kind = _some_lines(rng, word), b"application/x-ndjson"
        refusal = FREE_LINE if body.lstrip().startswith(FREE_LINE) else b""
    else:
        key = key_in_some_form(rng) if rng.random() < 0.2 else b""
        body, kind = sentence.encode() + key, b"text/html" if sentence.startswith("<") else b"text/plain"
        refusal = sentence.encode() if status in FREE.get(sentence, ()) else b""
    framing = rng.choice(("length", "chunked", "length", "chunked", "none", "short", "long", "both", "broken", "minus"))
    headers = [b"Content-Type: " + kind, *_headers(rng)]
    if status in (301, 302, 307, 308):
        headers.append(b"Location: https://" + key_in_some_form(rng))
    reason = rng.choice((*REASONS, key_in_some_form(rng)))
    whole = _head(status, reason, headers) + _framed(body, framing)
    if rng.random() < 0.1:
        whole = rng.choice((b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n")) + whole
    if rng.random() < 0.05:
        whole = rng.choice(
            (b"", b"\r\n\r\n", rng.randbytes(60), b"HTTP/9 x y\r\n\r\n", key_in_some_form(rng) + b"\r\n\r\n")
        )
    if rng.random() < 0.15:
        whole = whole[: rng.randrange(len(whole) + 1)]
    is_free = refusal in whole if refusal else status in FREE_STATUSES and b"HTTP/1.1 %d" % status in whole
    pieces = (whole,)
    if rng.random() < 0.2:
        cut = sorted(rng.randrange(len(whole) + 1) for _ in range(3))
        pieces = tuple(whole[a:b] for a, b in zip([0, *cut], [*cut, len(whole)], strict=True))
    when = rng.choice(("after", "after", "after", "before", "half"))
    ending: Ending = rng.choice(("keep", "close", "close", "reset", "open"))
    return Reply(when, pieces, rng.choice((0.0, 0.0, 0.01, 0.05)), ending, is_free)


def _headers(rng: random.Random) -> list[bytes]:
    found = []
    for _ in range(rng.choice((0, 0, 1, 2, 5))):
        value = rng.choice((b"x", b"\xe9\xff", b"a" * 5_000, key_in_some_form(rng), b"\x01\x1b[31m"))
        found.append(rng.choice(NAMES) + b": " + value)
    if rng.random() < 0.2:
        wait = rng.choice((b"0", b"1", b"-1", b"1e9", b"soon", b"\xd9\xa1", b"Wed, 21 Oct 2099 07:28:00 GMT", b"0.01"))
        found.append(b"Retry-After: " + wait)
    if rng.random() < 0.1:
        found.append(b"Content-Encoding: " + rng.choice((b"identity", b"gzip", b"br", b"", key_in_some_form(rng))))
    if rng.random() < 0.02:
        found += [b"X-Many: %d" % n for n in range(300)]
    return found


def _some_lines(rng: random.Random, word: str) -> bytes:
    text = b'{"type":"text","text":"' + word.encode() + b'","start_s":0.01}'
    key = key_in_some_form(rng)
    known = (
        text,
        text,
        b'{"type":"ready","request_id":"' + key.replace(b"\\", b"") + b'","model_name":"m","delay_in_frames":0}',
        b'{"type":"end_text","stop_s":0.05}',
        b'{"type":"step","vad":[]}',
        b'{"type":"error","message":"' + key + b'","code":1011}',
        FREE_LINE,
        b'{"type":"text","text":"' + key + b'","start_s":0.02}',
        b'{"type":"text","start_s":1e400}',
        b'{"type":["text"]}',
        b'{"type":"text","text":7,"start_s":-1}',
        b"[" * 3_000,
        b"null",
        b"\xff\xfe",
        b"",
        b"\n" * 1_000,
        key,
        b'{"type":"end_of_stream"}',
    )
    lines = [rng.choice(known) for _ in range(rng.randrange(7))]
    if rng.random() < 0.3:
        lines.append(b'{"type":"end_of_stream"}')
    return b"\n".join(lines) + rng.choice((b"\n", b"\n", b"", b"\r\n"))


def _lines(word: str) -> bytes:
    return (
        b'{"type":"ready","request_id":"r","model_name":"m","delay_in_frames":0}\n'
        b'{"type":"text","text":"' + word.encode() + b'","start_s":0.01}\n'
        b'{"type":"end_text","stop_s":0.05}\n{"type":"end_of_stream"}\n'
    )


def _whole(lines: bytes, *, chunked: bool) -> bytes:
    return _head(200, b"OK", [b"Content-Type: application/x-ndjson"]) + _framed(
        lines, "chunked" if chunked else "length"
    )


def _head(status: int, reason: bytes, headers: list[bytes]) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 %d " % status + reason, *headers]) + b"\r\n"


def _framed(body: bytes, framing: str) -> bytes:
    """The last headers, the end of the head, and the body."""
    chunks = b"%x\r\n" % len(body) + body + b"\r\n" if body else b""
    length = {
        "length": len(body),
        "short": max(0, len(body) - 5),
        "long": len(body) + 50,
        "both": len(body),
        "minus": -1,
    }
    if framing in length and framing != "both":
        return b"Content-Length: %d\r\n\r\n" % length[framing] + body
    if framing == "chunked":
        return b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    if framing == "both":
        return b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % len(body) + chunks + b"0\r\n\r\n"
    if framing == "broken":
        return b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body + b"\r\n0\r\n\r\n"
    return b"Connection: close\r\n\r\n" + body
