"""An output in other formats: subtitles, tables, data sets to train on.

`formats/` turns rows into the text of files: pure, no I/O.
"""
