"""The fixtures of readers: exports are read by the same libraries."""

from tests.readers.conftest import _hugging_face, load_dataset  # noqa: F401
