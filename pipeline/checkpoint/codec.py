"""Records as the tables hold them: msgpack. Decoders raise what `translated` turns into CheckpointError."""

from __future__ import annotations

import msgspec

from pipeline.clips import ClipResult
from pipeline.earlier import Transcript1, decoding_either
from pipeline.model import Attempt, ClipTimes, Failure, Transcript, Utterance

encode = msgspec.msgpack.Encoder().encode
decode_attempt = msgspec.msgpack.Decoder(Attempt).decode
decode_clip_times = msgspec.msgpack.Decoder(tuple[ClipTimes, ...]).decode
decode_clip = msgspec.msgpack.Decoder(ClipResult).decode
decode_failure = msgspec.msgpack.Decoder(Failure).decode
decode_transcript = decoding_either(
    msgspec.msgpack.Decoder(Transcript).decode, msgspec.msgpack.Decoder(Transcript1).decode
)
decode_utterance = msgspec.msgpack.Decoder(Utterance).decode
