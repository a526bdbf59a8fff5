"""The configuration: what can be set, its defaults, and where values come from (file, environment, flags).

`settings.py` says what exists, `load.py` puts the sources together. Nothing here knows the service's own rules:
values that only the service defines are checked in `gradium/request.py`.
"""

from pipeline.config.load import load_settings
from pipeline.config.settings import Settings

__all__ = ["Settings", "load_settings"]
