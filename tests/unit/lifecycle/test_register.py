"""The register of verdicts, against the embedded warehouse."""

from secmlops.bundle import bytes_digest
from secmlops.lifecycle.register import register, registered
from secmlops.storage.warehouse import open_warehouse
from tests.unit.bundle.conftest import verdict_on


def test_every_verdict_stays_and_the_same_one_counts_once(tmp_path):
    good, bad = verdict_on(bytes_digest(b"good")), verdict_on(bytes_digest(b"bad"), recall=0.1)
    with open_warehouse(f"chdb://{tmp_path / 'warehouse'}") as house:
        for _ in range(2):
            register(house, good, run_id="run-1", bundle_uri="s3://models/good")
        register(house, bad, run_id="run-2")
        register(house, bad.model_copy(update={"use_case": "digits"}), run_id="run-3")
        rows = registered(house, "web_attacks")
    assert [(row["run_id"], row["passed"], row["bundle_uri"], row["failed"]) for row in rows] == [
        ("run-1", True, "s3://models/good", []),
        ("run-2", False, "", ["recall"]),
    ]
    assert rows[0]["model_digest"] == good.model_digest
