"""How a key may be written, and whether a text shows it or a long part of it. Shares nothing with the redaction."""

from __future__ import annotations

import base64
import html
import re
import urllib.parse
from collections.abc import Callable

KEY = "gd_7Kq2XvT9mZ4bLw8Rf3Yc6NhJ5sPaDe1G"
PART = 12
MASKS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper case": str.upper,
    "lower case": str.lower,
    "json": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "json in json": lambda text: "".join(f"\\\\u{ord(char):04X}" for char in text),
    "half json": lambda text: "".join(f"\\u{ord(char):04x}" if n % 3 else char for n, char in enumerate(text)),
    "python": lambda text: "".join(f"\\x{ord(char):02x}" for char in text),
    "percent": lambda text: "".join(f"%{ord(char):02X}" for char in text),
    "percent, some": lambda text: "".join(f"%{ord(char):02x}" if n % 2 else char for n, char in enumerate(text)),
    "percent twice": lambda text: "".join(f"%25{ord(char):02X}" for char in text),
    "percent of json": lambda text: urllib.parse.quote("".join(f"\\u{ord(char):04x}" for char in text)),
    "html": lambda text: "".join(f"&#x{ord(char):x};" if n % 2 else f"&#{ord(char)};" for n, char in enumerate(text)),
    "html, no ends": lambda text: "".join(
        f"&#{ord(char)}" if n % 2 else f"&#x{ord(char):x}" for n, char in enumerate(text)
    ),
    "octal": lambda text: "".join(f"\\{ord(char):03o}" for char in text),
    "braces": lambda text: "".join(f"\\u{{{ord(char):x}}}" for char in text),
    "long python": lambda text: "".join(f"\\U{ord(char):08x}" for char in text),
    "e-mail": lambda text: "".join(f"={ord(char):02X}" for char in text),
    "nothing between": lambda text: "\u200b".join(text),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, 1 before": lambda text: base64.b64encode(b"\xff" + text.encode() + b"\xfe").decode(),
    "base64, 2 before": lambda text: base64.urlsafe_b64encode(b"u:" + text.encode()).decode().rstrip("="),
}


def leaks_in(text: str, key: str = KEY) -> set[str]:
    """The long parts of the key's forms that stand in the text, however they are escaped or broken into lines."""
    found = set()
    for _ in range(4):
        low = re.sub(r"[\x00-\x1f\x7f\u200b]", "", text).lower()
        found |= {part for part in _parts(key) if part in low}
        text = re.sub(r"\\+(?:u00|x|u\{|U000000)([0-9a-fA-F]{2})\}?|=([0-9A-F]{2})", _char, text)
        text = re.sub(r"\\([01][0-7]{2})", lambda octal: chr(int(octal[1], 8)), text)
        text = urllib.parse.unquote(html.unescape(text))
    return found


def _char(found: re.Match[str]) -> str:
    return chr(int(found[1] or found[2], 16))


def _parts(key: str) -> set[str]:
    data = key.encode()
    forms = {key, data.hex()}
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode()[2 * (before > 0) :]
        forms |= {encoded[1:-3], encoded[1:-3].replace("+", "-").replace("/", "_")}
    return {form[at : at + PART].lower() for form in forms for at in range(len(form) - PART + 1)}
