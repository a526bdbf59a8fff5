"""Transcribes audio files through the Gradium speech-to-text endpoint, from Python: what the command `gradium-batch`
does, with the same promises (nothing is paid twice, nothing is lost) and into the same output folder.

    import gradium_batch as gb

    result = gb.transcribe("calls.csv", out="runs/calls", settings=gb.Settings(budget={"credits": 5000}))
    print(result.done, result.failed, result.credits)
    for transcript in gb.read(result.out):
        print(transcript.id, transcript.text)

docs/python.md shows more.
"""

from __future__ import annotations

import os as _os
from importlib.util import find_spec as _find_spec


def _refuse_another_pipeline() -> None:
    """Raises ImportError where Python finds another package `pipeline` than the one beside this file."""
    own = _os.path.join(_os.path.dirname(_os.path.abspath(__file__)), "pipeline")
    try:
        spec = _find_spec("pipeline")  # which does not run it
    except ValueError:  # a module that was made by hand
        spec = None
    place = None if spec is None else spec.origin or next(iter(spec.submodule_search_locations or ()), None)
    found = None if place is None else place.removesuffix(f"{_os.sep}__init__.py")
    if place is None or found is None:
        raise ImportError(f"gradium_batch needs its package pipeline, which is not in {own}; install it again")
    if _os.path.realpath(found) != _os.path.realpath(own):
        raise ImportError(
            f"gradium_batch needs its own package pipeline, in {own}, but Python imports {place} in its place; rename "
            "that one, or start Python where its folder is not in sys.path (there it is as the script's folder, as the "
            "working folder or by PYTHONPATH)",
            name="pipeline",
            path=place,
        )


_refuse_another_pipeline()

from pipeline.exits import POSIX_ONLY as _POSIX_ONLY

if _os.name == "nt":
    raise ImportError(_POSIX_ONLY)

from pipeline.api.exporting import export
from pipeline.api.records import Progress, Result
from pipeline.api.removing import forget, prune
from pipeline.api.settings import Settings
from pipeline.api.transcribing import check, status, transcribe, transcribe_async
from pipeline.api.transcripts import Transcripts, read
from pipeline.errors import (
    AccountError,
    AttemptError,
    BalanceTooLow,
    BalanceUnknown,
    CheckpointError,
    ConfigError,
    CreditsSpent,
    DamagedCheckpoint,
    DamagedFile,
    EmptyFolder,
    EndpointUnreachable,
    GradiumBatchError,
    KeyRefused,
    LocalServerError,
    ManifestError,
    NoCloud,
    NoDecoder,
    OutputError,
    OutputGone,
    OutputHeld,
    RefusesAll,
    RunError,
    ServiceOut,
    SettingsRefused,
    SourceOut,
    SourceRefusesAll,
    UsageError,
)
from pipeline.exits import ExitStatus
from pipeline.export.exported import Exported
from pipeline.model import Segment, Transcript, Word
from pipeline.report.figures import FailureClass, Figures
from pipeline.run.check import Forecast
from pipeline.run.forget import Forgetting
from pipeline.run.prune import Pruned
from pipeline.run.status import Status

__all__ = [
    "AccountError",
    "AttemptError",
    "BalanceTooLow",
    "BalanceUnknown",
    "CheckpointError",
    "ConfigError",
    "CreditsSpent",
    "DamagedCheckpoint",
    "DamagedFile",
    "EmptyFolder",
    "EndpointUnreachable",
    "ExitStatus",
    "Exported",
    "FailureClass",
    "Figures",
    "Forecast",
    "Forgetting",
    "GradiumBatchError",
    "KeyRefused",
    "LocalServerError",
    "ManifestError",
    "NoCloud",
    "NoDecoder",
    "OutputError",
    "OutputGone",
    "OutputHeld",
    "Progress",
    "Pruned",
    "RefusesAll",
    "Result",
    "RunError",
    "Segment",
    "ServiceOut",
    "Settings",
    "SettingsRefused",
    "SourceOut",
    "SourceRefusesAll",
    "Status",
    "Transcript",
    "Transcripts",
    "UsageError",
    "Word",
    "check",
    "export",
    "forget",
    "prune",
    "read",
    "status",
    "transcribe",
    "transcribe_async",
]
