"""The column of a Parquet file that holds recordings: a struct of `bytes` and `path`, as Hugging Face's type Audio is.

Pure; imports pyarrow, which is slow, only when called.
"""

from __future__ import annotations

import json
from typing import Any

AUDIO = "audio"


def audio_column(schema: Any) -> str | None:
    """The name of that column in a `pyarrow.Schema`: `audio`, else the first that Hugging Face's features call Audio.
    None where there is none."""
    held = [field.name for field in schema if _holds_audio(field.type)]
    if AUDIO in held:
        return AUDIO
    features = features_of(schema)
    return next((name for name in held if features.get(name, {}).get("_type") == "Audio"), None)


def features_of(schema: Any) -> dict[str, dict[str, Any]]:
    """What Hugging Face's schema metadata say of the columns; empty where there are none that can be read."""
    written = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(written)["info"]["features"]
        return {name: one for name, one in features.items() if isinstance(one, dict)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _holds_audio(kind: Any) -> bool:
    from pyarrow import types

    if not types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    held = kind.field("bytes").type
    return bool(types.is_binary(held) or types.is_large_binary(held) or types.is_binary_view(held))
