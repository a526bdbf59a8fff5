"""Records as the tables hold them: msgpack. Decoders raise what `connection.translated` turns into CheckpointError."""

from __future__ import annotations

import msgspec

from pipeline.model import Attempt, ClipResult, Failure, Transcript, Utterance

encode = msgspec.msgpack.Encoder().encode
decode_attempt = msgspec.msgpack.Decoder(Attempt).decode
decode_clip = msgspec.msgpack.Decoder(ClipResult).decode
decode_failure = msgspec.msgpack.Decoder(Failure).decode
decode_transcript = msgspec.msgpack.Decoder(Transcript).decode
decode_utterance = msgspec.msgpack.Decoder(Utterance).decode
