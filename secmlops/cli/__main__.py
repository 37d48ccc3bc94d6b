"""`python -m secmlops.cli`."""

from secmlops.cli import app

app()
