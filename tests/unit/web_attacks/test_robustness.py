import re
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

import pytest

from secmlops.web_attacks import robustness
from secmlops.web_attacks.classifier import Score
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.mutations import UnknownMutation
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.robustness import NothingToAttack, RobustnessReport, attack


@dataclass
class Signatures:
    """Scores the share of its patterns that the decoded target holds."""

    patterns: tuple[str, ...]
    flags: int = 0
    name: str = "signatures"
    threshold: float = 0.5
    asked: list[int] = field(default_factory=list)

    def score(self, requests):
        self.asked.append(len(requests))
        return [self._one(unquote_plus(request.uri)) for request in requests]

    def _one(self, text):
        score = sum(bool(re.search(one, text, self.flags)) for one in self.patterns) / len(self.patterns)
        if score >= self.threshold:
            return Score(score, "attack", "xss", "query:q", "")
        return Score(score, "normal", "", "", "")


def xss(count=6):
    return [
        LabelledRequest(HttpRequest("GET", f"/s?n={i}&q=<img+src=x+onerror=alert(1)>"), "attack", "xss")
        for i in range(count)
    ]


def sqli(count=4):
    return [
        LabelledRequest(HttpRequest("GET", f"/s?n={i}&q=1+union+select+2+--+x"), "attack", "sqli") for i in range(count)
    ]


NORMAL = [LabelledRequest(HttpRequest("GET", "/s?q=shoes"), "normal")]


def test_a_case_sensitive_signature_is_evaded_by_case_and_the_report_says_so():
    report = attack(
        Signatures((r"img src",)), [*xss(), *NORMAL], rounds=20, names=["html_name_case", "url_scheme_case"]
    )
    assert report.evasion_rate == 1.0
    assert report.most_evading.name == "html_name_case"
    assert report.by_mutation[0].evasion_rate == 1.0
    assert {one.name for one in report.by_mutation} == {"html_name_case"}  # no URL scheme here, nothing to change


def test_a_guided_search_gets_past_what_no_single_mutation_passes():
    both = Signatures((r"<img src", r"alert\("), threshold=0.3)
    names = ["html_name_case", "js_call_form"]
    report = attack(both, xss(), rounds=30, names=names)
    assert all(one.evaded == 0 for one in report.by_mutation)
    assert all(one.mean_score_drop > 0 for one in report.by_mutation)
    assert report.evasion_rate == 1.0
    assert {name for example in report.examples for name in example.mutations} == set(names)


def test_a_classifier_that_always_warns_is_never_evaded_and_the_budget_is_kept():
    classifier = Signatures((r".",), re.DOTALL)
    report = attack(classifier, xss(3), rounds=4, candidates=5)
    assert report.evasion_rate == 0.0
    assert report.queries == 3 * 4 * 5
    assert report.most_evading is None
    assert report.median_queries is None
    assert report.curve[-1].queries == 20
    assert report.curve[-1].evasion_rate == 0.0


def test_queries_are_batched():
    classifier = Signatures((r".",), re.DOTALL)
    attack(classifier, xss(10), rounds=5, candidates=20)
    assert max(classifier.asked) >= 10 * 20


def test_the_search_stops_at_the_first_success():
    report = attack(Signatures((r"img src",)), xss(2), rounds=50, candidates=20, names=["html_name_case"])
    assert report.queries < 2 * 50 * 20
    assert report.curve[-1].evasion_rate == 1.0


def test_missed_attacks_count_as_missed_and_not_as_evaded():
    report = attack(Signatures((r"img",)), [*xss(3), *sqli(2)], rounds=2, names=["sql_whitespace"])
    assert (report.n_attacks, report.n_undetected, report.n_attacked, report.n_evaded) == (5, 2, 3, 0)
    assert report.metrics()["robust_recall"] == pytest.approx(3 / 5)
    assert report.metrics()["evasion_rate"] == 0.0
    assert "sqli" not in report.by_class


def test_evasion_is_absent_where_nothing_was_detected():
    report = attack(Signatures((r"nothing like it",)), xss(3), rounds=2)
    assert report.evasion_rate is None
    assert "evasion_rate" not in report.metrics()
    assert report.metrics()["robust_recall"] == 0.0


def test_metrics_per_class():
    report = attack(Signatures((r"img src|union",)), [*xss(3), *sqli(3)], rounds=10, names=["html_name_case"])
    assert report.metrics()["evasion_rate_xss"] == 1.0
    assert report.metrics()["evasion_rate_sqli"] == 0.0
    assert report.metrics()["evasion_rate"] == 0.5


def test_payloads_stay_within_the_growth_bound():
    seen = []

    class Watching(Signatures):
        def score(self, requests):
            seen.extend(requests)
            return super().score(requests)

    records = sqli(2)
    attack(Watching((r".",), re.DOTALL), records, rounds=40, max_growth_bytes=60, names=["sql_comment_for_blank"])
    original = len(unquote_plus(records[0].request.uri))
    assert max(len(unquote_plus(request.uri)) for request in seen) <= original + 60


def test_the_seed_decides_and_the_batching_does_not(monkeypatch):
    classifier = Signatures((r"img src", r"alert\(1\)"), threshold=0.3)
    first = attack(classifier, xss(6), rounds=10, seed=5)
    monkeypatch.setattr(robustness, "LOCKSTEP", 2)
    assert attack(classifier, xss(6), rounds=10, seed=5) == first
    assert attack(classifier, xss(6), rounds=10, seed=6) != first


def test_at_most_so_many_records_evenly_over_the_classes():
    report = attack(Signatures((r".",), re.DOTALL), [*xss(20), *sqli(3)], rounds=1, candidates=1, max_records=6)
    assert {name: one.attacked for name, one in report.by_class.items()} == {"sqli": 3, "xss": 3}


def test_progress_ends_with_all_done():
    calls = []
    attack(Signatures((r".",), re.DOTALL), xss(5), rounds=2, on_progress=lambda *call: calls.append(call))
    assert calls[-1] == (5, 5)


def test_the_report_survives_json():
    report = attack(Signatures((r"img src",)), xss(2), rounds=10)
    assert RobustnessReport.model_validate_json(report.model_dump_json()) == report


def test_examples_show_what_was_sent():
    report = attack(Signatures((r"img src",)), xss(1), rounds=10, names=["html_name_case"])
    example = report.examples[0]
    assert example.original == "/s?n=0&q=<img+src=x+onerror=alert(1)>"
    assert example.evading.lower() != example.original
    assert unquote_plus(example.evading).lower() == unquote_plus(example.original)
    assert (example.part, example.original_score, example.evading_score) == ("query:q", 1.0, 0.0)


def test_no_attacks_is_an_error():
    with pytest.raises(NothingToAttack):
        attack(Signatures((r".",)), NORMAL)


def test_unknown_mutations_are_named():
    with pytest.raises(UnknownMutation):
        attack(Signatures((r".",), re.DOTALL), xss(1), names=["no_such"])
