"""Opens the bucket of an address, with credentials, endpoint and region as each cloud's own tools find them.

The environment is read when a bucket is first asked for; nothing of it is kept in files or shown.
"""

from __future__ import annotations

import os
import re
import socket
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline.errors import AddressRefused, AudioForbidden, SourceUnreachable
from pipeline.source.addresses import place_of, scheme_of
from pipeline.source.object_errors import unusable
from pipeline.source.private import is_named, is_public, written
from pipeline.source.rules import Rules

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PIECE_BYTES = 8 << 20
"""What one request asks for at most: its deadline is that of so many bytes."""
CONNECT_S = 10.0
_S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_S3_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_WORD = re.compile(r"[!-~]+")
"""The library ends the process where it is given anything else, such as a key that ends in an end of line."""
_AZURE_ENDPOINTS = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
_AZURITE = "http://127.0.0.1:10000/devstoreaccount1"
_BUCKET = re.compile(r"[A-Za-z0-9$_][A-Za-z0-9._-]{0,254}")
_TRUE = ("1", "true", "yes", "on")


def bucket_of(address: str, rules: Rules) -> ObjectStore:
    """Raises AddressRefused, AudioForbidden or SourceUnreachable."""
    from obstore.store import AzureStore, GCSStore, S3Store

    scheme, name = scheme_of(address), place_of(address).partition("://")[2]
    if not _BUCKET.fullmatch(name):  # it becomes a part of a URL as it is
        raise AddressRefused(f"{name[:100]!a} is no name of a bucket, which has letters, digits, . - and _ only")
    is_anonymous = any(place_of(one.rstrip("/")) == place_of(address) for one in rules.anonymous)
    config, endpoint = _s3(has_keys=not is_anonymous) if scheme == "s3" else {"gs": _google, "az": _azure}[scheme]()
    if endpoint:
        _check(endpoint, rules)
    options: Any = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=min(CONNECT_S, rules.timeout_s)),
        "read_timeout": timedelta(seconds=rules.timeout_s),
        "timeout": timedelta(seconds=rules.deadline_s(PIECE_BYTES)),
    }
    if is_anonymous:
        config["skip_signature"] = True
    kind: Any = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}[scheme]
    try:
        # repeating is the matter of `outages`
        return kind(name, config=config, client_options=options, retry_config={"max_retries": 0})  # type: ignore[no-any-return]
    except Exception as error:
        raise unusable(address, error) from None


def _s3(*, has_keys: bool) -> tuple[dict[str, Any], str]:
    """What the library does not find by itself, and the endpoint if it is not Amazon's."""
    profile = _profile()
    in_environment = bool(os.environ.get("AWS_ACCESS_KEY_ID"))  # which come before a profile's, as for the AWS tools
    config: dict[str, Any] = {}
    for name in _S3_KEYS if has_keys else ():
        config[name] = os.environ.get(name.upper(), "") if in_environment else profile.get(name, "")
    config["region"] = _first(("AWS_REGION", "AWS_DEFAULT_REGION")) or profile.get("region", "")
    config = {name: value.strip() for name, value in config.items() if value.strip()}
    if unusual := next((name for name, value in config.items() if not _WORD.fullmatch(value)), ""):
        raise AudioForbidden(
            f"{unusual.removeprefix('aws_')} for S3 holds a blank or an unusual character: set it anew"
        )
    endpoint = _first(_S3_ENDPOINTS) or profile.get("endpoint_url", "")
    if endpoint:
        config["endpoint"] = endpoint
    return config, endpoint


def _google() -> tuple[dict[str, Any], str]:
    endpoint = _first(("STORAGE_EMULATOR_HOST",))
    if not endpoint:
        return {}, ""
    if "://" not in endpoint:
        endpoint = f"http://{endpoint}"
    return {"base_url": endpoint, "skip_signature": True}, endpoint


def _azure() -> tuple[dict[str, Any], str]:
    endpoint = _first(_AZURE_ENDPOINTS)
    if endpoint:
        return {"endpoint": endpoint}, endpoint
    is_emulated = _first(("AZURE_STORAGE_USE_EMULATOR",)).lower() in _TRUE
    return ({"endpoint": _AZURITE}, _AZURITE) if is_emulated else ({}, "")


def _first(names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := os.environ.get(name, "").strip())), "")


def _profile() -> dict[str, str]:
    """The user's profile in the files of the AWS tools; empty where there is none that can be read."""
    name = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"
    found: dict[str, str] = {}
    config = os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config"
    credentials = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    for file, section in ((config, name if name == "default" else f"profile {name}"), (credentials, name)):
        parser = ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(Path(os.path.expanduser(file)).read_text("utf-8"))
        except (OSError, UnicodeError, ConfigParserError):
            continue
        if parser.has_section(section):
            found |= {key: value for key, value in parser.items(section) if value}
    return found


def _check(endpoint: str, rules: Rules) -> None:
    """Raises AddressRefused for an endpoint on a private network that is not named, or that is not encrypted."""
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, host, port = urlsplit(""), "", 0
    if not host or parts.scheme not in ("http", "https") or parts.query or parts.fragment or "@" in parts.netloc:
        raise AddressRefused("the endpoint of the object store in the environment is no URL; write https://HOST:PORT")
    place = written(host, port)
    if is_named(host, port, rules.allow_private):
        return
    try:
        addresses = {str(address[0]) for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        raise SourceUnreachable(f"the endpoint {place} of the object store cannot be found: {error}") from None
    if not all(is_public(one) or is_named(one, port, rules.allow_private) for one in addresses):
        raise AddressRefused(
            f"the endpoint {place} of the object store is on a private network or this machine; if recordings may be "
            f'read from there, name it: sources.allow_private = ["{place}"]'
        )
    if parts.scheme == "http":
        raise AddressRefused(f"the endpoint {place} of the object store is not encrypted; use https://")
