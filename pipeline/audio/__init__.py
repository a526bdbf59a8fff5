"""What is sent: from an utterance's recording to clips the service takes, with their measured length.

`probe` says what a file is, `prepare` turns an utterance into clips. Files are read here, never written.
"""
