"""The formats of exports. Pure: from rows to the text of files, no I/O.

`format` what a format is · `spoken` the words of rows on the clock of their recording · `table` csv · `plain` txt.
"""
