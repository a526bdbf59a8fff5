"""Addresses of recordings and manifests that are no local paths. Pure.

An address is written `scheme://host/path`, for object stores `s3://bucket/key`. Rows, outputs and the checkpoint have
it without the parts that sign it, which only `signatures` keeps.
"""

from __future__ import annotations

import os
import re

from pipeline.queries import is_token, masked, without_signatures

OBJECTS = ("s3", "gs", "az")
SCHEMES = (*OBJECTS, "https")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_OTHERS = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "azure": "az"}
_PORT = re.compile(r"(?:\[[^\[\]]*\]|[^:]*):\d{0,5}")
"""A host with a port; what else has a colon may be a user name, and a password that goes on behind the slash."""
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
MAX_SHOWN = 200
MAX_ENDING = 16
ROW = "#row="
"""Between a Parquet file and the number of one of its rows, from 0, which holds a recording."""
_MOST_DIGITS = 15


def scheme_of(text: str) -> str:
    """The scheme in lower case, such as `s3`; "" for a path."""
    found = _SCHEME.match(text) if ":" in text else None
    return found[1].lower() if found else ""


def is_address(path: str) -> bool:
    """Whether a recording is remote, or a row of a Parquet file, so that it is copied before it is read."""
    return "://" in path or is_row(path)


def place_of(address: str) -> str:
    """The bucket or host of an address, `s3://bucket`; what is out, or refuses everybody, is out or refuses as that."""
    scheme, separator, rest = address.partition("://")
    return scheme + separator + rest.partition("/")[0] if separator else ""


def address_of(text: str) -> str:
    """The address that a text writes for one file: scheme and host in lower case, all else as it is written, since keys
    of objects may hold anything. Raises ValueError with a message for users."""
    address = prefix_or_address_of(text)
    scheme = scheme_of(address)
    if scheme in OBJECTS and (address.endswith("/") or address == place_of(address)):
        raise ValueError(f"{_shown(text)} names no object; write {scheme}://BUCKET/KEY")
    return address


def prefix_or_address_of(text: str) -> str:
    """As `address_of`, but it may also name a bucket or a prefix in it."""
    scheme = scheme_of(text)
    if scheme == "http":
        raise ValueError(f"{_shown(text)} is not encrypted; write https://")
    if scheme not in SCHEMES:
        right = f"{_OTHERS[scheme]}://" if scheme in _OTHERS else "s3://, gs://, az://, https:// or a path"
        raise ValueError(f"{_shown(text)} is no address that can be read; write {right}")
    rest = text[len(scheme) + 3 :]
    place, slash, path = rest.partition("/")
    if "@" in place or (":" in place and "@" in path and not _PORT.fullmatch(place)):
        raise ValueError(
            f"{_shown(text)} holds a user name or password, which would be kept with results; leave it out"
        )
    if scheme in OBJECTS:
        if not place:
            raise ValueError(f"{_shown(text)} names no bucket; write {scheme}://BUCKET/KEY")
        if not is_token(rest.partition("?")[2]):  # a key that looks so is less likely
            raise ValueError(
                f"{_shown(text)} is signed, which only URLs are; write https://, or leave out what follows ?"
            )
        return f"{scheme}://{rest}"
    if not place or not slash or re.search(r"[?#\\\s]", place) or (not path.isprintable() and _CONTROLS.search(path)):
        raise ValueError(f"{_shown(text)} is no URL that can be read; write https://HOST/PATH")
    fragment = path.partition("#")
    if fragment[1] and (not is_row(text) or "#" in fragment[2]):
        raise ValueError(
            f"{_shown(text)}: no server sees what stands behind #; write %23 for a # in a name, and a span as offset_s "
            "and duration_s"
        )
    return f"https://{place.lower()}/{path.rstrip()}"


def _shown(text: str) -> str:
    text = without_signatures(masked(text))
    return ascii(text[:MAX_SHOWN] + "…" * (len(text) > MAX_SHOWN))


def is_row(path: str) -> bool:
    """Whether a path or an address names a row of a Parquet file. Names of other files may hold anything."""
    if ROW not in path:
        return False
    file, _, number = path.rpartition(ROW)
    is_number = number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS
    return is_number and path_in(file).lower().endswith(".parquet")


def path_in(address: str) -> str:
    """The address without a query; keys of objects have none."""
    return address.partition("?")[0] if address.startswith("https://") else address


def folder_of(address: str) -> str:
    """The address of the folder that a file is in, with `/` at its end."""
    return path_in(address).rpartition("/")[0] + "/"


def beside(folder: str, relative: str) -> str:
    """The address that a path below a folder's names, without `.` and `..`. Raises ValueError where it leads out of the
    bucket or host, with a message for users."""
    place = place_of(folder)
    path, mark, query = relative.partition("?") if place.startswith("https://") else (relative, "", "")
    names = folder[len(place) + 1 : -1].split("/") if len(folder) > len(place) + 1 else []
    for name in path.split("/"):
        if name == ".." and not names:
            raise ValueError(f"{_shown(relative)} leads out of {place}")
        if name == "..":
            names.pop()
        elif name != ".":
            names.append(name)
    return f"{place}/{'/'.join(names)}{mark}{query}"


def ending_of(audio: str) -> str:
    """The ending of a recording's name, with its dot; "" where it has none, or none that others would understand."""
    name = "" if is_row(audio) else path_in(audio).rpartition("/")[2]
    ending = os.path.splitext(name)[1]
    return ending if ending.isascii() and ending[1:].isalnum() and len(ending) <= MAX_ENDING else ""
