"""The client side of the speech-to-text endpoint: one clip in, one answer or one classified error out.

`wire` is the format (shared with the local server), `request` what is asked, `ndjson` and `words` what is
answered, `classify` what a failure is, `client` the exchange. Import the modules: this package loads none by itself.
"""
