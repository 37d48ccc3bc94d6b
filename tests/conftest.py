"""What all tests share: where the public data lies, if it is here."""

from pathlib import Path

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
