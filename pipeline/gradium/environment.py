"""Checks the certificates and proxies that connections take from the environment with service.trust_env.

Reads the variables and the files that they name, before anything else is done.
"""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pipeline.errors import ConfigError

_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
"""The names that OpenSSL looks for in a folder of certificates."""
_PROXY_KINDS = ("http", "https", "ws", "wss")
"""aiohttp parses all of these proxies whichever it uses; an address with one of these schemes needs a host."""


def check_environment(url: str) -> None:
    """Raises ConfigError for a variable that keeps connections to `url` from being made."""
    if not url.lower().startswith("https:"):
        return  # plain http uses neither
    if file := os.environ.get("SSL_CERT_FILE"):
        _check_file(file)
    elif folder := os.environ.get("SSL_CERT_DIR"):
        _check_folder(folder)
    host = urlsplit(url).hostname or ""
    if proxy_bypass(host):
        return
    for kind, address in getproxies().items():
        if kind in _PROXY_KINDS and not _is_proxy(address, is_used=kind == "https"):
            # the value is not shown: it may contain a password
            name = next((name for name in os.environ if name.lower() == f"{kind}_proxy"), f"{kind} proxy")
            raise ConfigError(
                f"{name} is no address of a proxy; write it like http://proxy.example:3128, unset it, or leave out "
                "service.trust_env"
            )


def _check_file(file: str) -> None:
    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:
        wrong = "holds no certificate" if isinstance(error, ssl.SSLError) else f"cannot be read: {error.strerror}"
        raise ConfigError(
            f"SSL_CERT_FILE: {file} {wrong}; name a file of certificates in PEM form, or unset it"
        ) from None


def _check_folder(folders: str) -> None:
    """At least one of the folders must have certificates; with none OpenSSL silently trusts nothing."""
    for folder in folders.split(os.pathsep):
        try:
            if any(_HASHED.fullmatch(path.name) for path in Path(folder).iterdir()):
                return
        except OSError:
            continue
    raise ConfigError(
        f"SSL_CERT_DIR: in {folders} there are no certificates that can be read under their hashes (openssl rehash "
        "names them so); name another folder, or unset it"
    )


def _is_proxy(address: str, *, is_used: bool) -> bool:
    """Whether aiohttp can parse the address, and, with `is_used`, connect through it."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises ValueError for a bad port
    except ValueError:
        return False
    if not is_used:
        return parts.scheme not in _PROXY_KINDS or bool(parts.hostname)
    # a proxy that is itself asked over TLS is one that aiohttp would ignore
    return parts.scheme == "http" and bool(parts.hostname) and address.isprintable() and " " not in address
