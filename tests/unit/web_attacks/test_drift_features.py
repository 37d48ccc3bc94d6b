"""The view of the detectors is one and the same in the pipeline and in the service."""

import numpy as np
import pytest

from secmlops.web_attacks import drift_features
from secmlops.web_attacks.drift_features import NAMES, ScoresDoNotFit, client_of, probabilities, view
from secmlops.web_attacks.preparation import strip_leaks
from secmlops.web_attacks.request import HttpRequest
from tests.unit.web_attacks.small_traffic import records

HEADERS = (
    ("Host", "shop.test"),
    ("User-Agent", "Mozilla/5.0"),
    ("Accept-Language", "de"),
    ("Referer", "http://shop.test/a?b=1"),
    ("Cookie", "id=7"),
)


def row(request: HttpRequest, score: float = 0.5) -> dict[str, float]:
    return dict(zip(NAMES, view([request], np.array([score]))[0], strict=True))


def test_a_logged_request_and_its_stripped_row_look_alike():
    made = records(60, 3)
    logged = [record.request for record in made]
    posted = HttpRequest("POST", "http://shop.test/a?q=1&q=2", headers=HEADERS, body=b'{"a": "x y"}', host="shop.test")
    logged.append(posted)
    stripped = [strip_leaks(record).request for record in made]
    stripped.append(strip_leaks(records(1, 1)[0].__class__(posted, "normal")).request)
    scores = np.linspace(0, 1, len(logged))
    np.testing.assert_array_equal(view(logged, scores), view(stripped, scores))
    assert [client_of(request) for request in logged] == [client_of(request) for request in stripped]


def test_columns_are_what_their_names_say():
    found = row(HttpRequest("PUT", "/a/b?x=%27&yy=12", body=b"hello=world"), score=0.75)
    assert found["log_odds"] == pytest.approx(np.log(3))
    assert found["path_chars"] == pytest.approx(np.log1p(4))
    assert found["path_depth"] == pytest.approx(np.log1p(2))
    assert found["query_chars"] == pytest.approx(np.log1p(5))
    assert found["values"] == pytest.approx(np.log1p(3))
    assert found["longest_value"] == pytest.approx(np.log1p(5))
    assert found["writes"] == 1
    assert row(HttpRequest("GET", "/"))["writes"] == 0


def test_who_asks_moves_the_client_columns_alone_and_what_is_asked_the_content_columns():
    base = HttpRequest("GET", "/a?q=shoes", headers=HEADERS)
    other_client = HttpRequest("GET", "/a?q=shoes", headers=(("User-Agent", "curl/8.5.0"), *HEADERS[2:]))
    other_content = HttpRequest("GET", "/a?q=union select", headers=HEADERS)
    before = row(base)
    moved = [{n for n, v in row(request).items() if v != before[n]} for request in (other_client, other_content)]
    assert any(name.startswith("client_") for name in moved[0])
    assert not any(name.startswith("content_") for name in moved[0])
    assert any(name.startswith("content_") for name in moved[1])
    assert not any(name.startswith("client_") for name in moved[1])


def test_a_row_does_not_depend_on_its_neighbours():
    requests = [record.request for record in records(20, 5)]
    scores = np.full(len(requests), 0.1)
    together = view(requests, scores)
    alone = np.concatenate([view([request], scores[:1]) for request in requests])
    np.testing.assert_allclose(together, alone, rtol=1e-12, atol=1e-12)


def test_any_request_has_a_finite_row_and_certain_answers_too():
    odd = [
        HttpRequest("", ""),
        HttpRequest("X", "\x00\xff?" + "&" * 600),
        HttpRequest("GET", "/", body=b"\x00" * 99_999),
    ]
    rows = view(odd, np.array([0.0, 1.0, 0.5]))
    assert np.isfinite(rows).all()
    assert view([], np.zeros(0)).shape == (0, len(NAMES))


@pytest.mark.parametrize("scores", [[0.1], [0.1, float("nan")], [0.1, 1.5], [[0.1], [0.2]]])
def test_scores_of_other_rows_or_none_at_all_are_refused(scores):
    with pytest.raises(ScoresDoNotFit):
        view([HttpRequest("GET", "/")] * 2, np.array(scores))


def test_a_client_is_told_by_what_its_program_repeats():
    first = HttpRequest("GET", "/", headers=HEADERS)
    assert client_of(first) == client_of(HttpRequest("POST", "/other", headers=HEADERS[::-1]))
    assert client_of(first) != client_of(HttpRequest("GET", "/", headers=(*HEADERS[:-1], ("Cookie", "id=8"))))


def test_probabilities_are_of_normal_and_attack():
    assert probabilities(np.array([0.25])).tolist() == [[0.75, 0.25]]


def test_categories_are_named():
    assert [NAMES[column] for column in drift_features.CATEGORICAL] == ["writes"]
