"""An output in other formats: subtitles, tables, data sets to train on.

`export` does it. `documents`, `lines` and `shards` are the engines, for a file for each recording, for files with lines
of all rows, and for a Hugging Face data set; `state` has what they have written, `kinds` the formats of each.
`formats/` turns rows into the text of files: pure, no I/O.
"""
