"""The local server: the service's protocol on this machine, with a real recognizer or a fingerprint.

For trying the pipeline without a key and for tests; shares `gradium/wire.py` with the client and nothing else.
"""
