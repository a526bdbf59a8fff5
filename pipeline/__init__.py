"""gradium-batch: a manifest of audio files in, a dataset of transcripts out."""
