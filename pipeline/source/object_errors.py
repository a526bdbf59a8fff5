"""What an error of an object store says: by the status and code of its answer, or by what the connection did. Pure.

The library has few classes of errors; their texts have the rest, and the address of the request, which is not shown.
"""

from __future__ import annotations

import html
import re

from pipeline.errors import (
    AddressRefused,
    AttemptError,
    AudioForbidden,
    AudioMissing,
    SourceFault,
    SourceTimeout,
    SourceUnreachable,
    SourceUntrusted,
)
from pipeline.source.addresses import place_of, scheme_of
from pipeline.texts import presentable

MAX_SAID = 300
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and AWS_REGION",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or log in by `gcloud auth application-default login`",
    "az": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
}
"""What tells the credentials of each cloud."""
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,2000})</Message>")
_OS_MESSAGE = re.compile(r'message: "([^"]{1,200})"')
_KIND = re.compile(r"kind: (Timeout|Connect)\b")
_NO_CREDENTIALS = re.compile(r"169\.254\.|metadata\.google|token request|must be specified|Missing|credential", re.I)
_OF_CREDENTIALS = re.compile(
    r"ExpiredToken|InvalidToken|AuthorizationHeaderMalformed|PermanentRedirect|IllegalLocation|RequestTimeTooSkewed"
)
"""Codes of refusals that come with 301 or 400."""
_UNTRUSTED = re.compile(r"certificate", re.I)


def failure(address: str, error: Exception) -> AttemptError:
    """The AttemptError for an error of the library."""
    text = str(error)
    place, status = place_of(address), _status(text)
    said = _said(text)
    if status == 404:
        if "NoSuchBucket" in text or "ContainerNotFound" in text:
            return AudioMissing(f"there is no bucket {place}", http_status=status)
        return AudioMissing("there is no such object", http_status=status)
    if _NO_CREDENTIALS.search(_first_line(text)) and not _CODE.search(text):
        hint = CREDENTIALS[scheme_of(address)]
        return AudioForbidden(
            f"no credentials for {place} were found: set {hint}; what is public is read without, once it is named: "
            f'sources.anonymous = ["{place}"]'
        )
    if status in (401, 403) or (status in (301, 400) and _OF_CREDENTIALS.search(text)):
        hint = CREDENTIALS[scheme_of(address)]
        return AudioForbidden(f"{place} answered HTTP {status}{said}: check {hint}", http_status=status)
    if status is not None:
        return SourceFault(f"{place} answered HTTP {status}{said}", http_status=status)
    if _UNTRUSTED.search(text):
        return SourceUntrusted(f"the certificate of {place} is not trusted here")
    kind = _KIND.search(text)
    if kind and kind[1] == "Timeout":
        return SourceTimeout(f"{place} did not answer in time; see sources.timeout_s")
    if kind:
        why = "its name cannot be found" if "dns error" in text else _os_message(text)
        return SourceUnreachable(f"{place} cannot be reached: {why}")
    if isinstance(error, ValueError):
        return AddressRefused("the object's key cannot be asked for; name it otherwise")
    return SourceFault(f"the answer of {place} broke off or made no sense")


def is_outside(error: Exception) -> bool:
    """Whether a part was asked for that begins after the end."""
    return _status(str(error)) == 416


def _status(text: str) -> int | None:
    found = _STATUS.search(text)
    return int(found[1]) if found else None


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _said(text: str) -> str:
    """The store's own words, to append."""
    found = [html.unescape(one[1]) for pattern in (_CODE, _MESSAGE) if (one := pattern.search(text))]
    return f" ({presentable(': '.join(found))[:MAX_SAID]})" if found else ""


def _os_message(text: str) -> str:
    found = _OS_MESSAGE.search(text)
    return presentable(found[1]).lower() if found else "no connection could be made"
