"""Outputs that earlier versions of the product left, as archives, and the recordings that they were made of.

`version-1.tar.gz` was made by the last commit before outputs had segments, spans and a card (f647b07), from
`corpus`, in these folders: `both`, `lines` (`sink.formats` "jsonl" alone) and `parts` ("parquet" alone), each with

- two parts (or their rows in the JSONL), the second made by a later run;
- rows that are spans, have a channel, keywords, a reference and metadata; a stereo call in two clips, a copy, and a
  recording in several clips;
- a missing recording, one that the service refuses, and a transcript that stays although its file changed to one
  that is refused;
- a transcript that was replaced, when one file changed;
- answers of a run that was killed: transcripts that no part holds, clips of an unfinished recording, requests without
  an end.
"""
