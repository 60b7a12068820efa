from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if find_spec("torch") is None or find_spec("diffusers") is None:
    collect_ignore_glob = ["test_*.py"]  # installed without the `engine` extra

RECIPE = {"name": "tiny", "max_sequence_length": 24, "area": 64 * 64, "steps": 3}


@pytest.fixture(scope="session")
def weights(tmp_path_factory: Any) -> Path:
    """A tiny checkpoint with guidance embedding."""
    from retouch.engine.families.tiny import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("weights"), recipe=RECIPE)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny tensors gain nothing from threads, and on a busy machine lose seconds to them."""
    import torch

    torch.set_num_threads(1)
