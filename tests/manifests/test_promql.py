"""The tokenizer finds the series of an expression, and refuses what it cannot read."""

import pytest

from tests.manifests.promql import Selector, selectors


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("up", ["up"]),
        ("up == 0 and on (job) sum by (job) (rate(errors_total[5m] offset 1h)) > 1e3", ["up", "errors_total"]),
        ("sum(rate(a_total[5m])) by (x, y) / ignoring (z) group_left (w) b:c:rate5m", ["a_total", "b:c:rate5m"]),
        ("time() - max by (detector) (last_seconds) > 6 * 3600", ["last_seconds"]),
        ("histogram_quantile(0.99, sum by (le) (rate(h_bucket[1h30m:1m])))", ["h_bucket"]),
        ("a unless on () b or vector(1) # and c", ["a", "b"]),
        ('label_replace(x, "answer", "$1", "label", "(.+) and y{}")', ["x"]),
        ("avg_over_time(a[1d] offset 1h) <= bool b", ["a", "b"]),
        ("-a + +inf * Nan", ["a"]),
    ],
)
def test_names(expression, names):
    assert [selector.name for selector in selectors(expression)] == names


def test_matchers():
    assert selectors("a{x=\"1\", y=~'b|c', z!=`d`,} + b{}") == [
        Selector("a", (("x", "=", "1"), ("y", "=~", "b|c"), ("z", "!=", "d"))),
        Selector("b"),
    ]


@pytest.mark.parametrize("expression", ['{__name__="a"}', "a{x=", "a & b", 'a{x="1}', "sum by (x"])
def test_what_it_cannot_read(expression):
    with pytest.raises(ValueError):
        selectors(expression)
