"""The runner of the benchmarks passes only on what was measured."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import __main__ as runner
from benchmarks import capture_reading
from benchmarks.report import at_least, at_most

FOLDER = Path(runner.__file__).parent


@pytest.fixture
def outcomes(monkeypatch):
    """Benchmarks named after what they come to."""
    made = {"good": True, "bad": False, "absent": None}
    monkeypatch.setattr(runner, "names", lambda: list(made))
    for name, outcome in made.items():
        monkeypatch.setitem(sys.modules, f"benchmarks.{name}", SimpleNamespace(main=lambda o=outcome: o))


@pytest.mark.parametrize(
    ("chosen", "status", "lines"),
    [
        (["good"], 0, ["met: 1 good", "NOT MET: 0", "skipped: 0"]),
        (["good", "absent"], 0, ["met: 1 good", "NOT MET: 0", "skipped: 1 absent"]),
        (["absent"], 1, ["met: 0", "NOT MET: 0", "skipped: 1 absent"]),
        (["good", "bad"], 1, ["met: 1 good", "NOT MET: 1 bad", "skipped: 0"]),
        ([], 1, ["met: 1 good", "NOT MET: 1 bad", "skipped: 1 absent"]),
    ],
)
def test_the_summary_tells_met_missed_and_skipped_apart(outcomes, capsys, chosen, status, lines):
    assert runner.main(chosen) == status
    assert capsys.readouterr().out.splitlines()[-3:] == lines


def test_an_unknown_benchmark_is_a_usage_error(outcomes):
    assert runner.main(["nothing"]) == 2


def test_what_was_not_measured_keeps_no_bound():
    assert at_most("claim", None, 0.05, peer="").met is False
    assert at_least("claim", None, 0.05, peer="").met is False
    assert at_most("claim", 0.0, 0.05, peer="").met is True


NEED_DATA = [name for name in runner.names() if "skipped, the public" in (FOLDER / f"{name}.py").read_text()]


@pytest.mark.parametrize("name", NEED_DATA)
def test_without_its_data_a_benchmark_is_skipped_and_not_passed(monkeypatch, tmp_path, name):
    monkeypatch.setenv("SECMLOPS_DATA", str(tmp_path / "nothing"))
    assert importlib.import_module(f"benchmarks.{name}").main() is None


def test_capture_reading_is_what_the_runner_expects(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "capture_reading"])
    monkeypatch.setattr(capture_reading, "REQUESTS", 40)
    monkeypatch.setattr(capture_reading, "scapys", lambda capture, folder: (40, 3600.0))
    assert capture_reading.main() is True
    monkeypatch.setattr(capture_reading, "scapys", lambda capture, folder: (40, 1e-9))
    assert capture_reading.main() is False
    monkeypatch.setattr(capture_reading, "scapys", lambda capture, folder: None)
    assert capture_reading.main() is None
