"""The Pareto front and the choice by policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secmlops.digits.choosing import OBJECTIVES, Candidate, choose, pareto_front
from secmlops.lifecycle.gate import judge
from tests.unit.digits.measured import evaluation, policy

POINTS = st.lists(
    st.fixed_dictionaries({name: st.sampled_from([0.0, 0.5, 1.0]) for name in OBJECTIVES}), min_size=1, max_size=8
)


def candidate(name: str, **measured: float) -> Candidate:
    found = evaluation(name, **measured)
    return Candidate(found, judge(policy(), found.metrics(), f"sha256:{'0' * 64}"))


@given(POINTS)
def test_nothing_on_the_front_is_beaten_and_everything_off_it_is(points):
    def beats(one, other):
        gains = [sign * (one[name] - other[name]) for name, sign in OBJECTIVES.items()]
        return all(gain >= 0 for gain in gains) and any(gain > 0 for gain in gains)

    front = pareto_front(points)
    assert front
    for number, point in enumerate(points):
        assert (number in front) == (not any(beats(other, point) for other in points))


def test_the_most_robust_of_those_that_pass_is_chosen():
    chosen = choose(
        [
            candidate("standard", clean=0.99, robust=0.1),
            candidate("weak", clean=0.98, robust=0.75),
            candidate("strong", clean=0.97, robust=0.9),
            candidate("useless", clean=0.5, robust=0.95),
        ]
    )
    assert chosen.evaluation.recipe == "strong" and chosen.verdict.passed


def test_when_none_passes_the_one_that_fails_least_is_shown():
    chosen = choose([candidate("both", clean=0.5, robust=0.1), candidate("one", clean=0.99, robust=0.2)])
    assert chosen.evaluation.recipe == "one" and not chosen.verdict.passed


def test_there_must_be_something_to_choose_from():
    with pytest.raises(ValueError):
        choose([])
