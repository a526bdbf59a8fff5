"""What the command makes of the process it is started in, before it reads anything: encoding, and who may listen."""

from __future__ import annotations

import io
import os
import sys

_UTF8 = "utf-8"


def settle() -> None:
    """Has names of files, arguments and what is written be UTF-8 in any locale, and no TLS secrets noted anywhere.

    May start this process anew, which is then the same process with the same arguments.
    """
    # whoever has these secrets reads the API key, and where the file cannot be written the HTTP library does not load
    os.environ.pop("SSLKEYLOGFILE", None)
    if sys.getfilesystemencoding() != _UTF8 and os.environ.get("PYTHONUTF8") != "1" and sys.executable:
        # paths and arguments were decoded already; those who start other processes hand the variable on
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 this very program
    for stream in (sys.stdout, sys.stderr):  # PYTHONIOENCODING may say otherwise
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != _UTF8:
            stream.reconfigure(encoding=_UTF8, errors="backslashreplace")
