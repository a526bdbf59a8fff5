"""Variants of paths as people and spreadsheets write them: `~`, `file://`, backslashes, invisible characters, composed
or decomposed accents. Accesses the file system only for a path that does not exist."""

from __future__ import annotations

import os
import re
import unicodedata
from urllib.parse import unquote_to_bytes

HERE = ("", "localhost")
_URL = re.compile("file://", re.IGNORECASE)
_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


def plain_path(text: str) -> str:
    """The path of a file:// URL or a path with `~`; any other unchanged. Raises ValueError with a message for users."""
    if text[:1] == "~":
        return os.path.expanduser(text)  # unchanged for an unknown user
    if not _URL.match(text):
        return text
    host, slash, rest = text[len("file://") :].partition("/")
    if host.lower() not in HERE:
        raise ValueError(f"{text!a} is on the host {host!a}; only local files are read: file:///PATH")
    if not slash or _PERCENT.search(rest):
        raise ValueError(f"{text!a} is not a valid file URL; write file:///PATH, and % as %25")
    try:
        return f"/{unquote_to_bytes(rest).decode()}"
    except UnicodeDecodeError:
        raise ValueError(f"{text!a} has escapes that are not UTF-8; write the path itself") from None


def is_invisible(char: str) -> bool:
    """Whether a character is a format character, or white space other than a plain blank."""
    return unicodedata.category(char) == "Cf" or (char != " " and char.isspace())


def cleaned(text: str) -> str:
    """The text without invisible characters, and without blanks at its ends."""
    if text.isascii():
        return text.strip()
    visible = (" " if char.isspace() else char for char in text if unicodedata.category(char) != "Cf")
    return "".join(visible).strip()


def is_plain(path: str) -> bool:
    """Whether a path has no other spellings."""
    return path.isascii() and "\\" not in path and path == path.strip()


def other_spelling(path: str) -> str | None:
    """Another spelling of a missing path, if exactly one file has one of its spellings."""
    if is_plain(path):
        return None
    found: dict[tuple[int, int], str] = {}
    for spelling in spellings(path):
        try:
            status = os.stat(spelling)
        except (OSError, ValueError):
            continue
        found.setdefault((status.st_dev, status.st_ino), spelling)
    return next(iter(found.values())) if len(found) == 1 else None


def hint(path: str) -> str:
    """What may be wrong with a missing path, to append to a message; "" where nothing looks odd."""
    if is_plain(path) and path.isprintable():
        return ""  # the usual case, perhaps for a million missing files
    if hidden := [char for char in path if is_invisible(char)]:
        name = unicodedata.name(hidden[0], "a control character").lower()
        return f", whose name holds U+{ord(hidden[0]):04X} ({name}), which cannot be seen: {path!a}"
    if path != path.strip():
        return f", whose name ends in a blank: {path!a}"
    if "\\" in path:
        return "; a backslash does not separate folders here: write / instead"
    return ""


def spellings(path: str) -> list[str]:
    """Other spellings of a path, the least changed first."""
    found = [path, "/".join(map(cleaned, path.split("/")))]
    found.append(path.strip())
    found.append("".join(char for char in path if unicodedata.category(char) != "Cf"))
    found += [one.replace("\\", "/") for one in found]
    found.append("/".join(map(cleaned, found[1].replace("\\", "/").split("/"))))
    found += [unicodedata.normalize(form, one) for form in ("NFC", "NFD") for one in found]
    return list(dict.fromkeys(found))[1:]
