"""Wires the stations together: a manifest and settings in, an output folder and figures out.

`planning` what there is to do · `feed` recordings to clips · `recorder` and `outcomes` what became of them to records ·
`publisher` records to files · `control` how a run is stopped · `run` and `check` the two commands made of them.
"""
