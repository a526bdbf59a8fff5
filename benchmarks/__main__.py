"""python -m benchmarks [NAME …]: runs the named measurements, or all of them."""

from __future__ import annotations

import click

from benchmarks import long, million, preparation, start, torture

ALL = {
    "torture": torture.main,
    "million": million.main,
    "long": long.main,
    "preparation": preparation.main,
    "start": start.main,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(sorted(ALL)))
def main(names: tuple[str, ...]) -> None:
    """Run measurements: torture (kill -9 at 100 random moments and at each step of publishing), million (rows),
    long (three hours in one recording), preparation (speed of decoding), start (seconds until a command does
    something)."""
    for name in names or ALL:
        click.echo(f"== {name}")
        ALL[name]()


if __name__ == "__main__":
    main()
