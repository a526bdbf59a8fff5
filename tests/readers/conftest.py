"""What the readers' libraries need: caches of their own, and no network."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Load = Callable[..., Any]


@pytest.fixture(scope="session")
def _hugging_face(tmp_path_factory: pytest.TempPathFactory) -> None:
    """These are read when the library is imported, which is long after the tests began."""
    os.environ |= {
        "HF_HOME": str(tmp_path_factory.mktemp("hugging-face")),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }


@pytest.fixture
def load_dataset(_hugging_face: None, tmp_path: Path) -> Load:
    """`load_dataset` of Hugging Face, with a cache of its own; the split is train unless one is given."""

    def load(*args: str, split: str | None = "train", **more: Any) -> Any:
        import datasets

        return datasets.load_dataset(*args, split=split, cache_dir=str(tmp_path / "cache"), **more)

    return load
