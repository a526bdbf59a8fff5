"""Records as the tables hold them: msgpack. Decoders raise what `connection.translated` turns into CheckpointError."""

from __future__ import annotations

from msgspec.msgpack import Decoder, Encoder

from pipeline.model import Attempt, ClipResult, Failure, Transcript, Utterance

encode = Encoder().encode
decode_attempt = Decoder(Attempt).decode
decode_clip = Decoder(ClipResult).decode
decode_failure = Decoder(Failure).decode
decode_transcript = Decoder(Transcript).decode
decode_utterance = Decoder(Utterance).decode
