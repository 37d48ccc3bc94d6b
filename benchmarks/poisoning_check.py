"""Poisoned labels in public data: 2 % flipped by lot, and blocks of look-alike attacks planted as normal traffic.

Only training splits and data without a test split are poisoned here. The peer is confident learning as usually
practised: out-of-fold probabilities of TF-IDF + LogisticRegression over folds drawn by lot, a label suspected when the
other's probability is at least what requests of that label get on average.

    python -m benchmarks.poisoning_check
"""

import csv
import random
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from benchmarks.data import data_root
from benchmarks.report import Row, at_least, print_rows
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.decoding import decode, parts
from secmlops.web_attacks.poisoning import find_suspects, flip_labels
from secmlops.web_attacks.request import HttpRequest

FLIPPED_SHARE = 0.02
BLOCK = 100
BLOCKS = 2
SHORTEST = 12
"""Shorter values of these sets, such as `'false'`, are attacks by their label alone."""
SEED = 20_260
PAYLOADS_SAMPLED = 20_000

_CLASSES = {"sqli": "sqli", "sql": "sqli", "xss": "xss", "cmdi": "cmd_injection", "shell": "cmd_injection"}


def main() -> bool | None:
    """Measure and print; returns whether every bound was met; None without the data."""
    root = data_root()
    if root is None:
        print("poisoning_check: skipped, the public data is not here (set SECMLOPS_DATA)")
        return None
    httpparams = _read(root / "http" / "httpparams" / "payload_train.csv")
    payloads = _read(root / "http" / "payloads-100k" / "payloads.csv")
    payloads = random.Random(SEED).sample(payloads, PAYLOADS_SAMPLED)
    rows = [*_flips("HttpParams training split", httpparams), *_flips("payloads-100k, 20,000 rows", payloads)]
    for attack_class in ("sqli", "xss", "cmd_injection"):
        rows += _blocks(httpparams, attack_class)
    return print_rows("Poisoned labels", rows)


def _flips(name: str, records: Sequence[LabelledRequest]) -> list[Row]:
    poisoned, planted = flip_labels(records, FLIPPED_SHARE, SEED)
    ours = {suspect.index for suspect in find_suspects(poisoned, SEED)}
    peer = _confident_learning(poisoned)
    return [
        at_least(
            f"{name}, 2 % flipped: recall",
            len(ours & planted) / len(planted),
            0.8,
            peer=f"confident learning {len(peer & planted) / len(planted):.3f}",
            digits=3,
        ),
        at_least(
            f"{name}, 2 % flipped: precision",
            len(ours & planted) / len(ours),
            0.5,
            peer=f"confident learning {len(peer & planted) / len(peer):.3f}",
            digits=3,
        ),
    ]


def _blocks(records: Sequence[LabelledRequest], attack_class: str) -> list[Row]:
    """Rows for blocks of one class, each planted alone; the figures are means over the blocks."""
    rng = random.Random(f"{SEED}:{attack_class}")
    originals = [r for r in records if r.attack_class == attack_class and len(_value(r.request)) >= SHORTEST]
    found, found_by_peer, others, others_of_peer = [], [], [], []
    for original in rng.sample(originals, BLOCKS):
        block = [LabelledRequest(_varied(original.request, rng), "normal") for _ in range(BLOCK)]
        poisoned = [*records, *block]
        planted = set(range(len(records), len(poisoned)))
        ours = {suspect.index for suspect in find_suspects(poisoned, SEED)}
        peer = _confident_learning(poisoned)
        found.append(len(ours & planted) / BLOCK)
        found_by_peer.append(len(peer & planted) / BLOCK)
        others.append(len(ours - planted))
        others_of_peer.append(len(peer - planted))
    return [
        Row(
            f"{BLOCK} varied copies of one {attack_class} attack planted as normal: recall, mean of {BLOCKS} blocks",
            f"{np.mean(found):.3f}",
            f"confident learning {np.mean(found_by_peer):.3f}",
            "-",
            "",
            None,
        ),
        Row(
            f"the same: other requests suspected, of {len(records):,}",
            f"{np.mean(others):.0f}",
            f"confident learning {np.mean(others_of_peer):.0f}",
            "-",
            "",
            None,
        ),
    ]


def _varied(request: HttpRequest, rng: random.Random) -> HttpRequest:
    """The same attack with other numbers and a word before and after it."""
    value = re.sub(r"\d+", lambda found: str(rng.randrange(10 ** len(found[0]))), _value(request))
    words = [rng.choice(("red", "blue", "page", "item", "table", "list", "price", "order")) for _ in range(2)]
    return HttpRequest("GET", f"/?q={quote(f'{words[0]}{value} {words[1]}', safe='')}")


def _value(request: HttpRequest) -> str:
    return "".join(decode(part.text) for part in parts(request) if part.location == "query")


def _confident_learning(records: Sequence[LabelledRequest]) -> set[int]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline

    attack = np.array([record.is_attack for record in records])
    texts = ["\n".join(decode(part.text) for part in parts(record.request)) for record in records]
    model = make_pipeline(TfidfVectorizer(analyzer="char", ngram_range=(1, 4)), LogisticRegression(solver="liblinear"))
    probability = cross_val_predict(model, texts, attack, cv=5, method="predict_proba")[:, 1]
    usual_attack, usual_normal = probability[attack].mean(), (1 - probability)[~attack].mean()
    suspected = np.where(attack, 1 - probability >= usual_normal, probability >= usual_attack)
    return set(np.flatnonzero(suspected).tolist())


def _read(path: Path) -> list[LabelledRequest]:
    with path.open(encoding="utf-8", newline="") as file:
        return [_record(number, row) for number, row in enumerate(csv.DictReader(file))]


def _record(number: int, row: dict[str, str]) -> LabelledRequest:
    request = HttpRequest("GET", f"/?q={quote(row['payload'].encode('utf-8', 'replace'), safe='')}")
    kind = (row.get("attack_type") or row.get("injection_type") or "").strip().lower()
    if kind in ("norm", "legal"):
        return LabelledRequest(request, "normal", packet_id=str(number))
    return LabelledRequest(request, "attack", _CLASSES.get(kind, "other"), packet_id=str(number))


if __name__ == "__main__":
    raise SystemExit(main() is False)
