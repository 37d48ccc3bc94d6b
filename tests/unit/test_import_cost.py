"""Light callers stay light: neither the library's doors nor the compiler pull in a deep-learning stack."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "sklearn", "onnxruntime", "chdb", "matplotlib", "kserve"}


@pytest.mark.parametrize(
    "module",
    ["secmlops", "secmlops.cli", "secmlops.bundle", "secmlops.web_attacks.request", "pipelines.web_attacks"],
)
def test_no_heavy_import(module):
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
