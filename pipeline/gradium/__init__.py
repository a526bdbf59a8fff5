"""The client side of the speech-to-text endpoint: one request in, one answer or one classified error out.

`service` is what a run connects to. `wire` is the format (shared with the local server), `request` the settings that
are asked for, `client` the exchange over `transport`, with `body`, `response` and `deadline`; `ndjson` and `words` are
what is answered, `classify` and `billing` what a failure is and costs. Import the modules: this package loads none.
"""
