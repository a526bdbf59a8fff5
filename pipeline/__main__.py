"""`python -m pipeline` is the command `gradium-batch`."""

from pipeline.cli import main

if __name__ == "__main__":
    main(prog_name="gradium-batch")
