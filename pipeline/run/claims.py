"""Claims an output for a run: for who answers, for its formats, and a default one for its manifest."""

from __future__ import annotations

from pipeline.checkpoint import Checkpoint
from pipeline.manifest import path_of
from pipeline.run.context import RunContext
from pipeline.run.output import keep_formats, refuse_another_manifest
from pipeline.run.owner import claim


def claim_output(checkpoint: Checkpoint, context: RunContext, owner: str | None) -> None:
    """Raises ConfigError where the output has another owner, other formats or another manifest."""
    options = context.options
    if owner is not None:
        claim(checkpoint, options.out, owner)
    keep_formats(checkpoint, context.settings.sink.formats)
    if not options.shared_out:
        refuse_another_manifest(checkpoint, path_of(options.manifests), options.out)
