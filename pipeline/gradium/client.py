"""One exchange with the service: POST a clip, read the stream, return the answer or raise the classified error.

Reads the request's file and makes one HTTP request. Whether to try again is not decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import msgspec

from pipeline.config.settings import TimeoutSettings
from pipeline.errors import AttemptError, AttemptTimeout, CompressedAnswer, StreamCut, StreamMalformed
from pipeline.exchange import Answer, Endpoint, Request
from pipeline.gradium import billing, classify, wire
from pipeline.gradium.body import RequestBody
from pipeline.gradium.deadline import Deadline
from pipeline.gradium.ndjson import MessageDecoder
from pipeline.gradium.request import RequestSettings
from pipeline.gradium.response import read_refusal, read_rest, uncompressed
from pipeline.gradium.too_long import as_too_long
from pipeline.gradium.transport import BROKEN, sending
from pipeline.gradium.words import WordCollector
from pipeline.model import Word
from pipeline.redaction import redacted_words
from pipeline.texts import presentable

WORDS_PER_S, MORE_WORDS = 25, 1_000
"""The most words of an answer: two for each of the model's frames, and some more for very short clips."""
BYTES_PER_S, MORE_BYTES = 32 << 10, 1 << 20
"""The most bytes of an answer; one with telemetry has about 7 KB per second of audio."""
MAX_URLS = 256
MAX_NAME = 200
"""Characters of a request id, model name or residency that are kept."""


class GradiumClient:
    """Sends requests to the endpoint. Safe to use from many tasks at once."""

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
        # made once for all requests: merging headers takes httpx longer than sending a small file
        self._headers = [*http.headers.raw, (wire.KEY_HEADER.encode(), endpoint.key.encode())]
        # `Deadline` times the silence: the library's own timer may fire before what arrived is read
        self._extensions = {"timeout": {**http.timeout.as_dict(), "read": None}}
        self._idle_s = http.timeout.read
        self._urls: dict[tuple[str | None, tuple[str, ...]], httpx.URL] = {}
        """By language and keywords."""

    async def transcribe(self, request: Request) -> Answer:
        """Sends the request once. Raises a subclass of AttemptError when there is no usable answer."""
        deadline_s = self._timeouts.attempt_base_s + self._timeouts.attempt_per_audio_s * request.sent_s
        deadline = Deadline(deadline_s, self._idle_s)
        body = RequestBody(request, when_sent=deadline.progressed)
        try:
            try:
                return await self._exchange(request, body, deadline)
            except TimeoutError:
                raise AttemptTimeout(
                    f"not a byte for {self._idle_s:.4g} s"
                    if deadline.was_silent
                    else f"no complete answer within {deadline_s:.4g} s for {request.sent_s:.4g} s of audio"
                ) from None
        except AttemptError as error:
            error.bytes_sent, error.billed = body.sent_bytes, billing.billed(error, body.sent_bytes)
            error.message = presentable(error.message, self._endpoint.key)
            error.reason = presentable(error.reason, self._endpoint.key)
            error.args = (error.message,)
            error.request_id = _name(error.request_id, self._endpoint.key)
            error.residency = _name(error.residency, self._endpoint.key)
            raise as_too_long(classify.of_row(error, request.keywords), request.sent_s) from error.__cause__

    async def _exchange(self, request: Request, body: RequestBody, deadline: Deadline) -> Answer:
        response: httpx.Response | None = None
        token = sending.set(body)
        try:
            async with deadline:
                try:
                    response = await self._http.send(self._http_request(request, body), stream=True)
                except BROKEN as error:
                    raise _broken(error, body, streaming=False) from error
                deadline.progressed()
                chunks = response.aiter_raw()
                is_refusal = response.status_code != 200
                answer = None if is_refusal else await self._answer(request, body, response, chunks, deadline)
            # the outcome is known: the deadline no longer applies
            if answer is None:
                refusal = await read_refusal(chunks, response.headers)
                raise classify.refused(response.status_code, response.headers, refusal)
            try:
                await read_rest(chunks)
            except asyncio.CancelledError:
                # the answer is complete and paid for, so it is returned even to a request that is cut off now
                if (task := asyncio.current_task()) is not None:
                    task.uncancel()
            return answer
        except AttemptError as error:
            error.residency = None if response is None else response.headers.get(wire.RESIDENCY_HEADER)
            raise
        finally:
            sending.reset(token)
            body.abandon()
            if response is not None:
                with suppress(*BROKEN):
                    await response.aclose()

    def _http_request(self, request: Request, body: RequestBody) -> httpx.Request:
        settings = request.language, request.keywords
        url = self._urls.get(settings)
        if url is None:
            if len(self._urls) >= MAX_URLS:
                self._urls.clear()
            url = self._urls[settings] = httpx.URL(f"{self._endpoint.url}?{self._settings.query(*settings)}")
        length, content_type = str(request.body_bytes).encode(), request.content_type.encode()
        return httpx.Request(
            "POST",
            url,
            headers=[*self._headers, (b"content-type", content_type), (b"content-length", length)],
            stream=body,
            extensions=self._extensions,
        )

    async def _answer(
        self,
        request: Request,
        body: RequestBody,
        response: httpx.Response,
        chunks: AsyncIterator[bytes],
        deadline: Deadline,
    ) -> Answer:
        """The answer, as soon as it is complete: at `end_of_stream`, or where the stream closes cleanly."""
        # a body without framing ends with its connection, so that a broken connection looks like an end
        is_framed = "content-length" in response.headers or "transfer-encoding" in response.headers
        decoder = MessageDecoder(MORE_BYTES + int(BYTES_PER_S * request.sent_s))
        max_words = MORE_WORDS + int(WORDS_PER_S * request.sent_s)
        collector = WordCollector(self._settings.delay_s, lead_s=request.lead_s, max_words=max_words)
        try:
            async for chunk in uncompressed(chunks, response.headers):
                deadline.progressed()
                collector.take(decoder.feed(chunk))
                if collector.ended:
                    break
            else:
                with suppress(*() if is_framed else (StreamMalformed,)):  # half a line of a cut answer
                    collector.take(decoder.close())
        except (StreamMalformed, CompressedAnswer, StreamCut) as error:
            error.http_status = 200
            raise collector.with_request_id(error) from None
        except BROKEN as error:
            raise collector.with_request_id(_broken(error, body, streaming=True)) from error
        except AttemptError as error:  # an error message in the stream
            error.before_work &= not decoder.dropped
            raise
        cut = None
        if not body.is_sent:
            cut = f"the answer ended before all of the audio was sent ({body.sent_bytes} of {request.body_bytes} bytes)"
        elif not is_framed and not collector.ended:
            cut = "the connection closed without end_of_stream"
        if cut is not None:
            raise collector.with_request_id(StreamCut(cut, http_status=200))
        words, issues, times = collector.words(
            duration_s=request.duration_s, channel=request.channel, clip=request.clip
        )
        if decoder.replaced:
            issues = (*issues, "replaced_characters")
        key = self._endpoint.key
        return Answer(
            words=_without_key(words, key),
            times=times,
            issues=issues,
            request_id=_name(collector.request_id, key),
            residency=_name(response.headers.get(wire.RESIDENCY_HEADER), key),
            model=_name(collector.model, key),
            latency_s=deadline.elapsed_s,
            bytes_sent=body.sent_bytes,
            is_certain=collector.ended or bool(words),
        )


def _without_key(words: tuple[Word, ...], key: str) -> tuple[Word, ...]:
    """The words; a service that repeats the key must not get it into a file."""
    texts = [word.text for word in words]
    clean = redacted_words(texts, key)
    if clean == texts:
        return words
    return tuple(
        word if text == word.text else msgspec.structs.replace(word, text=text, written=msgspec.UNSET)
        for word, text in zip(words, clean, strict=True)
    )


def _name(text: str | None, key: str) -> str | None:
    return None if text is None else presentable(text, key, limit=MAX_NAME)


def _broken(error: Exception, body: RequestBody, *, streaming: bool) -> AttemptError:
    return body.fault or classify.transport(error, streaming=streaming)
