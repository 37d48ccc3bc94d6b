"""What all tests share: where the public data lies, if it is here."""

import os
from pathlib import Path

# Before anything loads PyTorch: the workers of a parallel run share the cores, and threads that wait spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from benchmarks.data import data_root

# A busy machine is no failure: examples have no deadline.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def public_data() -> Path:
    """The public data sets; skips with the reason where they are absent."""
    folder = data_root()
    if folder is None:
        pytest.skip("public data is not here: set SECMLOPS_DATA to its folder")
    return folder
