"""Takes a request's body off the connection, never more of it than any honest request holds."""

from __future__ import annotations

import hashlib

from aiohttp import hdrs, web

from pipeline.server.refusal import RefusalError

MAX_BODY_BYTES = 128 << 20
"""300 s of stereo at 48 kHz with 32 bits are 115 MB."""


async def read_body(request: web.BaseRequest) -> tuple[bytes, str]:
    """Returns the body and its SHA-256 in hex.

    Raises RefusalError (413) when it is larger than `MAX_BODY_BYTES`; how the service says that is not known.
    """
    too_large = RefusalError("body_too_large", 413, "Payload Too Large", headers={"Connection": "close"})
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise too_large
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    digest = hashlib.sha256()
    pieces = []
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise too_large
        digest.update(piece)
        pieces.append(piece)
    return b"".join(pieces), digest.hexdigest()
