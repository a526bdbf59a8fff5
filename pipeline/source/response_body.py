"""The bodies of answers of web servers, checked against what their heads say, and the errors of connections.

Texts have the server's name and nothing that it wrote.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import httpcore

from pipeline.errors import AddressRefused, SourceFault, SourceTimeout, SourceUnreachable, SourceUntrusted
from pipeline.source.connections import Deadline, Stream
from pipeline.source.response_head import Head, Part

END_OF_HEAD = b"\r\n\r\n"


class Answer(NamedTuple):
    """An answer whose body is not read yet. Close its response."""

    head: Head
    response: httpcore.Response


def chunks_of(answer: Answer, part: Part, deadline: Deadline) -> Iterator[bytes]:
    """Nothing at first, then the part, piece by piece. Closes the answer."""
    try:
        yield b""
        before, left, came = part.skipped, part.length, 0
        if not left and not part.is_exact and left is not None:
            return
        for piece in _pieces(answer):
            came += len(piece)
            deadline.came_bytes = came
            wanted = piece[before:]
            before -= len(piece) - len(wanted)
            if left is not None:
                if part.is_exact and len(wanted) > left:
                    raise SourceFault(f"{answer.head.host} sent more of the recording than it told")
                wanted = wanted[:left]
                left -= len(wanted)
            yield wanted
            if left == 0 and not part.is_exact:
                return
        if left and part.is_exact:
            raise SourceFault(
                f"{answer.head.host} sent {left:,} bytes less than the part of the recording that it told"
            )
    finally:
        answer.response.close()


def finish(answer: Answer) -> None:
    """Ends an answer whose body is short and not wanted, so that its connection is used again."""
    try:
        for _ in _pieces(answer):
            pass
    finally:
        answer.response.close()


def _pieces(answer: Answer) -> Iterator[bytes]:
    """The body of an answer as it comes. Its connection is used again only where nothing came behind it: that would be
    taken for the next answer, to another request."""
    head, response = answer
    stream: Stream = response.extensions["network_stream"]
    came = 0
    with errors_of(head.host):
        for piece in response.iter_stream():
            came += len(piece)
            if came == head.length and not stream.last.endswith(piece):
                raise SourceFault(f"{head.host} sent more than the {came:,} bytes that it told")
            yield piece
    is_at_end = stream.last.endswith(END_OF_HEAD) and stream.last.count(END_OF_HEAD) == 1
    if head.length is None or not (came or is_at_end):
        stream.close()


@contextmanager
def errors_of(host: str) -> Iterator[None]:
    """What httpcore raises as errors of the source. Its texts may hold what the server wrote."""
    try:
        yield
    except httpcore.ConnectError as error:
        cause = error.args[0] if error.args else None
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise SourceUntrusted(
                f"the certificate of {host} is not valid ({cause.verify_message}); have it renewed, or trust its "
                "authority by SSL_CERT_FILE"
            ) from None
        is_tls, why = isinstance(cause, ssl.SSLError), getattr(cause, "strerror", None) or "no connection"
        raise SourceUnreachable(f"{host} cannot be reached by {'TLS' if is_tls else 'TCP'}: {why}") from None
    except httpcore.ConnectTimeout:
        raise SourceUnreachable(f"{host} cannot be reached: no connection in time, see sources.timeout_s") from None
    except httpcore.TimeoutException:
        raise SourceTimeout(f"{host} did not answer in time, see sources.timeout_s") from None
    except httpcore.LocalProtocolError:
        raise AddressRefused(f"the address at {host} has characters that cannot be sent") from None
    except (httpcore.NetworkError, httpcore.ProtocolError):
        raise SourceFault(f"{host} broke off its answer, or sent none that is valid HTTP") from None
