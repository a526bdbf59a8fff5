"""The command of a Python process that runs a module of this package: a worker, or the local server."""

from __future__ import annotations

import sys
from multiprocessing import util
from pathlib import Path

import pipeline

_BOOTSTRAP = """\
import sys
folder, path, module, *rest = sys.argv[1:]
sys.argv[1:] = rest
sys.path.insert(0, folder)
import pipeline
from ast import literal_eval
sys.path[:] = literal_eval(path)
from importlib import import_module
sys.exit(import_module(module).main())
"""
"""The folder of this package is first in sys.path for this one import; then the path is that of the parent."""


def python_command(module: str, *args: str) -> list[str]:
    """The command that runs `main` of a module of this package, in a Python with the same options as this one.

    It imports this package and the standard library whatever the working folder holds: in a plain `python -c` or
    `python -m`, a `signal.py` there would be imported in place of Python's own. All else is found where this process
    finds it, the working folder last; nothing of the program around is imported.
    """
    # -X utf8, -W and the like, as multiprocessing passes them to its processes
    flags = util._args_from_interpreter_flags()  # type: ignore[attr-defined]
    folder = str(Path(pipeline.__file__).parent.parent)
    # plain texts: what a program put there may be of a class of its own
    path = sorted((str(entry) for entry in sys.path if isinstance(entry, str)), key=lambda entry: entry == "")
    return [sys.executable, *flags, "-P", "-c", _BOOTSTRAP, folder, ascii(path), module, *args]
