"""What is sent: from a recording on disk to clips the service takes, with their measured length.

`probe` says what a file is, `decode` brings it to tracks of one channel at 24 kHz, `split` finds where long tracks are
cut, `encode` makes what is sent of them, `prepare` turns an utterance into clips. Recordings are read, never written.
"""
