"""The library for Python programs, which `gradium_batch` hands on to them.

`transcribing` does runs and forecasts · `transcripts` reads outputs · `exporting` writes them in other formats ·
`removing` takes rows out of them · `arguments` are what its functions are given · `settings` the configuration ·
`records` what they return · `raising` how errors reach the caller.
"""

import logging

# as libraries do: what a program does not ask to see is not printed
logging.getLogger("pipeline").addHandler(logging.NullHandler())
