"""SQL injections that were mutated to get past ModSecurity-based models (ModSec-AdvLearn, 12 files of 2,000).

Trained on the official training split of HttpParams alone (no row of these files, no mutation taken from them). The 1 %
false alarms are counted on the normal rows of HttpParams' test split and on the legitimate values of the payloads-100k
set together, neither of which training saw. Peer: character 2-4-gram TF-IDF with LinearSVC on the same values.

    python -m benchmarks.adversarial_sqli
"""

import csv
import json
from pathlib import Path
from urllib.parse import quote

import numpy as np

from benchmarks.data import data_root
from benchmarks.httpparams import plain_svm, scores, trained_on_httpparams, values
from benchmarks.query_attack import read
from benchmarks.report import Row, at_least, print_rows
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.request import HttpRequest, wire_text

RATE = 0.01
BOUND = 0.97
LEGITIMATE = 10_000


def main() -> bool | None:
    """Measure and print; returns whether every bound was met; None without the data."""
    root = data_root()
    if root is None:
        print("adversarial_sqli: skipped, the public data is not here (set SECMLOPS_DATA)")
        return None
    folder = root / "http"
    ours = trained_on_httpparams(folder / "httpparams")
    plain = plain_svm(read(folder / "httpparams" / "payload_train.csv"))
    normals = [record for record in read(folder / "httpparams" / "payload_test.csv") if not record.is_attack]
    normals += _legitimate(folder / "payloads-100k" / "payloads.csv")
    cut = float(np.quantile(scores(ours, normals), 1 - RATE, method="higher"))
    their_cut = float(np.quantile(plain.decision_function(values(normals)), 1 - RATE, method="higher"))
    rows: list[Row] = []
    for file in sorted((folder / "modsec-advlearn").glob("*.json")):
        attacks = [_request(payload) for payload in json.loads(file.read_text(encoding="utf-8"))]
        mine = scores(ours, attacks)
        theirs = float((plain.decision_function(values(attacks)) > their_cut).mean())
        rows.append(
            at_least(
                f"{file.stem}: TPR at 1 % FPR (at the model's own threshold {(mine >= ours.threshold).mean():.4f})",
                float((mine > cut).mean()),
                BOUND,
                peer=f"char TF-IDF + LinearSVC {theirs:.4f}",
            )
        )
    return print_rows("ModSec-AdvLearn: adversarially mutated SQL injection", rows)


def _legitimate(path: Path) -> list[LabelledRequest]:
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        payloads = [row["payload"] for row in csv.DictReader(file) if row["injection_type"] == "LEGAL"]
    return [_request(payload) for payload in payloads[:: max(len(payloads) // LEGITIMATE, 1)]]


def _request(payload: str) -> LabelledRequest:
    value = quote(wire_text(payload), safe="", encoding="latin-1")
    return LabelledRequest(HttpRequest("GET", f"/search?q={value}"), "attack", "sqli", site="values")


if __name__ == "__main__":
    raise SystemExit(main() is False)
