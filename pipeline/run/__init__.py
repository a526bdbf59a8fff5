"""The stations of a run, and the commands that read an output.

`run` wires the stations: `plan` reads manifests · `select` hands out rows · `prepare` makes clips of what `lookup` does
not find answered · `send` runs the pool · `record` takes its results, `join` and `settlement` make outcomes of them ·
`outcomes` stores these · `publish` writes the files, `reporting` the figures. `control` stops a run. `check` forecasts
one, `status` and `show` read an output, `rebuild` makes a new checkpoint.
"""
