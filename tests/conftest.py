"""What all tests share: where the public data lies, if it is here."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure: examples have no deadline.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

ROOT = Path(__file__).resolve().parent.parent


def data_root() -> Path | None:
    """Folder of the public data sets: `SECMLOPS_DATA`, else `../shared/data` beside the checkout, else None."""
    named = os.environ.get("SECMLOPS_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def public_data() -> Path:
    """The public data sets; skips with the reason where they are absent."""
    folder = data_root()
    if folder is None:
        pytest.skip("public data is not here: set SECMLOPS_DATA to its folder")
    return folder
