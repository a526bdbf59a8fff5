"""`python -m pipeline.server '{"recognizer": …}'`: the server as a child process of the pipeline or of a test.

Takes its options as JSON and the key from the environment; people use `gradium-batch serve`.
"""

from __future__ import annotations

import os
import sys

import msgspec

from pipeline.errors import GradiumBatchError, UsageError
from pipeline.server.options import KEY_ENV, ServerOptions
from pipeline.server.serve import serve


def main() -> int:
    """Returns the exit status: 0 told to stop, 1 could not serve, 2 options or faults file wrong."""
    try:
        options = msgspec.json.decode(sys.argv[1] if len(sys.argv) > 1 else "{}", type=ServerOptions)
    except msgspec.DecodeError as error:
        print(f"The options are not those of a server: {error}.", file=sys.stderr)
        return 2
    try:
        serve(msgspec.structs.replace(options, key=os.environ.pop(KEY_ENV, None)))
    except GradiumBatchError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
