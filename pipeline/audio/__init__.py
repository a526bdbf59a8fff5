"""What is sent: from a recording on disk to clips the service takes, with their measured length.

`probe` says what a file is, `wanted` what a row asks of it, `decode` brings it to tracks of one channel at 24 kHz,
`spans` finds where long tracks are cut, `prepare` turns an utterance into clips. Recordings are read, never written.
"""
