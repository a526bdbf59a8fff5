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
