"""The register of every model ever judged: the warehouse table `model_verdicts`, appended and never overwritten."""

from typing import Any

import pyarrow as pa

from secmlops.lifecycle.gate import Verdict
from secmlops.storage.warehouse import Warehouse

_TABLE = """
    CREATE TABLE IF NOT EXISTS model_verdicts (
        judged_at DateTime64(6, 'UTC'),
        use_case LowCardinality(String),
        run_id String,
        model_digest String,
        bundle_uri String,
        passed Bool,
        policy_name LowCardinality(String),
        policy_version LowCardinality(String),
        policy_digest String,
        failed Array(String),
        measured Map(String, Float64),
        verdict String
    ) ENGINE = ReplacingMergeTree ORDER BY (use_case, judged_at, run_id, model_digest)
"""

_SCHEMA = pa.schema(
    [
        ("judged_at", pa.timestamp("us", tz="UTC")),
        ("use_case", pa.string()),
        ("run_id", pa.string()),
        ("model_digest", pa.string()),
        ("bundle_uri", pa.string()),
        ("passed", pa.bool_()),
        ("policy_name", pa.string()),
        ("policy_version", pa.string()),
        ("policy_digest", pa.string()),
        ("failed", pa.list_(pa.string())),
        ("measured", pa.map_(pa.string(), pa.float64())),
        ("verdict", pa.string()),
    ]
)


def register(warehouse: Warehouse, verdict: Verdict, *, run_id: str, bundle_uri: str = "") -> None:
    """Add a verdict; adding the same one of the same run again changes nothing.

    Args:
        warehouse: an open warehouse.
        verdict: the gate's verdict.
        run_id: the pipeline run.
        bundle_uri: where the bundle was published; empty for a rejected model.
    """
    warehouse.execute(_TABLE)
    row = {
        "judged_at": verdict.judged_at,
        "use_case": verdict.use_case,
        "run_id": run_id,
        "model_digest": verdict.model_digest,
        "bundle_uri": bundle_uri,
        "passed": verdict.passed,
        "policy_name": verdict.policy_name,
        "policy_version": verdict.policy_version,
        "policy_digest": verdict.policy_digest,
        "failed": [result.metric for result in verdict.failures],
        "measured": [(r.metric, r.measured) for r in verdict.results if r.measured is not None],
        "verdict": verdict.model_dump_json(),
    }
    warehouse.insert("model_verdicts", pa.Table.from_pylist([row], schema=_SCHEMA))


def registered(warehouse: Warehouse, use_case: str) -> list[dict[str, Any]]:
    """Every verdict of a use case, oldest first, one row as a dictionary each."""
    warehouse.execute(_TABLE)
    sql = """
        SELECT judged_at, run_id, model_digest, bundle_uri, passed, policy_version, failed, verdict
        FROM model_verdicts FINAL WHERE use_case = {use_case:String} ORDER BY judged_at
    """
    return warehouse.query(sql, {"use_case": use_case}).to_pylist()
