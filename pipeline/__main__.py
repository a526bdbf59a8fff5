"""`python -m pipeline` is the command `gradium-batch`."""

import sys

if not sys.flags.safe_path:
    # -m puts the working folder first, where a `signal.py` would be taken for Python's own; what is installed does not
    sys.path.append(sys.path.pop(0))

from pipeline.cli import main

if __name__ == "__main__":
    main(prog_name="gradium-batch")
