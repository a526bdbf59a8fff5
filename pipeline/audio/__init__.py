"""From a recording on disk to clips that the service accepts, with their measured length.

`probe` inspects a file, `upload` decides what of it a row sends, `decode` makes tracks of one channel at the service's
sample rate, `spans` cuts long tracks, `prepare` turns an utterance into clips. Recordings are never written.
"""
