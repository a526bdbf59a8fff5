"""Which parameters in the query of a URL sign it or hold a key, by the conventions of clouds and CDNs. Pure.

They change with each signing and are secret, so that they name no recording. Parameters whose meaning depends on the
server, such as `key` or `id`, are none of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from urllib.parse import unquote


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


_PREFIXES = ("x-amz-", "x-goog-")
"""Amazon's and Google's, version 4."""
COMMON = _set(
    "sign hmac token access_token accesstoken auth_token authtoken id_token session_token sessiontoken security_token "
    "sas_token auth authorization bearer jwt apikey api_key api-key x-api-key subscription-key "
    "ocp-apim-subscription-key access_key access-key accesskey access_key_id secret secret_key secretkey "
    "client_secret password passwd pwd credential credentials"
)
"""Names that no convention has to itself."""
ALWAYS = COMMON | _set(
    # Amazon version 2, CloudFront, Google version 2 and Media CDN, Azure
    "awsaccesskeyid signature key-pair-id googleaccessid edge-cache-token sig "
    # Alibaba, Tencent, Huawei, Volcano Engine, Kingsoft, Baidu
    "ossaccesskeyid security-token x-oss-signature-version x-oss-signature x-oss-credential x-oss-date x-oss-expires "
    "x-oss-security-token x-oss-additional-headers q-sign-algorithm q-ak q-sign-time q-key-time q-header-list "
    "q-url-param-list q-signature x-cos-security-token accesskeyid x-obs-security-token x-obs-signature "
    "x-tos-algorithm x-tos-credential x-tos-date x-tos-expires x-tos-signedheaders x-tos-signature "
    "x-tos-security-token x-tos-policy kssaccesskeyid x-bce-security-token auth_key "
    # Akamai, Bunny, Cloudflare, GitLab, Slack, Dropbox, Google Drive
    "hdnts hdnea hdntl __token__ __gda__ bcdn_token verify private_token job_token pub_secret rlkey resourcekey "
)
"""In lower case, as all names here."""
_EXPIRY = _set("expires expire expiry expiration exp policy hash-algorithm keyname urlprefix token_path")
_TIMES = _set("e t ts time timestamp st et")
_AZURE = _set(
    "sv ss srt sr st se sp sip spr si ses skoid sktid skt ske sks skv skdutid sduoid saoid suoid scid sdd "
    "rscc rscd rsce rscl rsct"
)
_TOGETHER = (frozenset(("ex", "is", "hm")), frozenset(("oh", "oe")))
"""Of content networks of Discord and Facebook."""
_EPOCH = re.compile(r"[0-9]{10}(?:[0-9]{3})?")
_NAME = "|".join(
    [f"{prefix}[a-z0-9-]{{1,40}}" for prefix in _PREFIXES]
    + [re.escape(name) for name in sorted(ALWAYS, key=len, reverse=True)]
)
_VALUE = re.compile(
    rf"((?:[?&;#]|\\u0026|%(?:25)?(?:26|3f|3b|23))(?:{_NAME})(?:=|\\u003d|%(?:25)?3d))[^&;\s\"'<>#\\]+", re.IGNORECASE
)
_LOGIN = re.compile(r"(://)(?:[^\s/?#@\"'<>]{1,5000}|[^\s/?#@:\"'<>\[]{0,200}:(?!\d{1,5}[/?#])[^\s@\"'<>]{1,300})@")
"""Passwords may hold a slash, which belongs into none."""
_QUERY = re.compile(r"\?[^\s\"'<>\\]*")
"""Of a URL within a text."""
_BEGINS_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BLANK = re.compile(r"\s")
HIDDEN = "***"


def divided(query: str) -> list[tuple[str, str]]:
    """The parameters of a query, in their order: of each what stays, and what signs; one of both is mostly empty."""
    parameters = [(one, _named(one)) for one in query.split("&")]
    signs = _signing({name: value for _, named in parameters for _, name, value in named})
    found = []
    for one, named in parameters:
        at = next((start for start, name, _ in named if name in signs), None)
        found.append((one, "") if at is None else (one[: max(at - 1, 0)], one[at:]))
    return found


def is_token(query: str) -> bool:
    """Whether a query is signed by nothing but parameters of common names, if at all: on some servers they tell
    recordings apart as well."""
    return _signing({name: value for one in query.split("&") for _, name, value in _named(one)}) <= COMMON


def unsigned(address: str) -> str:
    """The URL without the parameters that sign it; all else as it is written."""
    base, mark, query = address.partition("?")
    if not mark:
        return address
    parameters = divided(query)
    if not any(signs for _, signs in parameters):
        return address
    left = "&".join(stays for stays, signs in parameters if stays or not signs)
    return f"{base}?{left}" if left else base


def without_signed(text: str) -> str:
    """A URL, or a text that may hold some, without the parameters that sign them; all else stays."""
    if "?" not in text:
        return text
    if _BEGINS_URL.match(text) and not _BLANK.search(text):
        return unsigned(text)
    return _QUERY.sub(lambda query: unsigned(query[0]), text)


def masked(address: str) -> str:
    """The URL with *** in place of the values of the parameters that sign it, however their names are written."""
    base, mark, query = address.partition("?")
    shown = []
    for stays, signs in divided(query):
        shown += [stays] if stays or not signs else []
        shown += [f"{signs.partition('=')[0]}={HIDDEN}"] if signs else []
    return base + mark + "&".join(shown)


def without_signatures(text: str) -> str:
    """A text with *** in place of the values of such parameters in URLs, and of names and passwords before a host."""
    if "://" in text and "@" in text:
        text = _LOGIN.sub(rf"\1{HIDDEN}@", text)
    slash = text.find("/") if "=" in text or "%" in text else -1
    return text if slash < 0 else text[:slash] + _VALUE.sub(rf"\1{HIDDEN}", text[slash:])


def _signing(names: Mapping[str, str]) -> Set[str]:
    """Those of these names, with their values, that sign."""
    found = {name for name in names if name in ALWAYS or name.startswith(_PREFIXES)}
    if "sig" in names and "sv" in names:
        found |= _AZURE & names.keys()
    for together in _TOGETHER:
        if together <= names.keys():
            found |= together
    if "md5" in names and not _EXPIRY.isdisjoint(names):
        found.add("md5")
    if found:
        found |= _EXPIRY & names.keys()
        found |= {name for name in _TIMES & names.keys() if _EPOCH.fullmatch(names[name])}
    return found


def _named(parameter: str) -> list[tuple[int, str, str]]:
    """Where a parameter begins, its name and its value; for `&` some servers take `;`, and some people write `?`."""
    if ";" not in parameter and "?" not in parameter:
        name, _, value = parameter.partition("=")
        return [(0, (unquote(name) if "%" in name else name).lower(), value)]
    found, start = [], 0
    for part in re.split("[;?]", parameter):
        [(_, name, value)] = _named(part)
        found.append((start, name, value))
        start += len(part) + 1
    return found
