"""python -m benchmarks [NAME …]: runs the named measurements, or all of them."""

from __future__ import annotations

from importlib import import_module

import click

ALL = (
    "torture",
    "nights",
    "hostile",
    "million",
    "names",
    "rewrites",
    "long",
    "failing",
    "preparation",
    "start",
    "throughput",
    "slots",
    "memory",
    "buckets",
    "exports",
    "bounds",
    "mixed",
    "durable",
    "aims",
)
"""Modules with a `main`; each is imported when its turn comes, because a child's peak memory starts at its parent's."""


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(sorted(ALL)))
def main(names: tuple[str, ...]) -> None:
    """Run measurements.

    torture (kill -9 at 100 random moments and at each step of publishing), nights (random sequences of changes, faults
    and kills, each night held against the promises), hostile (the same with a service that may answer anything),
    million (rows), names (every known recording under another id), rewrites (bytes written for another column, and for
    an archive that was renamed), long (three hours in one recording), failing (the same with a clip that is never
    answered, over seven nights), preparation (speed of decoding), start (seconds until a command does something),
    throughput (requests per second beside what users would write instead), slots (whether they stay busy), memory (with
    large bodies), buckets (recordings in a bucket beside the same on disk), exports (a million rows, and ten of them
    changed), bounds (memory with large metadata and with many copies), mixed (whether decoding starves sending),
    durable (what fsync costs), aims (all of it beside what was aimed at).
    """
    for name in names or ALL:
        click.echo(f"== {name}")
        import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
