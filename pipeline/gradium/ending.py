"""What a user is told where an answer of the service ends the run: its reason in one line, and what to look at."""

from __future__ import annotations

from urllib.parse import urlsplit

from pipeline.config.settings import ServiceSettings
from pipeline.errors import AccountError, AttemptError, GradiumBatchError, KeyRefused, SettingsRefused
from pipeline.gradium.key import key_place
from pipeline.profile import GRADIUM


def explained(error: GradiumBatchError, service: ServiceSettings) -> GradiumBatchError:
    """The error of a run with what it says about the account or the settings explained; any other unchanged."""
    if not isinstance(error, AccountError | SettingsRefused):
        return error
    advice = _about_key(service) if isinstance(error, KeyRefused) else _about_settings(error)
    return type(error)(
        " ".join(error.said.split()) + advice,
        http_status=error.http_status,
        code=error.code,
    )


def _about_key(service: ServiceSettings) -> str:
    if service.is_embedded:
        return ""
    place = f" (the key is from {key_place(service)})"
    if not GRADIUM.is_regional(service.url):
        return place
    host = urlsplit(service.url).hostname
    return f"{place}; a key of another region can look revoked at {host} (service.url): is the key one of this region?"


def _about_settings(error: AttemptError) -> str:
    """For words of the service; where nothing was said, the message has its own advice."""
    if not isinstance(error, SettingsRefused) or not error.reason:
        return ""
    return "; what is sent are service.language, service.model and service.json_config"
