"""Random sequences of nights over one output folder, each held against what the issue and `design.md` promise.

`recordings` what files hold · `service` the endpoint and its faults · `world` the files · `moves` what is done to
them · `night` one run in this process, perhaps killed · `command` one run as a user has it · `outputs` what lies in
the output folder · `model` what is remembered between nights · `checks` the promises (`kept`, `failed`, `told`) ·
`life` all of it together, for `machine` (the tests) and for the benchmark.
"""
