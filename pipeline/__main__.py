"""`python -m pipeline` is the command `gradium-batch`."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # -m puts the working folder first, where a `signal.py` would be taken for Python's own; what is installed does not
    sys.path.append(sys.path.pop(0))

import os
import signal

INTERRUPTED = 130


def main() -> None:
    """Runs the command. Ctrl-C ends it quietly also while it is still being loaded: nothing has begun then."""
    is_heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_heard:
        # not as an exception, which an import may swallow
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    from pipeline.cli import main as command

    if is_heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command(prog_name="gradium-batch")


if __name__ == "__main__":
    main()
