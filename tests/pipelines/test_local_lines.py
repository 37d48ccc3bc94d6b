"""What the person who watches a local run is told, out of KFP's log."""

import io

from rich.console import Console

from pipelines.local import _StepLines


def test_the_reason_of_a_failure_is_what_the_step_raised_not_what_was_logged_after_it():
    shown = io.StringIO()
    console = Console(file=shown, width=200)
    with console.status("") as status:
        lines = _StepLines(io.StringIO(), console, status)
        lines.write("Executing task 'reject-model'\nsecmlops.release.ModelRejected: the gate refused the model\n")
        lines.write("Task 'reject-model' finished with status FAILURE\n--- Logging error ---\nArguments: ()\n")
    assert (lines.failed, lines.reason) == ("reject-model", "ModelRejected: the gate refused the model")
    assert "FAIL reject-model" in shown.getvalue()
