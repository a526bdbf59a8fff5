"""The parts of addresses that sign them, which are kept in memory only: in no id, file or log."""

from __future__ import annotations

import threading
import zlib

from pipeline.queries import is_token, unsigned
from pipeline.source.addresses import is_row, place_of

MAX_TEMPLATES = 1_000
SHORT_BYTES = 100
"""A shorter query is kept as it is."""
WINDOW_BITS, MEMORY_LEVEL = 12, 1
"""Of zlib: queries are short, and what it sets up for each would take longest."""


class Signatures:
    """Signatures by address. For several threads.

    A row takes some 30 µs, and 250 bytes where it is signed as others of its host, but for the signature itself; else
    as many bytes more as its query has.
    """

    def __init__(self) -> None:
        self._queries: dict[int, bytes] = {}
        """By the hash of an address, which takes less memory than the address: the number of a template, and the whole
        query, compressed. Should two hashes be equal, a server refuses one of both."""
        self._templates: list[bytes] = [b""]
        """Whole queries, with which others have most in common."""
        self._of_place: dict[str, int] = {}
        self._lock = threading.Lock()
        self.unclear = ""
        """An address that had different tokens, by which its server may tell recordings apart."""

    def take(self, address: str) -> str:
        """A URL without its signature, which is kept for `signed`, and without a fragment, which no server sees; any
        other address unchanged. The last signature of an address is kept."""
        if not address.startswith("https://"):
            return address
        address, row = _divided(address)
        bare = unsigned(address)
        if bare != address:
            query, key = address.partition("?")[2], hash(bare)
            if not self.unclear and key in self._queries and self.signed(bare) != address and is_token(query):
                self.unclear = bare
            self._queries[key] = self._packed(query.encode("utf-8", "surrogatepass"), place_of(bare))
        return bare + row

    def signed(self, address: str) -> str:
        """The address with its last signature, where it has one."""
        bare, row = _divided(address)
        packed = self._queries.get(hash(bare))
        if packed is None:
            return address
        template = self._templates[int.from_bytes(packed[:2])]
        unpacking = zlib.decompressobj(-WINDOW_BITS, template)
        query = unpacking.decompress(packed[2:]) + unpacking.flush()
        return f"{bare.partition('?')[0]}?{query.decode('utf-8', 'surrogatepass')}{row}"

    def _packed(self, query: bytes, place: str) -> bytes:
        number = self._of_place.get(place, 0)
        packed = _compressed(query, self._templates[number])
        if len(packed) > len(query) // 2 and len(query) > SHORT_BYTES and len(self._templates) < MAX_TEMPLATES:
            with self._lock:
                number = self._of_place[place] = len(self._templates)
                self._templates.append(query)
            packed = _compressed(query, query)
        return number.to_bytes(2) + packed


def _divided(address: str) -> tuple[str, str]:
    """An address without a fragment, and the row of a Parquet file behind it."""
    bare, mark, fragment = address.partition("#")
    return bare, mark + fragment if is_row(address) else ""


def _compressed(query: bytes, template: bytes) -> bytes:
    packing = zlib.compressobj(
        1, zlib.DEFLATED, -WINDOW_BITS, MEMORY_LEVEL, zlib.Z_DEFAULT_STRATEGY, template[-(1 << WINDOW_BITS) :]
    )
    return packing.compress(query) + packing.flush()
