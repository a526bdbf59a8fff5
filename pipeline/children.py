"""Python processes of our own: they load this very package and the standard library, whatever the working folder holds.

A `signal.py` or `json.py` there must not be taken for Python's own, as it is in a plain `python -c` or `python -m`.
"""

from __future__ import annotations

import sys
from multiprocessing import util
from pathlib import Path

import pipeline

_START = """\
import sys
folder, module, *rest = sys.argv[1:]
sys.argv[1:] = rest
sys.path.insert(0, folder)
import pipeline
sys.path.append(sys.path.pop(0))
from importlib import import_module
sys.exit(import_module(module).main())
"""
"""The folder of this package comes first for one import, which loads nothing else, and last for all others."""


def python(module: str, *args: str) -> list[str]:
    """The command that runs `main` of a module of this package, in a Python that was started as this one."""
    # multiprocessing starts its own processes with these flags: -X utf8, -W and the like
    flags = util._args_from_interpreter_flags()  # type: ignore[attr-defined]
    folder = str(Path(pipeline.__file__).parent.parent)
    return [sys.executable, *flags, "-P", "-c", _START, folder, module, *args]


def import_path() -> list[str]:
    """Where such a process finds modules beside those: where this one does, in the working folder last."""
    return sorted(sys.path, key=lambda place: place == "")
