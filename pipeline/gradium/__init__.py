"""The client side of the speech-to-text endpoint: one request in, one answer or one classified error out.

`service` connects. `wire` is the format (shared with the local server), `request` checks the settings, `client` makes
the exchange over `transport`, with `body`, `response` and `deadline`; `ndjson` and `words` parse the answer; `classify`
turns a failure into an error, `billing` says whether it may have cost something; `key` and `environment` read what a
connection needs from outside. Import the modules: this package loads none.
"""
