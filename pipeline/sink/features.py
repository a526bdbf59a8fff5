"""The columns of a table as Hugging Face `datasets` names their types: its features. Pure: no I/O."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

Feature = dict[str, Any] | list[Any]


def features_of(schema: pa.Schema) -> dict[str, Feature]:
    """The features of all columns, as `datasets` stores them in JSON.

    A list is written as before `datasets` 4.0, whose `List` earlier versions do not know; all read this.
    """
    return {field.name: _feature(field.type) for field in schema}


def schema_key(schema: pa.Schema) -> dict[str, str]:
    """The metadata of a schema in which `datasets` finds the features of a Parquet file. Versions before 2.15 load only
    the columns that are named there, so that all are."""
    return {"huggingface": json.dumps({"info": {"features": features_of(schema)}})}


def card_entries(schema: pa.Schema) -> list[dict[str, Any]]:
    """The features as a dataset card lists them, for JSON Lines, whose metadata is an object."""
    features = features_of(schema)
    if "metadata" in features:
        features["metadata"] = {"dtype": "json"}
    return _entries(features)


def _feature(kind: pa.DataType) -> Feature:
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if pa.types.is_list(kind):
        return [_feature(kind.value_type)]
    return {"dtype": "float64" if pa.types.is_float64(kind) else str(kind), "_type": "Value"}


def _entries(features: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name} | _entry(feature) for name, feature in features.items()]


def _entry(feature: Any) -> dict[str, Any]:
    if isinstance(feature, list):
        [item] = feature
        return {"list": item["dtype"] if "_type" in item else _entries(item)}
    return {"dtype": feature["dtype"]}
