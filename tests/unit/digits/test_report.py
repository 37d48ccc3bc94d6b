"""What a reader is told about the variants."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from secmlops.digits import published, report
from secmlops.digits.choosing import Candidate
from secmlops.digits.data import load_digits
from secmlops.digits.evaluation import digest_of
from secmlops.lifecycle.gate import judge
from tests.unit.digits.measured import evaluation, policy


def candidate(name: str, **measured) -> Candidate:
    found = evaluation(name, **measured)
    return Candidate(found, judge(policy(), found.metrics(), f"sha256:{name.encode().hex():0>64.64}"))


def written(tmp_path: Path, *candidates: Candidate, exam: Candidate | None = None) -> str:
    report.write_report(tmp_path / "report.html", candidates, exam=exam)
    return (tmp_path / "report.html").read_text()


class Text(HTMLParser):
    def __init__(self, page: str):
        super().__init__()
        self.text = ""
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_verdict_stands_first_and_names_the_champion(tmp_path):
    page = written(tmp_path, candidate("standard", robust=0.1), candidate("trades", robust=0.9, certified=0.4))
    text = Text(page).text
    assert "trades meets all 10 requirements of policy digits 1.0.0; the exam on other images decides." in text
    assert "may be served" not in text
    assert "For 400 of 1,000 it is proved" in text
    assert "What survives attackers who know it: trades (+80 points)." in text
    assert "Without any defence 10 % of attacked images are read rightly." in text


def test_a_defence_that_falls_to_those_who_know_it_is_named(tmp_path):
    text = Text(
        written(
            tmp_path,
            candidate("standard", robust=0.1),
            candidate("distillation", robust=0.12),
            candidate("trades", robust=0.9),
        )
    ).text
    assert "What does not, though it may stop attackers who do not know it: distillation (+2 points)." in text


def test_when_nothing_passes_the_page_says_what_is_missing_and_why_it_matters(tmp_path):
    text = Text(written(tmp_path, candidate("standard", robust=0.1), candidate("fgsm", robust=0.5))).text
    assert "None meets the policy: the best, fgsm fails 4 of 10 requirements" in text
    assert "Worst case: 50.0 %, must be at least 70.0 %" in text


def test_alarms_are_shown(tmp_path):
    text = Text(written(tmp_path, candidate("fgsm", alarms=("pgd breaks less than fgsm",)))).text
    assert "pgd breaks less than fgsm" in text and "alarm" in text


@pytest.mark.parametrize("count", [1, 3])
def test_the_page_stands_alone_and_nothing_in_it_is_markup_from_outside(tmp_path, count):
    page = written(tmp_path, *(candidate(f"<script>{number}", robust=0.5) for number in range(count)))
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert page.count("data:image/svg+xml") == (2 if count == 1 else 3)


def test_what_is_told_is_the_exam_and_the_choice_stands_beside(tmp_path):
    chosen, exam = candidate("trades", robust=0.9), candidate("trades", clean=0.97, robust=0.8)
    text = Text(written(tmp_path, candidate("standard", robust=0.1), chosen, exam=exam)).text
    assert "trades may be served: it meets all 10 requirements of policy digits 1.0.0." in text
    assert "Of 1,000 untouched images trades reads 970 rightly, of 1,000 attacked ones 800." in text
    assert "When it was chosen, on other images, it read 980 and 900 of 1,000 rightly." in text
    assert "What survives attackers who know it: trades (+80 points)." in text
    assert "trades, exam" in text


def test_an_exam_is_failed_however_good_the_choice_looked(tmp_path):
    exam = candidate("trades", robust=0.5)
    text = Text(written(tmp_path, candidate("trades", robust=0.9), exam=exam)).text
    assert "trades may not be served: it fails 4 of 10 requirements" in text
    assert "may be served" not in text


def test_an_exam_without_a_choice_stands_alone(tmp_path):
    text = Text(written(tmp_path, exam=candidate("fgsm"))).text
    assert "fgsm may be served" in text
    assert "When it was chosen" not in text and "compared on" not in text


def test_published_figures_stand_beside_ours_for_the_same_recipe_budget_and_images(tmp_path):
    example = evaluation("fgsm").model_copy(update={"images_digest": published.MNIST_TEST})
    verdict = judge(policy(), example.metrics(), f"sha256:{'0' * 64}")
    text = Text(written(tmp_path, exam=Candidate(example, verdict))).text
    assert "published for MNIST: 97.5% clean, 80.2% under FGSM; here: 98.0% clean" in text


@pytest.mark.parametrize("other", [{"n": 10_000}, {"recipe": "trades"}, {"eps": 0.2}])
def test_published_figures_stand_beside_no_others(other):
    """Fashion-MNIST has as many test images of the same shape in as many classes."""
    mnist = {} if "n" in other else {"images_digest": published.MNIST_TEST}
    assert published.beside(evaluation("fgsm").model_copy(update=other | mnist)) == ""


def test_mnist_is_known_by_its_images(public_data):
    test = load_digits(public_data / "vision" / "mnist").test
    assert digest_of(test) == published.MNIST_TEST
    assert digest_of(test.take(slice(9_999))) != published.MNIST_TEST
