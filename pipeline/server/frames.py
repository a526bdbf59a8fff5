"""The messages of the WebSocket that only it has: all of the client's, and `flushed` and `error` of the server's."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Annotated

import msgspec

from pipeline.built import built
from pipeline.gradium import wire
from pipeline.server.answer import Script
from pipeline.server.refusal import BAD_SETTINGS, RefusalError, internal

MAX_MESSAGE_BYTES = 16 << 20
"""Of one message; a longer recording comes in several."""
DEFAULT_FORMAT = "wav"
CLOSE_CODES = range(1000, 5000)


class FromClient(msgspec.Struct, frozen=True, tag_field="type"):
    """A message of the client; unknown fields are ignored."""


@built
class Setup(FromClient, frozen=True, tag="setup", kw_only=True):
    """Begins a session."""

    model_name: str | None = None
    input_format: str | None = None
    json_config: msgspec.Raw = msgspec.Raw(b"null")
    """A JSON object, or a string with one in it."""
    client_req_id: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    close_ws_on_eos: bool = True
    retry_for_s: float | None = None
    """Is the service's matter: here nothing is retried."""

    def query(self) -> dict[str, str]:
        """Returns the same as the query of an HTTP request. Raises RefusalError (1011) for a string that is none."""
        config = bytes(self.json_config)
        try:
            text = msgspec.json.decode(config, type=str) if config.startswith(b'"') else config.decode()
        except (msgspec.DecodeError, UnicodeError) as error:
            raise internal(BAD_SETTINGS, f"invalid json_config: {error}") from None
        query = {"input_format": self.input_format or DEFAULT_FORMAT, "json_config": "{}" if text == "null" else text}
        return query if self.model_name is None else query | {"model": self.model_name}


@built
class Audio(FromClient, frozen=True, tag="audio"):
    """A piece of the audio, in base64; it may end anywhere."""

    audio: str

    def decoded(self) -> bytes:
        """Returns the bytes. Raises RefusalError (1002) for what is no base64."""
        try:
            return base64.b64decode(self.audio, validate=True)
        except (binascii.Error, ValueError):
            raise out_of_order("malformed message: audio is not base64") from None


@built
class Flush(FromClient, frozen=True, tag="flush"):
    """Asks for the words of the audio so far."""

    flush_id: int | Annotated[str, msgspec.Meta(max_length=256)] = 0


@built
class End(FromClient, frozen=True, tag="end_of_stream"):
    """No more audio comes."""


class Flushed(wire.Message, tag="flushed", frozen=True):
    """All words of the audio before that `flush` have been sent."""

    flush_id: int | str


class Failed(wire.Error, tag="error", frozen=True, kw_only=True):
    """`error`, with the client's own name of the request."""

    client_req_id: str | None = None


_decoder: msgspec.json.Decoder[Setup | Audio | Flush | End] = msgspec.json.Decoder(Setup | Audio | Flush | End)


def parse(text: str) -> Setup | Audio | Flush | End:
    """Returns the message in a text frame. Raises RefusalError (1002) for what is none."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:  # ValidationError is a DecodeError
        raise out_of_order(f"malformed message: {error}") from None
    except RecursionError:
        raise out_of_order("malformed message: nested too deeply") from None


def out_of_order(reason: str, code: int = wire.CODE_BEFORE_SETUP) -> RefusalError:
    """Returns the refusal (1002) of a message that is none, or that may not come now."""
    return RefusalError("bad_message", 400, reason, code=code)


def lines_of(script: Script, known: bytes) -> Iterator[bytes | None]:
    """Yields the lines that a script writes, blank ones left out, and None for each pause between its writes.

    A first line that is `known` is left out, and so is half a line where the connection is cut.
    """
    held = bytearray()
    is_first = True
    for place, chunk in enumerate(script.chunks):
        if place and script.pause_s:
            yield None
        held += chunk
        if b"\n" not in chunk:
            continue
        *lines, rest = bytes(held).split(b"\n")
        held = bytearray(rest)
        for line in lines:
            if line.strip() and not (is_first and line + b"\n" == known):
                yield line
            is_first = False
    if held.strip() and script.ending == "clean":
        yield bytes(held)


def error_code(line: bytes | None) -> int | None:
    """Returns the code of a line that is an `error`, which the Close frame repeats; None: it is none."""
    try:
        error = msgspec.json.decode(line or b"", type=wire.Error)
    except (msgspec.DecodeError, UnicodeError):
        return None
    return error.code if isinstance(error.code, int) and error.code in CLOSE_CODES else wire.CODE_INTERNAL
