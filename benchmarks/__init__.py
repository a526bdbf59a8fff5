"""Measured comparisons, one command each; never run by the tests. `python -m benchmarks --help` lists them."""
