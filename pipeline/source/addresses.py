"""Addresses of recordings and manifests that are no local paths. Pure.

An address is written `scheme://host/path`, for object stores `s3://bucket/key`. Rows, outputs and the checkpoint have
it without the parts that sign it, which only `signatures` keeps.
"""

from __future__ import annotations

import re

OBJECTS = ("s3", "gs", "az")
SCHEMES = (*OBJECTS, "https")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
PART = "#row="
"""Between a Parquet file and the number of one of its rows, from 0, which holds a recording."""


def scheme_of(text: str) -> str:
    """The scheme in lower case, such as `s3`; "" for a path."""
    found = _SCHEME.match(text) if ":" in text else None
    return found[1].lower() if found else ""


def is_address(path: str) -> bool:
    """Whether a recording lies elsewhere, or is a row of a Parquet file, so that it is copied before it is read."""
    return "://" in path or PART in path


def place_of(address: str) -> str:
    """The bucket or host of an address, `s3://bucket`; what is out, or refuses everybody, is out or refuses as that."""
    scheme, separator, rest = address.partition("://")
    return scheme + separator + rest.partition("/")[0] if separator else ""
