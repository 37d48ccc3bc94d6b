"""Where the public data sets lie, if they are here."""

import os
from pathlib import Path


def data_root() -> Path | None:
    """Folder of the public data sets: `SECMLOPS_DATA`, else `../shared/data` beside the checkout, else None."""
    named = os.environ.get("SECMLOPS_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    return folder if folder.is_dir() else None
