"""The configuration: its keys and defaults, and where values come from (file, environment, flags, Python).

`settings.py` declares the keys, `load.py` merges the sources, `explain.py` explains mistakes. The service's own
settings are checked in `gradium/request.py`.
"""

from pipeline.config.load import load_settings, settings_of
from pipeline.config.settings import Settings

__all__ = ["Settings", "load_settings", "settings_of"]
