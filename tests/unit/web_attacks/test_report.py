import random
import re
from dataclasses import dataclass
from html.parser import HTMLParser

import pytest

from secmlops.lifecycle.gate import judge
from secmlops.lifecycle.policy import load_policy
from secmlops.web_attacks.classifier import Score
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.evaluation import evaluate
from secmlops.web_attacks.preparation import split
from secmlops.web_attacks.report import (
    METRICS,
    ReportMismatch,
    shown,
    title_of,
    wilson_interval,
    write_data_report,
    write_report,
)
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.robustness import attack
from secmlops.web_attacks.validation import validate

POLICY = """
name: web-attacks
version: 1.2.3
use_case: web_attacks
operating_point: {max_false_positive_rate: 0.01}
requirements:
  - {metric: recall, at_least: 0.5, why: most attacks are seen, risk: attacks pass, mitigation: AML.M0008}
  - {metric: evasion_rate, at_most: 0.4, why: rewriting does not help, risk: known attacks pass, mitigation: AML.M0003}
"""
HOSTILE = "<script>alert('from a request')</script>"


@dataclass
class Words:
    """Flags requests that hold one of its words."""

    name: str
    words: tuple[str, ...]
    threshold: float = 0.5

    def score(self, requests):
        found = [any(word in request.uri for word in self.words) for request in requests]
        return [
            Score(0.9, "attack", "xss", "query:q", "") if hit else Score(0.1, "normal", "", "", "") for hit in found
        ]


def records():
    attacks = [
        LabelledRequest(HttpRequest("GET", f"/?n={i}&q=<img+src=x+onerror=alert({i})>"), "attack", "xss", site=f"s{i}")
        for i in range(8)
    ]
    attacks.append(LabelledRequest(HttpRequest("GET", f"/?q={HOSTILE}"), "attack", "other", site="s"))
    normals = [LabelledRequest(HttpRequest("GET", f"/shoes?size={i}"), "normal", site=f"n{i}") for i in range(12)]
    return attacks + normals


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    path.write_text(POLICY)
    return load_policy(path)


@pytest.fixture(scope="module")
def measured():
    """Two models: one that is easy to evade, one that is not."""
    models = [Words("weak", ("img+src", "script")), Words("strong", ("<", "%3c", "%3C", "25", "%c0", "%u003c"))]
    return [(evaluate(model, records()), attack(model, records(), rounds=3, candidates=5)) for model in models]


class Page(HTMLParser):
    """What a browser would find: the tags, everything that would be fetched, and the text."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.fetched, self.text, self.open_tags = [], [], "", []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href") and not value.startswith("data:")]
        if tag not in ("meta", "img", "br", "link"):
            self.open_tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open_tags.pop() == tag

    def handle_data(self, data):
        self.text += data


def page(path):
    read = Page(path)
    read.text = re.sub(r"\s+", " ", read.text)
    assert read.open_tags == []
    assert read.fetched == []
    assert "script" not in read.tags
    return read


def test_one_model_without_anything_else(tmp_path, measured):
    write_report(tmp_path / "report.html", evaluations=[measured[0][0]])
    report = page(tmp_path / "report.html")
    assert "weak was measured; the gate has not judged it." in report.text
    assert report.tags.count("img") == 5  # ROC, precision-recall, confusion, calibration, classes
    assert "The attack on" not in report.text
    assert "look poisoned" not in report.text


def test_the_verdict_comes_first_and_a_pass_is_told_in_a_sentence(tmp_path, measured, policy):
    evaluation, attacked = measured[1]
    verdict = judge(policy, evaluation.metrics() | attacked.metrics(), "sha256:" + "a" * 64)
    assert verdict.passed
    write_report(tmp_path / "report.html", evaluations=[evaluation], robustness=[attacked], verdicts=[verdict])
    report = page(tmp_path / "report.html")
    sentence = "strong may be served: it meets all 2 requirements of policy web-attacks 1.2.3."
    assert sentence in report.text
    assert report.text.index(sentence) < report.text.index("What this means")


def test_a_failure_names_the_requirement_its_bound_and_its_risk(tmp_path, measured, policy):
    evaluation, attacked = measured[0]
    verdict = judge(policy, evaluation.metrics() | attacked.metrics(), "sha256:" + "a" * 64)
    assert [one.metric for one in verdict.failures] == ["evasion_rate"]
    write_report(tmp_path / "report.html", evaluations=[evaluation], robustness=[attacked], verdicts={"weak": verdict})
    text = page(tmp_path / "report.html").text
    assert "No model may be served: the best, weak, fails 1 of 2 requirements" in text
    assert "Attacks talked past the model: 100.00 %, must be at most 40.0 %. known attacks pass" in text


def test_models_side_by_side_and_the_one_that_passed_leads(tmp_path, measured, policy):
    verdicts = [judge(policy, e.metrics() | r.metrics(), "sha256:" + "a" * 64) for e, r in measured]
    write_report(
        tmp_path / "report.html",
        evaluations=[e for e, _ in measured],
        robustness=[r for _, r in reversed(measured)],
        verdicts=verdicts,
        cards={"strong": {"task": "finding attacks", "limits": ["one", "two"]}},
    )
    report = page(tmp_path / "report.html")
    assert "strong may be served" in report.text
    assert "The same for weak: 1 of 2 not met" in report.text
    assert "The attack on weak" in report.text
    assert "Model card: strong" in report.text
    assert "one; two" in report.text


def test_every_measured_figure_is_explained_with_its_ideal(tmp_path, measured):
    evaluation, attacked = measured[0]
    write_report(tmp_path / "report.html", evaluations=[evaluation], robustness=[attacked])
    text = page(tmp_path / "report.html").text
    metrics = evaluation.metrics() | attacked.metrics()
    assert {"recall", "f1", "evasion_rate", "latency_p95_ms"} <= metrics.keys()
    for name in METRICS.keys() & metrics.keys():
        assert METRICS[name].title in text
        assert METRICS[name].meaning in text
    assert METRICS["suspicious_benign_fpr"].title not in text  # not measured here


def test_text_from_requests_is_escaped(tmp_path, measured):
    attacked = attack(Words("w", ("script",)), records(), rounds=3, candidates=5)
    assert any(HOSTILE in example.original for example in attacked.examples)
    write_report(
        tmp_path / "report.html", evaluations=[evaluate(Words("w", ("script",)), records())], robustness=[attacked]
    )
    assert HOSTILE in page(tmp_path / "report.html").text


@dataclass
class Found:
    packet_id: str
    index: int
    reason: str
    score: float
    given_label: str
    expected_label: str
    detail: str


def varied():
    """Requests of ten sites per label that resemble each other in nothing."""
    words = random.Random(1)

    def text(count):
        return "+".join("".join(words.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(count))

    attacks = [
        LabelledRequest(HttpRequest("GET", f"/{text(3)}?q={HOSTILE}{text(6)}"), "attack", "xss", site=f"s{i}")
        for i in range(10)
    ]
    return attacks + [
        LabelledRequest(HttpRequest("GET", f"/{text(3)}?q={text(8)}"), "normal", site=f"n{i}") for i in range(10)
    ]


def test_the_data_report_shows_findings_split_and_suspects(tmp_path):
    data = varied()
    suspects = [Found("ab" * 32, 8, "neighbours disagree", 0.91, "normal", "attack", "9 of 10 are attacks")]
    write_data_report(
        tmp_path / "data.html",
        validation=validate(data),
        split=split(data, validation=0.25, test=0.25).report,
        suspects=suspects,
        records=data,
    )
    text = page(tmp_path / "data.html").text
    assert "Nothing should be trained on this data." in text  # fewer than 50 of each label
    assert "1 of 20 labels contradict" in text
    assert HOSTILE in text
    assert "Held back by" in text
    assert "9 of 10 are attacks" in text


def test_no_suspects_is_not_the_same_as_no_check(tmp_path):
    write_data_report(tmp_path / "checked.html", suspects=[])
    write_data_report(tmp_path / "unchecked.html")
    assert "No label contradicts" in page(tmp_path / "checked.html").text
    assert "poisoned" not in page(tmp_path / "unchecked.html").text


def test_what_does_not_belong_together_is_refused(tmp_path, measured, policy):
    (weak, on_weak), (_, on_strong) = measured
    verdict = judge(policy, weak.metrics(), "sha256:" + "a" * 64)
    out = tmp_path / "report.html"
    with pytest.raises(ReportMismatch, match="no evaluation"):
        write_report(out, evaluations=[])
    with pytest.raises(ReportMismatch, match="'strong', which was not evaluated"):
        write_report(out, evaluations=[weak], robustness=[on_weak, on_strong])
    with pytest.raises(ReportMismatch, match="2 verdicts for 1"):
        write_report(out, evaluations=[weak], verdicts=[verdict, verdict])
    with pytest.raises(ReportMismatch, match="a verdict names 'other'"):
        write_report(out, evaluations=[weak], verdicts={"other": verdict})
    with pytest.raises(ReportMismatch, match="the champion 'other'"):
        write_report(out, evaluations=[weak], champion="other")
    assert not out.exists()


def test_only_normal_requests_still_make_a_report(tmp_path):
    evaluation = evaluate(Words("w", ("zzz",)), records()[9:])
    write_report(tmp_path / "report.html", evaluations=[evaluation])
    assert "Of 1,000 normal requests it flags 0" in page(tmp_path / "report.html").text


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    # Values of the Wilson score interval worked out by hand to three digits.
    [(0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (5, 10, 0.237, 0.763), (1, 1000, 0.00018, 0.00564)],
)
def test_wilson_interval(count, n, low, high):
    assert wilson_interval(count, n) == pytest.approx((low, high), abs=6e-4)


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("recall", 0.5, "50.0 %"),
        ("false_positive_rate", 0.00213, "0.21 %"),
        ("latency_p95_ms", 0.4567, "0.46 ms"),
        ("latency_p95_ms", 123.4, "123 ms"),
        ("brier_score", 0.0123456, "0.01235"),
        ("recall_sqli", 0.25, "25.0 %"),
        ("f1", None, "not measured"),
    ],
)
def test_values_are_shown_with_their_unit(metric, value, text):
    assert shown(metric, value) == text


def test_class_metrics_have_titles():
    assert title_of("recall_sqli") == "Attacks seen: sqli"
    assert title_of("evasion_rate_xss") == "Attacks talked past: xss"
    assert title_of("something_else") == "something_else"
