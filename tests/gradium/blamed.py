"""Reasons of code 1011: those by which a setting is at fault, and those that pass, whatever they blame."""

from __future__ import annotations

A_SETTING = """\
A language is required to start an ASR session. Supported languages: en, fr, de, es, pt, any.
a language is required
language is required
language required
Language is missing
missing language
missing field `language` at line 1 column 2
missing required field: language
missing required parameter 'language'
No language provided
no language was specified
Please specify a language
You must provide a language
language must be one of en, fr, de, es, pt, any
language 'xx' is not supported
Language xx is not supported
unsupported language: xx
unknown language 'xx'
invalid language code "xx"
invalid json_config
invalid json_config: temp 7 is not between 0 and 1.5
failed to parse json_config
could not parse json_config: expected value at line 1 column 1
json_config could not be parsed
error parsing setup: unknown field `foo`
unknown field `foo`, expected one of `language`, `delay_in_frames`, `temp`
failed to deserialize the settings
delay_in_frames must be between 0 and 80
delay_in_frames 4 is not supported
delay_in_frames: 4 is not one of 7, 8, 10
invalid value for delay_in_frames: 4
invalid delay_in_frames 4
unsupported value for delay_in_frames
temp must be between 0.0 and 1.5
temp 7 is out of range
temperature is too high
invalid temperature
padding_bonus 9 is out of range
padding_bonus must be at least -4
keywords: too many words
too many keywords
keywords must be single tokens
keywords are not supported for this model
boost must be between -6 and 6
unknown model 'foo'
unknown model: foo
model 'foo' not found
model foo does not exist
model name 'foo' is not supported
invalid model
target_language is required for stt-translate
bad setup
malformed setup message
setup message could not be parsed
internal server error: A language is required to start an ASR session.
Internal error: unsupported language 'xx'
Server error: invalid json_config
a model_name is required
""".splitlines()
"""The configuration's fault: the run ends."""
NO_SETTING = """\
internal server error
language model worker out of memory
language model crashed
language model setup failed
language model not found
failed to load model
could not load language model for en
model not ready
model is loading
model is not loaded
model server unavailable
model overloaded
missing model weights
model weights not found
model checkpoint not found on node 3
invalid model output
invalid model state
unknown model error
unknown language detection error
language detection timed out
language identification failed
model setup failed
setup failed
session setup failed
setup timed out
setup connection was closed
failed to set up session
unexpected error in language decoder
failed to parse response of language backend
failed to parse model output
failed to parse config file
could not read config from store
settings store timed out
config service unreachable
failed to apply json_config: backend timeout
inference failed (delay_in_frames=16, language=en)
panic in decoder, delay_in_frames=16, temp=0
unexpected exception, json_config={"language":"en"}
temp file could not be written
temp directory is full
no space left in temp dir
invalid temp path
could not create temp file
keyword index unavailable
keywords cache is corrupt
keyword spotting crashed
failed to boost keywords
could not read input file
failed to decode the audio
invalid audio
bad format
audio too long
invalid API key for storage
API key is revoked or expired
no credits left
billing of the language service failed
model foo temporarily unavailable
model 'foo' is not available right now, try again later
the model could not be reached
language not found in cache
model exceeded its memory
something new
unknown error
invalid state
out of range
index out of range in model
cannot allocate memory for model
model inference failed: invalid value encountered
model replied with an invalid language token
NaN in logits of model
key 'language' missing in response of worker
request required a model restart
connection to model lost
no model replica is available
too many open files while loading settings
gRPC: model: context deadline exceeded
configuration reload in progress
config reload required
invalid language model
invalid model version deployed
unknown language engine
missing config map
no such model artifact
language pack missing
config update required
asr model failure
""".splitlines()
"""The service failed inside: the request is tried again."""
