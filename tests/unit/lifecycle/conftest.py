"""A small valid policy that each test bends in one place."""

import pytest
import yaml

from secmlops.lifecycle.policy import Policy, parse_policy


def requirement(metric: str = "recall", **changes) -> dict:
    row = {
        "metric": metric,
        "at_least": 0.9,
        "why": "attacks must be seen",
        "risk": "attacks pass unseen",
        "mitigation": "AML.M0008",
    }
    row.update(changes)
    return {key: value for key, value in row.items() if value is not None}


def policy_of(*rows: dict, **changes) -> Policy:
    content = {
        "name": "web-attacks",
        "version": "1.0.0",
        "use_case": "web_attacks",
        "operating_point": {"max_false_positive_rate": 0.01},
        "requirements": list(rows or [requirement()]),
    }
    content.update(changes)
    return parse_policy(yaml.safe_dump(content).encode())


@pytest.fixture
def policy() -> Policy:
    return policy_of(requirement("recall", at_least=0.9), requirement("latency_ms", at_least=None, at_most=5))
