"""One exchange with the service: POST a clip, listen to the stream, return the answer or raise the classified error.

Opens the clip's file and one HTTP request; keeps no state between calls. Whether to try again is not decided here.
"""

from __future__ import annotations

import asyncio
import time
from typing import NoReturn

import aiohttp
import httpx
import msgspec

from pipeline.config.settings import TimeoutSettings
from pipeline.errors import AttemptError, AttemptTimeout, StreamCut, StreamMalformed
from pipeline.gradium import classify, wire
from pipeline.gradium.ndjson import MessageDecoder
from pipeline.gradium.request import RequestSettings
from pipeline.gradium.transport import ClipBody
from pipeline.gradium.words import Listener
from pipeline.model import Answer, Clip, Endpoint

# UnicodeError: a status line or header that is no text ends in the libraries' own decoding
BROKEN = (httpx.HTTPError, aiohttp.ClientError, OSError, UnicodeError)
"""How an exchange breaks; httpx over aiohttp lets some of aiohttp's own errors through."""
MAX_NAME = 200
"""More of a request id or model name is not kept."""
MAX_REFUSAL_BYTES = 64 << 10
"""More of a refusal than this is never read; a proxy's error page is smaller."""


class GradiumClient:
    """Transcribes clips through the endpoint. Safe to use from many tasks at once."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        endpoint: Endpoint,
        settings: RequestSettings,
        timeouts: TimeoutSettings,
    ) -> None:
        self._http = http
        self._endpoint = endpoint
        self._settings = settings
        self._timeouts = timeouts
        # what is the same for all requests is made once: httpx takes longer to merge it than to send a small file
        self._headers = [*http.headers.raw, (wire.KEY_HEADER.encode(), endpoint.key.encode())]
        self._extensions = {"timeout": http.timeout.as_dict()}
        self._urls: dict[str | None, httpx.URL] = {}
        """By language."""

    async def transcribe(self, clip: Clip) -> Answer:
        """Sends the clip once. Raises a subclass of AttemptError when there is no answer that counts."""
        body = ClipBody(clip)
        deadline_s = self._timeouts.attempt_base_s + self._timeouts.attempt_per_audio_s * clip.sent_s
        started = time.monotonic()
        try:
            async with asyncio.timeout(deadline_s):
                answer = await self._exchange(clip, body)
        except AttemptError as error:
            error.bytes_sent = body.sent_bytes
            error.message = classify.presentable(error.message, self._endpoint.key)
            error.args = (error.message,)
            error.request_id = _name(error.request_id, self._endpoint.key)
            raise
        except TimeoutError:
            raise AttemptTimeout(
                f"no complete answer within {deadline_s:.4g} s for {clip.sent_s:.4g} s of audio",
                billed="maybe" if body.sent_bytes else "no",
                bytes_sent=body.sent_bytes,
            ) from None
        return msgspec.structs.replace(answer, latency_s=time.monotonic() - started, bytes_sent=body.sent_bytes)

    async def _exchange(self, clip: Clip, body: ClipBody) -> Answer:
        try:
            response = await self._http.send(self._request(clip, body), stream=True)
        except BROKEN as error:
            _raise_broken(error, body, streaming=False)
        try:
            if response.status_code != 200:
                raise await _refusal(response)
            return await self._listen(clip, response)
        except BROKEN as error:
            _raise_broken(error, body, streaming=True)
        finally:
            await response.aclose()

    def _request(self, clip: Clip, body: ClipBody) -> httpx.Request:
        language = clip.utterance.language
        url = self._urls.get(language)
        if url is None:
            url = self._urls[language] = httpx.URL(f"{self._endpoint.url}?{self._settings.query(language)}")
        length, content_type = str(clip.body_bytes).encode(), clip.content_type.encode()
        return httpx.Request(
            "POST",
            url,
            headers=[*self._headers, (b"content-type", content_type), (b"content-length", length)],
            stream=body,
            extensions=self._extensions,
        )

    async def _listen(self, clip: Clip, response: httpx.Response) -> Answer:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise StreamMalformed("the answer is compressed, which was not asked for", http_status=200, billed="maybe")
        decoder = MessageDecoder()
        listener = Listener(self._settings.delay_s, lead_s=clip.lead_s)
        try:
            async for chunk in response.aiter_raw():
                listener.hear(decoder.feed(chunk))
            listener.hear(decoder.close())
        except StreamMalformed as error:
            error.http_status = 200
            raise listener.stamped(error) from None
        framed = "content-length" in response.headers or "transfer-encoding" in response.headers
        if not framed and not listener.ended:
            # such a body ends where the connection does, so a cut looks like an end
            raise listener.stamped(
                StreamCut("the connection closed without end_of_stream", http_status=200, billed="maybe")
            )
        words, flags = listener.words(duration_s=clip.duration_s, channel=clip.channel, clip=clip.clip)
        key = self._endpoint.key
        if any(key in word.text for word in words):  # a service that repeats the key must not get it into a file
            words = tuple(msgspec.structs.replace(word, text=classify.presentable(word.text, key)) for word in words)
        return Answer(
            words=words,
            flags=flags,
            request_id=_name(listener.request_id, key),
            model=_name(listener.model, key),
        )


def _name(text: str | None, key: str) -> str | None:
    return None if text is None else classify.presentable(text, key)[:MAX_NAME]


async def _refusal(response: httpx.Response) -> AttemptError:
    body = b""
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_REFUSAL_BYTES:
                break
    except BROKEN:
        pass  # it is a refusal all the same: judged by what came of it
    return classify.refused(response.status_code, response.headers, body.decode("utf-8", "replace"))


def _raise_broken(error: Exception, body: ClipBody, *, streaming: bool) -> NoReturn:
    if body.fault is not None:
        raise body.fault from None
    raise classify.transport(error, bytes_sent=body.sent_bytes, streaming=streaming) from error
